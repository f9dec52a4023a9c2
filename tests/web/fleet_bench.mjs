// How the overview fares with a great fleet, in numbers; run by hand: `npm run bench`. DEVICES (10000) send one
// reading a second each, by HTTP; the page is looked at for SECONDS (30), then scrolled for ten.
import { freemem } from 'node:os';
import { Daemon, launch } from './daemon.mjs';

const DEVICES = Number(process.env.DEVICES ?? 10_000);
const SECONDS = Number(process.env.SECONDS ?? 30);
const SLICES = 10;
const PARTS = 6;

const daemon = await Daemon.start('--devices', '1', '--well-behaved', '--set', 'limits.new_series_per_minute=1000000');
let posted = 0;
let refused = 0;
let on = true;
const feeding = feed();

/** A tenth of the fleet every tenth of a second, as gateways do. */
async function feed() {
  let due = performance.now();
  for (let slice = 0; on; slice = (slice + 1) % SLICES) {
    const lines = [];
    for (let n = slice; n < DEVICES; n += SLICES) {
      lines.push(`{"device":"dev-${String(n).padStart(5, '0')}","values":{"level":${(50 + 20 * Math.sin(Date.now() / 9000 + n)).toFixed(2)}}}`);
    }
    const answer = await fetch(`${daemon.url}/api/v1/ingest`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-ndjson' },
      body: lines.join('\n'),
    });
    if (answer.ok) posted += lines.length;
    else refused += lines.length;
    due += 1000 / SLICES;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((done) => setTimeout(done, wait));
    else due = performance.now();
  }
}

const browser = await launch();
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
const page = await context.newPage();
await new Promise((done) => setTimeout(done, 5000));
const opened = performance.now();
await page.goto(daemon.url);
await page.waitForFunction((devices) => window.__tidegate?.devices() >= devices, DEVICES, { timeout: 120_000 });
console.log(`all ${DEVICES} devices on the page after ${Math.round(performance.now() - opened)} ms`);
const cdp = await context.newCDPSession(page);
await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
const metrics = async () =>
  Object.fromEntries((await cdp.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value]));
const heap = async () => {
  await cdp.send('HeapProfiler.collectGarbage');
  return Math.round((await metrics()).JSHeapUsedSize / 1e6);
};

await new Promise((done) => setTimeout(done, 5000));
const sent = posted;
const heapBefore = await heap();
const before = await metrics();
const from = performance.now();
// Growth shows in between, not only at the end.
const heaps = [];
for (let part = 0; part < PARTS; part++) {
  await new Promise((done) => setTimeout(done, (SECONDS * 1000) / PARTS));
  heaps.push(await heap());
}
const after = await metrics();
const passed = (performance.now() - from) / 1000;
const share = (name) => `${(((after[name] - before[name]) / passed) * 100).toFixed(1)} %`;
console.log(`${Math.round((posted - sent) / passed)} readings/s came in (${refused} refused in all)`);
console.log(`looked at for ${SECONDS} s: main thread ${share('TaskDuration')} of a core (script ${share('ScriptDuration')}, layout ${share('LayoutDuration')}, style ${share('RecalcStyleDuration')})`);

const scrolled = await page.evaluate(async () => {
  const main = document.getElementById('main');
  const gaps = [];
  let last = performance.now();
  const end = last + 10_000;
  await new Promise((done) => {
    const step = (now) => {
      gaps.push(now - last);
      last = now;
      main.scrollTop += 60;
      if (main.scrollTop + main.clientHeight >= main.scrollHeight - 10) main.scrollTop = 0;
      if (now < end) requestAnimationFrame(step);
      else done();
    };
    requestAnimationFrame(step);
  });
  gaps.sort((a, b) => a - b);
  const at = (share) => gaps[Math.floor((gaps.length - 1) * share)].toFixed(1);
  return { frames: gaps.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), worst: at(1) };
});
console.log(`scrolled for 10 s: ${scrolled.frames} frames, ms between frames p50 ${scrolled.p50}, p95 ${scrolled.p95}, p99 ${scrolled.p99}, worst ${scrolled.worst}`);
console.log(`heap ${heapBefore} MB before, ${heaps.join(', ')} MB while it was looked at, ${await heap()} MB after; ${Math.round(freemem() / 1e6)} MB of memory free`);
on = false;
await feeding;
await browser.close();
await daemon.end();
