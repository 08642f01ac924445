// Reads JSON bodies and forms as Node does: JSON.parse, and formData() of a fetch body. The lines are those of main.go.
import { createInterface } from "node:readline";

function ofJSON(raw) {
  const read = JSON.parse(new TextDecoder("utf-8").decode(raw));
  if (typeof read !== "object" || read === null || Array.isArray(read)) return null;
  const found = {};
  for (const name of ["model", "stream", "max_tokens", "n", "user"]) found[name] = read[name] ?? null;
  found["metadata.user_id"] = read.metadata?.user_id ?? null;
  found["stream_options.include_usage"] = read.stream_options?.include_usage ?? null;
  return found;
}

async function ofForm(raw, type) {
  const form = await new Response(raw, { headers: { "content-type": type } }).formData();
  const found = {};
  for (const [name, value] of form) if (typeof value === "string") (found[name] ??= []).push(value);
  return found;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { raw, type } = JSON.parse(line);
  const bytes = Buffer.from(raw, "base64");
  let read = null;
  try {
    read = type == null ? ofJSON(bytes) : await ofForm(bytes, type);
  } catch {}
  console.log(JSON.stringify(read));
}
