import assert from 'node:assert/strict'
import test from 'node:test'
import OpenAI from 'openai'

const { HOMEPORT_URL: url, HOMEPORT_CHAT_MODEL: model, HOMEPORT_CALLER: caller } = process.env
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 })
const messages = [{ role: 'user', content: 'What is the capital of France?' }]
const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: { type: 'object', required: ['city'], properties: { city: { type: 'string', maxLength: 20 } } },
  },
}

test('models are listed', async () => {
  const ids = []
  for await (const each of openai.models.list()) ids.push(each.id)
  assert.ok(ids.includes(model))
})

test('an answer is the same whole and in pieces', async () => {
  const whole = await openai.chat.completions.create({ model, messages, temperature: 0 })
  const text = whole.choices[0].message.content
  assert.match(text, /Paris/)
  let pieces = ''
  const stream = await openai.chat.completions.create({
    model, messages, temperature: 0, stream: true, stream_options: { include_usage: true },
  })
  let usage
  for await (const chunk of stream) {
    pieces += chunk.choices[0]?.delta?.content ?? ''
    usage = chunk.usage ?? usage
  }
  assert.equal(pieces, text)
  assert.ok(usage.completion_tokens > 3)
})

test('a schema is followed', async () => {
  const schema = {
    type: 'object', additionalProperties: false, required: ['capital'], properties: { capital: { type: 'string', maxLength: 20 } },
  }
  const answer = await openai.chat.completions.create({
    model, messages, response_format: { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } },
  })
  assert.deepEqual(Object.keys(JSON.parse(answer.choices[0].message.content)), ['capital'])
})

test('a required tool is called, streamed', async () => {
  const runner = openai.chat.completions.stream({ model: caller, messages, tools: [weather], tool_choice: 'required' })
  const final = await runner.finalChatCompletion()
  const [call] = final.choices[0].message.tool_calls
  assert.equal(call.function.name, 'get_weather')
  assert.equal(typeof JSON.parse(call.function.arguments).city, 'string')
  assert.equal(final.choices[0].finish_reason, 'tool_calls')
})

test('responses are given and streamed', async () => {
  const whole = await openai.responses.create({ model, input: 'What is the capital of France?', temperature: 0 })
  assert.match(whole.output_text, /Paris/)
  const stream = openai.responses.stream({ model, input: 'What is the capital of France?', temperature: 0 })
  const final = await stream.finalResponse()
  assert.equal(final.status, 'completed')
})

test('texts are embedded', async () => {
  const answer = await openai.embeddings.create({ model: 'all-minilm', input: ['bread', 'butter'] })
  assert.equal(answer.data.length, 2)
  assert.equal(answer.data[0].embedding.length, 384)
})

test('an unknown model is an error of its class', async () => {
  await assert.rejects(openai.chat.completions.create({ model: 'nobody', messages }), OpenAI.NotFoundError)
})
