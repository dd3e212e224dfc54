// Ollama's own client for JavaScript: models are created, listed, shown, copied and removed.

import { Ollama } from 'ollama'
import { HOST, MESSAGES, MODEL, OPTIONS, QUESTION, UNKNOWN } from './common.mjs'
import { check, expect, raised, run, unloaded, whole } from './common.mjs'

const ollama = new Ollama({ host: HOST })
const names = async () => (await ollama.list()).models.map((model) => model.name)

check('version', async () => {
  const { version } = await ollama.version()
  expect(/^\d+\.\d+/.test(version), `the version is ${version}`)
})

check('list', async () => {
  const { models } = await ollama.list()
  const model = models.find((one) => one.name === `${MODEL}:latest`)
  expect(model, `${MODEL}:latest is not among ${models.map((one) => one.name)}`)
  expect(model.model === model.name && model.digest.length === 64 && model.size > 90e6, `it is ${JSON.stringify(model)}`)
  expect(model.details.family === 'llama' && model.details.format === 'gguf', `details are ${JSON.stringify(model.details)}`)
})

check('show', async () => {
  const shown = await ollama.show({ model: MODEL })
  expect(shown.capabilities.includes('completion'), `capabilities are ${shown.capabilities}`)
  expect(shown.model_info['general.architecture'] === 'llama', 'model_info has no architecture')
  expect(shown.modelfile.includes('\nFROM ') && shown.template, 'the Modelfile or the template is missing')
})

check('create', async () => {
  const request = { model: 'made-by-node', from: MODEL, system: 'You are Mario.', parameters: { num_predict: 4 } }
  const steps = await whole(await ollama.create({ ...request, stream: true }))
  expect(steps.at(-1).status === 'success', `create ends with ${JSON.stringify(steps.at(-1))}`)
  const reply = await ollama.chat({ model: 'made-by-node', messages: MESSAGES })
  expect(reply.eval_count === 4, `num_predict 4 gave ${reply.eval_count} tokens`)
  const again = await ollama.create({ ...request, system: 'You are Luigi.' })
  expect(again.status === 'success', `create without a stream says ${again.status}`)
  expect((await ollama.show({ model: 'made-by-node' })).system === 'You are Luigi.', 'show tells another system message')
})

check('copy and delete', async () => {
  await ollama.copy({ source: MODEL, destination: 'copied-by-node' })
  expect((await names()).includes('copied-by-node:latest'), 'the copy is not listed')
  await ollama.delete({ model: 'copied-by-node' })
  await ollama.delete({ model: 'made-by-node' })
  expect(!(await names()).includes('copied-by-node:latest'), 'what was deleted is listed')
  const error = await raised(() => ollama.copy({ source: UNKNOWN, destination: 'x' }))
  expect(error.status_code === 404, `copy of an unknown model: ${error}`)
})

check('ps, load and unload', async () => {
  const reply = await ollama.generate({ model: MODEL, prompt: '', keep_alive: '10m' })
  expect(reply.done_reason === 'load', `an empty prompt gives ${JSON.stringify(reply)}`)
  const { models } = await ollama.ps()
  expect(models.length > 0 && models[0].size > 90e6 && models[0].context_length > 0, `ps gives ${JSON.stringify(models)}`)
  const left = (Date.parse(models[0].expires_at) - Date.now()) / 1000
  expect(left > 500 && left < 620, `keep_alive 10m leaves ${left} s`)
  await ollama.generate({ model: MODEL, prompt: QUESTION, options: OPTIONS, keep_alive: 0 })
  await unloaded()
})

check('pull of what cannot be a model fails', async () => {
  const error = await raised(() => ollama.pull({ model: '../../etc/passwd', stream: true }))
  expect(error.name === 'ResponseError' && error.status_code === 400, `it ends with ${error}`)
})

await run()
