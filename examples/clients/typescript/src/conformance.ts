#!/usr/bin/env node
/** What `tidegate conformance` runs: docs/clients.md says what it has to do. */
import { writeSync } from "node:fs";
import { join } from "node:path";
import { Client, Closed } from "./index.js";

const part = (name: string) => process.env[`CONFORMANCE_${name}`] ?? "";
const tell = (word: string) => (seq: number) => void writeSync(1, `${word} ${seq}\n`);
const client = new Client({
  url: part("URL"),
  name: part("CLIENT"),
  token: part("TOKEN"),
  buffer: join(part("DIR"), "buffer.log"),
  heldMax: Number(part("BUFFER")),
  on: { kept: tell("kept"), refused: tell("refused"), gaveUp: tell("gave-up") },
});
try {
  const first = Number(part("FIRST"));
  for (let reading = first; reading < first + Number(part("READINGS")); reading++) {
    client.send({ values: { conformance: BigInt(reading) } });
  }
  await client.flush();
} catch (error) {
  if (!(error instanceof Closed)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
client.close();
