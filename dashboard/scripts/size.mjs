// Fails the build when what a browser must fetch outgrows its budget, measured as gzip sends it.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const BUDGET_BYTES = 150_000;
const dist = new URL('../dist', import.meta.url).pathname;

let total = 0;
for (const name of readdirSync(dist, { recursive: true })) {
  const path = join(dist, name);
  if (!statSync(path).isFile()) continue;
  const bytes = gzipSync(readFileSync(path)).length;
  total += bytes;
  console.log(`${String(bytes).padStart(7)} B  ${name}`);
}
console.log(`${String(total).padStart(7)} B  in all, of ${BUDGET_BYTES}`);
if (total > BUDGET_BYTES) process.exit(1);
