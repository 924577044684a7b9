import assert from 'node:assert/strict'
import test from 'node:test'
import { Ollama } from 'ollama'

const { HOMEPORT_URL: host, HOMEPORT_CHAT_MODEL: model, HOMEPORT_CALLER: caller } = process.env
const ollama = new Ollama({ host })
const messages = [{ role: 'user', content: 'What is the capital of France?' }]
const options = { temperature: 0 }
const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather of a city',
    parameters: { type: 'object', required: ['city'], properties: { city: { type: 'string', description: 'A city' } } },
  },
}

test('models are listed and shown', async () => {
  const { models } = await ollama.list()
  assert.ok(models.some((each) => each.name === model))
  const shown = await ollama.show({ model })
  assert.ok(shown.model_info['general.architecture'])
})

test('an answer is the same whole and in pieces', async () => {
  const whole = await ollama.chat({ model, messages, options })
  assert.match(whole.message.content, /Paris/)
  let text = ''
  for await (const piece of await ollama.chat({ model, messages, options, stream: true })) text += piece.message.content
  assert.equal(text, whole.message.content)
})

test('a schema is followed', async () => {
  const format = { type: 'object', properties: { capital: { type: 'string', maxLength: 20 } }, required: ['capital'] }
  const answer = await ollama.chat({ model, messages, format, options })
  assert.deepEqual(Object.keys(JSON.parse(answer.message.content)), ['capital'])
})

test('a tool is called', async () => {
  const asked = [{ role: 'user', content: 'What is the weather in Paris?' }]
  const answer = await ollama.chat({ model: caller, messages: asked, tools: [weather] })
  const [call] = answer.message.tool_calls
  assert.equal(call.function.name, 'get_weather')
  assert.deepEqual(call.function.arguments, { city: 'Paris' })
})

test('texts are embedded', async () => {
  const { embeddings } = await ollama.embed({ model: 'all-minilm', input: ['bread', 'butter'] })
  assert.equal(embeddings.length, 2)
})

test('a stream can be aborted', async () => {
  const client = new Ollama({ host })
  const stream = await client.generate({ model, prompt: 'Tell a long story', stream: true, options: { num_predict: 500 } })
  await assert.rejects(async () => {
    for await (const _ of stream) client.abort()
  }, { name: 'AbortError' })
})

test('an unknown model is an error with its name', async () => {
  await assert.rejects(ollama.chat({ model: 'nobody', messages }), /model 'nobody' not found/)
})
