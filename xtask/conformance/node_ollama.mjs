// Ollama's own client for JavaScript: answers of all kinds.

import { Ollama } from 'ollama'
import { HOST, MESSAGES, MODEL, OPTIONS, QUESTION, SKY, UNKNOWN } from './common.mjs'
import { check, expect, idle, raised, run, whole } from './common.mjs'

const ollama = new Ollama({ host: HOST })
const asked = { model: MODEL, options: OPTIONS }
const endless = { model: MODEL, options: { num_predict: 4000, num_ctx: 8192, temperature: 0, repeat_penalty: 1.3 } }

check('generate answers', async () => {
  const reply = await ollama.generate({ ...asked, prompt: QUESTION })
  expect(reply.response.trim(), 'the answer is empty')
  expect(reply.done && reply.done_reason === 'length', `16 tokens end with done_reason ${reply.done_reason}`)
  expect(reply.eval_count === 16, `num_predict 16 gave ${reply.eval_count} tokens`)
  for (const name of ['total_duration', 'load_duration', 'prompt_eval_count', 'eval_duration'])
    expect(reply[name] > 0, `${name} is ${reply[name]}`)
  expect(!Number.isNaN(Date.parse(reply.created_at)), `created_at is ${reply.created_at}`)
})

check('generate streams', async () => {
  const reply = await ollama.generate({ ...asked, prompt: QUESTION })
  const parts = await whole(await ollama.generate({ ...asked, prompt: QUESTION, stream: true }))
  expect(parts.length > 3, `16 tokens came in ${parts.length} parts`)
  expect(parts.map((part) => part.response).join('') === reply.response, 'the stream says something else')
  expect(parts.at(-1).done && parts.at(-1).eval_count === 16, `the last part is ${JSON.stringify(parts.at(-1))}`)
})

check('chat answers and streams', async () => {
  const reply = await ollama.chat({ ...asked, messages: MESSAGES })
  expect(reply.message.role === 'assistant' && reply.message.content, `the message is ${JSON.stringify(reply.message)}`)
  const parts = await whole(await ollama.chat({ ...asked, messages: MESSAGES, stream: true }))
  expect(parts.map((part) => part.message.content).join('') === reply.message.content, 'the stream says something else')
  expect(parts.at(-1).done_reason === 'length', `the last part is ${JSON.stringify(parts.at(-1))}`)
})

check('chat remembers what was said before', async () => {
  const messages = [
    { role: 'user', content: 'My name is Ferdinand. Say my name.' },
    { role: 'assistant', content: 'Your name is Ferdinand.' },
    { role: 'user', content: 'Say my name again.' },
  ]
  const reply = await ollama.chat({ ...asked, messages })
  expect(reply.message.content.includes('Ferdinand'), `it says ${reply.message.content}`)
})

check('a seed repeats an answer', async () => {
  const request = { model: MODEL, prompt: QUESTION, options: { seed: 42, temperature: 0, num_predict: 24 } }
  const first = await ollama.generate(request)
  const second = await ollama.generate(request)
  expect(first.response === second.response, `seed 42 gave ${first.response} and ${second.response}`)
})

check('structured output follows a schema', async () => {
  const options = { ...OPTIONS, num_predict: 100 }
  const reply = await ollama.chat({ model: MODEL, messages: MESSAGES, format: SKY, options })
  const sky = JSON.parse(reply.message.content)
  expect(['blue', 'red'].includes(sky.colour) && Number.isInteger(sky.degrees), `it says ${reply.message.content}`)
  const json = await ollama.generate({ model: MODEL, prompt: QUESTION, format: 'json', options: OPTIONS })
  expect(json.response.trimStart().startsWith('{'), `format json says ${json.response}`)
})

check('log-probabilities come with the answer', async () => {
  const reply = await ollama.generate({ ...asked, prompt: QUESTION, logprobs: true, top_logprobs: 2 })
  expect(reply.logprobs.length === 16, `16 tokens have ${reply.logprobs?.length} log-probabilities`)
  expect(reply.logprobs.every((token) => token.top_logprobs.length === 2), 'a token has not 2 alternatives')
})

check('tools need a template for them, thinking a model for it', async () => {
  const tools = [{ type: 'function', function: { name: 'f', description: '', parameters: { type: 'object', properties: {} } } }]
  const refused = await raised(() => ollama.chat({ model: MODEL, messages: MESSAGES, tools }))
  expect(refused.status_code === 400 && refused.error.includes('does not support tools'), `tools: ${refused.message}`)
  const error = await raised(() => ollama.chat({ model: MODEL, messages: MESSAGES, think: true }))
  expect(error.status_code === 400 && error.error === `"${MODEL}" does not support thinking`, `think: ${error.message}`)
})

check('embed gives vectors', async () => {
  const reply = await ollama.embed({ model: MODEL, input: ['one', 'two'] })
  expect(reply.embeddings.map((vector) => vector.length).join() === '576,576', 'there are not 2 vectors of 576 numbers')
  const length = Math.hypot(...reply.embeddings[0])
  expect(Math.abs(length - 1) < 1e-3, `a vector has length ${length}`)
  const old = await ollama.embeddings({ model: MODEL, prompt: 'one' })
  expect(old.embedding.length === 576, `the older call gives ${old.embedding.length} numbers`)
})

check('abort of one stream ends it and its work', async () => {
  const stream = await ollama.generate({ ...endless, prompt: QUESTION, stream: true })
  const error = await raised(async () => {
    for await (const part of stream) {
      expect(part.response !== undefined, 'a part has no text')
      stream.abort()
    }
  })
  expect(error.name === 'AbortError', `the loop ends with ${error.name}: ${error.message}`)
  await idle()
})

check('abort of a client ends all its streams', async () => {
  const other = new Ollama({ host: HOST })
  const streams = await Promise.all([1, 2].map(() => other.chat({ ...endless, messages: MESSAGES, stream: true })))
  const ends = streams.map((stream) => raised(() => whole(stream)))
  other.abort()
  for (const error of await Promise.all(ends)) expect(error.name === 'AbortError', `a loop ends with ${error.name}`)
  await idle()
})

check('unknown models are 404 as Ollama says it', async () => {
  const calls = {
    generate: () => ollama.generate({ model: UNKNOWN, prompt: QUESTION }),
    'chat, streamed': () => ollama.chat({ model: UNKNOWN, messages: MESSAGES, stream: true }),
    embed: () => ollama.embed({ model: UNKNOWN, input: 'x' }),
    show: () => ollama.show({ model: UNKNOWN }),
    delete: () => ollama.delete({ model: UNKNOWN }),
  }
  for (const [name, call] of Object.entries(calls)) {
    const error = await raised(call)
    expect(error.name === 'ResponseError' && error.status_code === 404, `${name}: ${error}`)
    expect(error.error === `model '${UNKNOWN}' not found`, `${name}: ${error.error}`)
  }
})

check('wrong requests are 400', async () => {
  const error = await raised(() => ollama.generate({ model: MODEL, prompt: 'x', raw: true, system: 'y' }))
  expect(error.status_code === 400, `raw with system: ${error}`)
  expect(error.error === 'raw mode does not support template, system, or context', `it says ${error.error}`)
  const none = await raised(() => ollama.chat({ messages: MESSAGES }))
  expect(none.status_code === 400 && none.error === 'model is required', `no model: ${none}`)
})

await run()
