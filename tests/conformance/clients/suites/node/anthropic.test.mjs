import Anthropic from '@anthropic-ai/sdk'
import assert from 'node:assert/strict'
import test from 'node:test'

const { HOMEPORT_URL: baseURL, HOMEPORT_CHAT_MODEL: model } = process.env
const client = new Anthropic({ baseURL, apiKey: 'unused', maxRetries: 0 })
const messages = [{ role: 'user', content: 'What is the capital of France?' }]

test('a message is answered', async () => {
  const answer = await client.messages.create({ model, max_tokens: 64, temperature: 0, messages })
  assert.match(answer.content[0].text, /Paris/)
  assert.equal(answer.stop_reason, 'end_turn')
})

test('a stream adds up', async () => {
  const stream = client.messages.stream({ model, max_tokens: 64, temperature: 0, messages })
  let text = ''
  stream.on('text', (piece) => { text += piece })
  const final = await stream.finalMessage()
  assert.equal(text, final.content[0].text)
})
