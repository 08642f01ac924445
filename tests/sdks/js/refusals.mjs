// Calls each SDK once for each job on standard input, and prints what its errors say.
// A job: {sdk, url, key, retries}; `retries` null leaves how often to try again to the SDK.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import { ChatOpenAI } from "@langchain/openai";
import { generateText } from "ai";
import OpenAI from "openai";

const messages = [{ role: "user", content: "hi" }];

const CALLS = {
  openai: ({ url, key, more }) =>
    new OpenAI({ baseURL: `${url}/v1`, apiKey: key, ...more }).chat.completions.create({ model: "gpt-4o", messages }),
  anthropic: ({ url, key, more }) =>
    new Anthropic({ baseURL: url, apiKey: key, ...more }).messages.create({ model: "claude", max_tokens: 5, messages }),
  google: ({ url, key }) =>
    new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } }).models.generateContent({
      model: "flash",
      contents: "hi",
    }),
  "vercel-openai": ({ url, key, more }) =>
    generateText({
      model: createOpenAI({ baseURL: `${url}/v1`, apiKey: key }).chat("gpt-4o"),
      prompt: "hi",
      ...more,
    }),
  "vercel-anthropic": ({ url, key, more }) =>
    generateText({
      model: createAnthropic({ baseURL: `${url}/v1`, apiKey: key })("claude"),
      prompt: "hi",
      ...more,
    }),
  langchain: ({ url, key, more }) =>
    new ChatOpenAI({ model: "gpt-4o", apiKey: key, configuration: { baseURL: `${url}/v1` }, ...more }).invoke("hi"),
};

async function call({ sdk, url, key, retries }) {
  try {
    await CALLS[sdk]({ url, key, more: retries === null ? {} : { maxRetries: retries } });
    return "";
  } catch (error) {
    return String(error);
  }
}

let given = "";
for await (const piece of process.stdin) given += piece;
const said = [];
for (const job of JSON.parse(given)) said.push(await call(job));
console.log(JSON.stringify(said));
