// OpenAI's and Anthropic's SDKs, Google's and Vercel's `ai` against every provider: see vendors.py
// for what is answered. Argument: JSON with base, key and models by provider.

import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";

const TEXT = "Grüße, 世界 🌍!";
const CITIES = ["Paris", "Zürich", "東京"];
const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const { base, key, models } = JSON.parse(process.argv[2]);

const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: base, apiKey: key, maxRetries: 0 });
const google = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: base } });
const viaOpenAI = createOpenAI({ baseURL: `${base}/v1`, apiKey: key });
const viaAnthropic = createAnthropic({ baseURL: `${base}/v1`, apiKey: key });

async function openaiSdk(provider, model) {
  const messages = [{ role: "user", content: "three" }];
  const tools = [{ type: "function", function: { name: "get_weather", parameters: CITY } }];
  const stream = openai.chat.completions.stream({ model, messages, tools });
  const answer = await stream.finalChatCompletion();
  const cities = answer.choices[0].message.tool_calls.map((call) => JSON.parse(call.function.arguments).city);
  assert.deepEqual(cities, CITIES);
  const said = await openai.responses.create({ model, input: "hello" });
  assert.equal(said.output_text, TEXT);
  const failing = openai.chat.completions.create({ model, messages: [{ role: "user", content: "429" }] });
  await assert.rejects(failing, OpenAI.RateLimitError);
}

async function anthropicSdk(provider, model) {
  const tools = [{ name: "get_weather", input_schema: CITY }];
  const asked = { model, max_tokens: 4096, tools, messages: [{ role: "user", content: "three" }] };
  const answer = await anthropic.messages.stream(asked).finalMessage();
  assert.deepEqual(answer.content.map((block) => block.input.city), CITIES);
  const failing = anthropic.messages.create({ ...asked, messages: [{ role: "user", content: "429" }] });
  await assert.rejects(failing, Anthropic.RateLimitError);
}

async function googleSdk(provider, model) {
  let text = "";
  for await (const chunk of await google.models.generateContentStream({ model, contents: "hello" })) {
    text += chunk.text ?? "";
  }
  assert.equal(text, TEXT);
}

const weather = tool({
  description: "Weather of a city",
  inputSchema: jsonSchema(CITY),
  execute: async ({ city }) => `sunny in ${city}`,
});

async function agent(chosen) {
  const said = { model: chosen, maxRetries: 0 };
  const { text } = await generateText({ ...said, prompt: "hello" });
  assert.equal(text, TEXT);
  const streamed = streamText({ ...said, prompt: "three", tools: { get_weather: weather }, stopWhen: stepCountIs(3) });
  const final = await streamed.text;
  assert.ok(final.includes("sunny in 東京"), final);
}

const checks = {
  openaiSdk,
  anthropicSdk,
  googleSdk,
  aiChat: (provider, model) => agent(viaOpenAI.chat(model)),
  aiResponses: (provider, model) => agent(viaOpenAI.responses(model)),
  aiMessages: (provider, model) => agent(viaAnthropic(model)),
};

const failed = [];
for (const [provider, model] of Object.entries(models)) {
  for (const [name, check] of Object.entries(checks)) {
    await check(provider, model).catch((error) => failed.push(`${name}, ${provider}: ${error.message ?? error}`));
  }
}
if (failed.length > 0) {
  console.error(failed.join("\n"));
  process.exit(1);
}
console.log(`${Object.keys(models).length} providers, ${Object.keys(checks).length} checks`);
