// What the scripts for node share: where the server is, what they ask, and how a check is told.

export const HOST = process.env.OLLAMA_HOST
export const MODEL = 'smollm2'
export const UNKNOWN = 'no-such-model'
// The model is sure of its answer, so that rounding does not change it.
export const QUESTION = 'Write the numbers from 1 to 50, separated by commas.'
export const OPTIONS = { num_predict: 16, temperature: 0, seed: 7 }
export const MESSAGES = [{ role: 'user', content: QUESTION }]
// Any model can write this to its end.
export const SKY = {
  type: 'object',
  properties: {
    colour: { type: 'string', enum: ['blue', 'red'] },
    cloudy: { type: 'boolean' },
    degrees: { type: 'integer', minimum: -50, maximum: 50 },
  },
  required: ['colour', 'cloudy', 'degrees'],
}

const checks = []

export function check(name, body) {
  checks.push([name, body])
}

export function expect(holds, message) {
  if (!holds) throw new Error(message)
}

/** The error that a call ends with. */
export async function raised(call) {
  try {
    await call()
  } catch (error) {
    return error
  }
  throw new Error('no error')
}

export async function whole(stream) {
  const parts = []
  for await (const part of stream) parts.push(part)
  return parts
}

async function ps() {
  const reply = await fetch(`http://${HOST}/api/ps`)
  return (await reply.json()).models
}

/** What must come true by itself, soon. */
async function waitUntil(holds, seconds, message) {
  const end = Date.now() + seconds * 1000
  while (!holds(await ps())) {
    expect(Date.now() < end, `${message}, even after ${seconds} s`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

export function idle() {
  const running = (models) => models.reduce((sum, model) => sum + (model.requests ?? 0), 0)
  return waitUntil((models) => running(models) === 0, 5, 'the server goes on computing for nobody')
}

export function unloaded() {
  return waitUntil((models) => models.length === 0, 2, 'keep_alive 0 does not unload')
}

/** Runs all checks, prints a line for each, and ends the program. */
export async function run() {
  let failed = 0
  for (const [name, body] of checks) {
    const began = Date.now()
    let verdict = 'ok'
    try {
      await body()
    } catch (error) {
      verdict = `FAILED: ${error.name}: ${error.message}`
      failed += 1
    }
    console.log(`  ${name}: ${verdict} (${((Date.now() - began) / 1000).toFixed(1)} s)`)
  }
  process.exit(failed === 0 ? 0 : 1)
}
