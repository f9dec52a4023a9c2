// Chromium's own EventSource: reads a compressed stream event by event, and comes back by itself.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BUSY_MS, Daemon, launch, newPage } from './daemon.mjs';

let daemon;
let browser;

before(async () => {
  daemon = await Daemon.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await daemon?.end();
});

test('an EventSource of a browser reads a compressed stream and resumes over a kill', async () => {
  const { page, context } = await newPage(browser);
  const encodings = [];
  page.on('response', (answer) => {
    if (answer.url().includes('/api/v1/live?')) encodings.push(answer.headers()['content-encoding']);
  });
  // What is not a page of ours may run and ask nothing (Content-Security-Policy).
  await page.goto(daemon.url);
  await page.evaluate(() => {
    window.kinds = [];
    window.opened = 0;
    const source = new EventSource('/api/v1/live?device=pump-*&max_hz=2');
    source.onopen = () => (window.opened += 1);
    for (const kind of ['snapshot', 'rollups', 'device', 'alert', 'status']) {
      source.addEventListener(kind, (event) => {
        if (JSON.parse(event.data).type !== kind) throw new Error(event.data);
        window.kinds.push(kind);
      });
    }
  });
  const until = (wanted, count) =>
    page.waitForFunction(([w, c]) => window.kinds.filter((kind) => kind === w).length >= c, [wanted, count], { timeout: 4 * BUSY_MS });
  await until('rollups', 4);
  await until('alert', 1);
  await daemon.kill();
  await daemon.restart();
  await page.waitForFunction(() => window.opened === 2, undefined, { timeout: 4 * BUSY_MS });
  const before = await page.evaluate(() => window.kinds.filter((kind) => kind === 'rollups').length);
  await until('rollups', before + 3);
  const kinds = await page.evaluate(() => window.kinds);
  assert.equal(kinds.filter((kind) => kind === 'snapshot').length, 1, 'it resumed');
  assert.equal(encodings[0], 'gzip');
  await context.close();
});
