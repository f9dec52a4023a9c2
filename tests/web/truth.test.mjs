// What the page says about itself: that it joins, loses and finds its data, and never more than it knows.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BUSY_MS, Daemon, launch, newPage } from './daemon.mjs';
import { reads } from './room.mjs';

const DEVICE = 'pump-002';
const METRIC = 'motor.temperature';
/** Windows this close to now may still change. */
const SETTLE_MS = 4000;
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

async function open(hash, prepare = async () => {}) {
  const { page, context } = await newPage(browser, { viewport: { width: 1440, height: 900 } });
  await prepare(page);
  await page.goto(`${daemon.url}/${hash}`);
  return { page, close: () => context.close() };
}

const chart = (page) => page.evaluate((metric) => window.__tidegate.chart(metric), METRIC);

/** Waits until the chart has `points` points, history among them. */
const drawn = (page, points) =>
  page.waitForFunction(
    ([metric, points]) => {
      const chart = window.__tidegate?.chart(metric);
      return chart?.history === 'joined' && chart.start.length >= points;
    },
    [METRIC, points],
    { timeout: 4 * BUSY_MS },
  );

/** Every second that the history knows is on the chart once, with as many samples; late ones a little later. */
async function agrees(page) {
  for (const end = Date.now() + 4 * BUSY_MS; Date.now() < end; ) {
    const same = await compare(page).then(() => true, () => false);
    if (same) return;
    await new Promise((done) => setTimeout(done, 250));
  }
  await compare(page);
}

async function compare(page) {
  const { start, count } = await chart(page);
  for (let i = 1; i < start.length; i += 1) assert.ok(start[i] > start[i - 1], `point ${i} is doubled or out of order`);
  const to = start.at(-1) - SETTLE_MS;
  const query = `device=${DEVICE}&metric=${METRIC}&from=${start[0]}000000&to=${to}000000&bucket=1s&time=ms`;
  const truth = await daemon.json(`/api/v1/query?${query}`);
  const settled = start.filter((at) => at < to);
  assert.deepEqual(settled, truth.time);
  assert.deepEqual(count.slice(0, settled.length), truth.count);
}

test('values of the overview change before one’s eyes', async () => {
  const { page, close } = await open('');
  await page.waitForSelector('[data-link="live"]');
  await page.waitForSelector('.rows .row .figure');
  const shown = () => [...document.querySelectorAll('.rows .row .reading')].map((cell) => cell.textContent).join();
  const before = await page.evaluate(shown);
  await page.waitForFunction(
    (before) => [...document.querySelectorAll('.rows .row .reading')].map((cell) => cell.textContent).join() !== before,
    before,
  );
  await close();
});

test('a chart opened late holds all that was sent before, and goes on live', async () => {
  const { page, close } = await open(`#/device/${DEVICE}?range=5m`);
  await drawn(page, 8);
  const { start } = await chart(page);
  await drawn(page, start.length + 6);
  await agrees(page);
  await close();
});

test('a chart that lived through a kill has neither hole nor doubled point, and was not reloaded', async () => {
  const { page, close } = await open(`#/device/${DEVICE}?range=5m`);
  await drawn(page, 8);
  await page.evaluate(() => {
    window.notReloaded = true;
  });
  await daemon.kill();
  await page.waitForSelector('[data-link="waiting"]');
  await reads(page.locator('.link'), /reconnecting/);
  // The age of the data grows.
  await reads(page.locator('.link'), /data ([2-9] s|\d\d s|\d+ min.*) old/);
  await reads(page.locator('.verdict'), /No link/);
  await daemon.restart();
  await page.waitForSelector('[data-link="live"]', { timeout: 4 * BUSY_MS });
  const { start } = await chart(page);
  await drawn(page, start.length + 8);
  await agrees(page);
  assert.equal(await page.evaluate(() => window.notReloaded), true);
  await reads(page.locator('.verdict'), /All well/);
  await close();
});

test('a chart whose link was cut while the data went on has all of it afterwards', async () => {
  let cut = false;
  let last;
  const { page, close } = await open(`#/device/${DEVICE}?range=5m`, (page) =>
    page.routeWebSocket(/live\/ws/, (route) => {
      if (cut) return void route.close();
      last = route;
      route.connectToServer();
    }),
  );
  await drawn(page, 8);
  cut = true;
  await last.close();
  await page.waitForSelector('[data-link="waiting"]');
  const { start } = await chart(page);
  // Longer than any window of a second stays open, so that a page that only went on would miss some.
  const missed = `/api/v1/query?device=${DEVICE}&metric=${METRIC}&from=${start.at(-1)}000000&to=now&bucket=1s&time=ms`;
  while ((await daemon.json(missed)).time.length < 10) await new Promise((done) => setTimeout(done, 250));
  cut = false;
  await page.waitForSelector('[data-link="live"]');
  await drawn(page, start.length + 16);
  await agrees(page);
  await close();
});

test('a message of an unknown type asks for a reload', async () => {
  const { page, close } = await open('', (page) =>
    page.routeWebSocket(/live\/ws/, (route) => {
      const server = route.connectToServer();
      server.onMessage((message) => {
        route.send(message);
        route.send('{"type":"premonition","id":"1-1","time":1,"data":{}}');
      });
    }),
  );
  const banner = page.getByRole('alert');
  await reads(banner, /older than your data: reload/);
  await reads(banner, /premonition/);
  await close();
});

test('only the rows in sight exist, and the last one is reached by a key', async () => {
  const { page, close } = await open('');
  await page.waitForFunction(() => window.__tidegate?.devices() >= 200);
  await page.waitForFunction(() => document.querySelector('[role=grid]')?.getAttribute('aria-rowcount') === '201');
  const rows = () => page.locator('.rows [role=row]').count();
  assert.ok((await rows()) < 100, `${await rows()} rows exist`);
  await page.locator('[role=grid]').focus();
  await page.keyboard.press('End');
  await page.waitForSelector('[aria-rowindex="201"].active');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => location.hash.startsWith('#/device/'));
  await close();
});

test('the crosshair walks by arrow keys and is told on every chart', async () => {
  const { page, close } = await open(`#/device/${DEVICE}?range=5m`);
  await drawn(page, 8);
  await page.locator('.panel.number .chart').first().focus();
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction(() => {
    const told = [...document.querySelectorAll('.panel .reading')].map((it) => /^\d\d:\d\d:\d\d/.exec(it.innerText)?.[0]);
    return told.length > 3 && told.every((time) => time !== undefined);
  });
  await close();
});

test('a device that was never seen is said to be so', async () => {
  const { page, close } = await open('#/device/nobody');
  await page.getByText('has ever been seen here').waitFor();
  await close();
});

test('a chart has what came late, though no rollup told it', async () => {
  const send = async (...ages) => {
    const row = (age) => JSON.stringify({ device: 'late-1', time: new Date(Date.now() - age * 1000).toISOString(), values: { [METRIC]: age } });
    const headers = { 'content-type': 'application/x-ndjson' };
    const answer = await fetch(`${daemon.url}/api/v1/ingest`, { method: 'POST', headers, body: ages.map(row).join('\n') });
    assert.equal(answer.status, 200, await answer.text());
  };
  await send(90, 60, 0);
  const { page, close } = await open('#/device/late-1?range=5m');
  await drawn(page, 3);
  await send(75);
  await drawn(page, 4);
  await close();
});
