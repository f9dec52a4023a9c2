// What an operator sees, in a real browser, from the real daemon.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BUSY_MS, Daemon, faultsOf, launch, newPage } from './daemon.mjs';
import { reads, serious, until } from './room.mjs';

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

/** A page with its faults: errors on the console, requests to anybody else. */
async function open(hash = '', options = {}) {
  const { page, context } = await newPage(browser, { viewport: { width: 1440, height: 900 }, ...options });
  const faults = faultsOf(page, daemon);
  await page.goto(`${daemon.url}/${hash}`);
  return { page, faults, close: () => context.close() };
}

/** Types into the search field, which a key leads to. */
async function search(page, text) {
  await page.locator('input[type=search]').waitFor();
  await until('the search field to have the focus', async () => {
    await page.keyboard.press('/');
    return page.evaluate(() => document.activeElement?.matches('input[type=search]'));
  });
  await page.keyboard.type(text);
  await page.waitForSelector('[role=grid][aria-rowcount="2"]');
}

test('the fleet is there at once, and values move', async (t) => {
  const opened = performance.now();
  const { page, faults, close } = await open();
  await page.waitForFunction(() => window.__tidegate?.devices() >= 200);
  t.diagnostic(`the fleet was there after ${Math.round(performance.now() - opened)} ms`);
  await page.waitForSelector('[data-link="live"]');
  const row = page.locator('[role=row]', { hasText: 'pump-002' }).first();
  await search(page, 'pump-002');
  await row.waitFor();
  const before = await row.innerText();
  await page.waitForFunction(
    (before) => {
      const rows = [...document.querySelectorAll('[role=row]')];
      const row = rows.find((row) => row.innerText.includes('pump-002'));
      return row && row.innerText !== before;
    },
    before,
  );
  assert.deepEqual(faults, []);
  await close();
});

test('a device page joins history and live without a hole or a doubled point', async () => {
  const { page, faults, close } = await open('#/device/pump-002');
  await page.waitForFunction(() => window.__tidegate?.series().some((name) => name.startsWith('motor.temperature')));
  const series = await page.evaluate(() => window.__tidegate.series().find((name) => name.startsWith('motor.temperature')));
  await page.waitForFunction((series) => window.__tidegate.chart(series)?.start.length > 5, series);
  const length = await page.evaluate((series) => window.__tidegate.chart(series).start.length, series);
  // Live goes on behind what was loaded.
  await page.waitForFunction(([series, length]) => window.__tidegate.chart(series).start.length >= length + 5, [series, length]);
  // The daemon's own account of the same seconds: those that are over must agree, count by count; late ones a little later.
  let counts;
  let truth;
  const agree = async () => {
    const chart = await page.evaluate((series) => window.__tidegate.chart(series), series);
    for (let i = 1; i < chart.start.length; i += 1) {
      assert.ok(chart.start[i] > chart.start[i - 1], `point ${i} is doubled or out of order`);
    }
    const from = chart.start[0];
    const to = chart.start.at(-1) - 4000;
    const query = `device=pump-002&metric=motor.temperature&from=${from}000000&to=${to}000000&bucket=1s&time=ms`;
    truth = await daemon.json(`/api/v1/query?${query}`);
    counts = new Map(chart.start.map((start, i) => [start, chart.count[i]]));
    return truth.time.length > 5 && truth.time.every((start, i) => counts.get(start) === truth.count[i]);
  };
  await until('chart and history to agree', agree).catch((error) => {
    if (truth !== undefined) assert.deepEqual(truth.time.map((start) => counts.get(start)), truth.count, error.message);
    throw error;
  });
  assert.deepEqual(faults, []);
  await close();
});

test('a killed daemon shows "reconnecting", and the page recovers without a reload', async () => {
  const { page, close } = await open();
  await page.waitForSelector('[data-link="live"]');
  await page.evaluate(() => { window.notReloaded = true; });
  await daemon.kill();
  await page.waitForSelector('[data-link]:not([data-link="live"])');
  await reads(page.locator('[data-link]').first(), /reconnect|connecting|no answer|waiting/i);
  await daemon.restart();
  await page.waitForSelector('[data-link="live"]', { timeout: 4 * BUSY_MS });
  assert.equal(await page.evaluate(() => window.notReloaded), true);
  await page.waitForFunction(() => window.__tidegate.devices() >= 200);
  await close();
});

for (const colorScheme of ['light', 'dark']) {
  for (const [name, hash] of [['overview', ''], ['device page', '#/device/pump-002']]) {
    test(`axe finds no serious fault on the ${name}, ${colorScheme}`, async () => {
      const { page, close } = await open(hash, { colorScheme, bypassCSP: true });
      await page.waitForSelector('[data-link="live"]');
      await page.locator('.rows .row .figure, .panel .u-over').first().waitFor();
      assert.deepEqual(await serious(page), []);
      await close();
    });
  }
}

test('it fits a phone: nothing scrolls sideways at 360 px', async () => {
  for (const hash of ['', '#/device/pump-002']) {
    const { page, faults, close } = await open(hash, { viewport: { width: 360, height: 740 } });
    await page.waitForSelector('[data-link="live"]');
    await page.locator('.rows .row .figure, .panel .u-over').first().waitFor();
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${hash || 'overview'} is ${width} px wide`);
    assert.deepEqual(faults, []);
    await close();
  }
});

test('a device is reached and left by keyboard alone', async () => {
  const { page, close } = await open();
  await page.waitForFunction(() => window.__tidegate?.devices() >= 200);
  await search(page, 'boiler-001');
  await page.locator('[role=row]', { hasText: 'boiler-001' }).first().waitFor();
  // Down from the search field into the table, down to its first row, and in.
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => location.hash.startsWith('#/device/boiler-001'));
  await page.goBack();
  await page.waitForFunction(() => !location.hash.startsWith('#/device/'));
  await close();
});

test('the page allows nothing but itself', async () => {
  const answer = await fetch(`${daemon.url}/`);
  const policy = answer.headers.get('content-security-policy');
  assert.match(policy, /default-src 'self'/);
  assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval/);
  assert.doesNotMatch(await answer.text(), /<script(?![^>]*src=)|<style|style="/);
});
