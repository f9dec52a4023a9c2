// What an operator sees of sinks, and does with them: stores that die and come back, breakers that are held, and
// readings that a store refuses for good. The daemon, the stores and the browser are real.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BUSY_MS, Daemon, launch } from './daemon.mjs';
import { counts, open as openPage, reads, serious, until } from './room.mjs';
import { Influx2, VictoriaMetrics, WORDS } from './store.mjs';

const SINK = '[data-sink="influx"]';
let browser;
let store;
let daemon;
let picky;
let pickyDaemon;

/** A small plant whose samples go to `url`; the breaker is quick, so that stories are short. */
const plant = (url) =>
  Daemon.start(
    ...['--devices', '20', '--well-behaved'],
    ...['name=influx', `url=${url}`, 'bucket=b', 'breaker.failures=2', 'breaker.backoff_max=2 s'].flatMap((set) => [
      '--set',
      `sinks.influx.0.${set}`,
    ]),
  );

before(async () => {
  browser = await launch();
  store = await VictoriaMetrics.start();
  daemon = await plant(store.url);
  picky = await Influx2.start();
  pickyDaemon = await plant(picky.url);
});

after(async () => {
  await browser?.close();
  await daemon?.end();
  await pickyDaemon?.end();
  await store?.end();
  await picky?.end();
});

const open = (at, hash = '', options = {}) => openPage(browser, at, hash, { viewport: { width: 1280, height: 800 }, ...options });

const breaker = (page, state) => page.waitForSelector(`${SINK}[data-breaker="${state}"]`, { timeout: 4 * BUSY_MS });

/** Live data is at most a few seconds behind. */
const caughtUp = (page) =>
  page.waitForFunction(
    (sink) => /^(live )?[0-4]\.\d s behind/.test(document.querySelector(`${sink} .lag`)?.textContent ?? ''),
    SINK,
    { timeout: 4 * BUSY_MS },
  );

/** Waits until `text` of the page is another. */
async function moves(page, text) {
  const before = await page.evaluate(text);
  for (const end = Date.now() + BUSY_MS; Date.now() < end; await page.waitForTimeout(100)) {
    if ((await page.evaluate(text)) !== before) return;
  }
  assert.fail(`nothing moves: ${before}`);
}

const readings = () => [...document.querySelectorAll('.rows .row .reading')].map((cell) => cell.textContent).join();
const lag = () => document.querySelector('[data-sink="influx"] .lag').textContent;
const sinkOf = async (at) => (await at.json('/api/v1/status')).sinks.find((sink) => sink.name === 'influx');

test('a sink that is well is one quiet line, and the ledger balances', async () => {
  const { page, faults, close } = await open(daemon);
  await breaker(page, 'closed');
  await caughtUp(page);
  await counts(page.locator(`${SINK} .why, ${SINK} .backlog, ${SINK} [role=alert]`), 0);
  await reads(page.locator(SINK), /closed[^]*behind[^]*samples\/s[^]*request[^]*no dead letters/);
  await reads(page.locator('[data-reserve="ledger"]'), /balanced[^]*accepted[^]*=[^]*stored/);
  // The history has no breaker that an operator could hold.
  assert.equal(await page.locator('[data-sink="history"] button').count(), 0);
  assert.deepEqual(faults, []);
  await close();
});

test('a store that dies turns its lamp and says why, and the page goes on moving; back again, the lag falls', async () => {
  const { page, faults, close } = await open(daemon);
  await breaker(page, 'closed');
  await store.kill();
  await breaker(page, 'open');
  const plain = (text) => text?.replace(/\.$/, '').toLowerCase();
  await until('the page says what the daemon does', async () => {
    const { cause } = await sinkOf(daemon);
    return cause !== null && plain(await page.locator(`${SINK} .cause`).first().innerText()) === plain(cause);
  });
  await page.waitForFunction(() => /Next probe (in \d+ s|now)/.test(document.querySelector('[data-sink="influx"] .why')?.textContent ?? ''));
  await reads(page.locator('.verdict'), /influx is (cut off|being probed): ./);
  await moves(page, readings);
  await moves(page, lag);
  await store.restart();
  await breaker(page, 'closed');
  await caughtUp(page);
  await counts(page.locator(`${SINK} .why`), 0);
  const sink = await sinkOf(daemon);
  assert.deepEqual([sink.imbalance, sink.dead_letters.letters], [0, 0]);
  assert.deepEqual(faults, []);
  await close();
});

test('the pipeline shows an open breaker as a lamp, says what is wrong and what to do, and all is well when it is over', async () => {
  const { page, faults, close } = await open(daemon, '#/pipeline');
  await page.locator('.all-well').waitFor({ timeout: 4 * BUSY_MS });
  const lamp = () => page.locator('[data-part="sink influx"] .lamp').first().getAttribute('d');
  const closed = await lamp();
  await store.kill();
  // All of it at the same time, between two probes.
  await page.waitForFunction(
    () => {
      const part = document.querySelector('[data-part="sink influx"]');
      const told = document.querySelector('[data-trouble="sink influx"]')?.innerText ?? '';
      return part.matches('.bad') && /^influx is cut off.*: .+\. Its samples wait in the spool.*“Probe now” tries at once\.$/.test(told.replace(/\s+/g, ' ').trim());
    },
    null,
    { timeout: 2 * BUSY_MS },
  );
  assert.notEqual(await lamp(), closed, 'not by colour alone');
  assert.equal(await page.locator('.all-well').count(), 0);
  assert.match(await page.locator('.drawing').getAttribute('aria-label'), /influx: [^.]*(open|probed)/i);
  await store.restart();
  await page.locator('.all-well').waitFor({ timeout: 4 * BUSY_MS });
  assert.equal(await lamp(), closed);
  assert.deepEqual(faults, []);
  await close();
});

test('a breaker is held and released from the page, with a question before', async () => {
  const { page, faults, close } = await open(daemon);
  await breaker(page, 'closed');
  const hold = page.getByRole('button', { name: 'Hold: influx' });
  await hold.focus();
  await page.keyboard.press('Enter');
  await reads(page.getByRole('dialog'), /Hold influx\?[^]*pile up in the spool/);
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.equal((await sinkOf(daemon)).held, false);
  await hold.click();
  await page.getByRole('dialog').getByRole('button', { name: 'Hold' }).click();
  await breaker(page, 'held');
  assert.equal((await sinkOf(daemon)).held, true);
  await reads(page.locator(`${SINK} .why`), /Held by an operator/);
  const { written } = await sinkOf(daemon);
  await moves(page, lag);
  await moves(page, lag);
  // What was under way when it was held may still end; nothing new is written.
  const { written: settled } = await until('the last request to end', async () => {
    const sink = await sinkOf(daemon);
    return sink.requests.under_way === 0 && sink;
  });
  await moves(page, lag);
  await moves(page, lag);
  assert.equal((await sinkOf(daemon)).written, settled, `${written} before`);
  await page.getByRole('button', { name: 'Release: influx' }).click();
  await breaker(page, 'closed');
  await caughtUp(page);
  assert.equal((await sinkOf(daemon)).held, false);
  assert.deepEqual(faults, []);
  await close();
});

/** A reading of `device` that the store refuses, until it is a dead letter. */
async function refuse(device) {
  picky.refused.add(device);
  const body = `{"device":"${device}","values":{"motor.temperature":71.0,"motor.speed":1480}}\n`;
  const answer = await fetch(`${pickyDaemon.url}/api/v1/ingest`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-ndjson' },
    body,
  });
  assert.ok(answer.ok, await answer.text());
  await until(`${device} is a dead letter`, async () => (await letterOf(device)) !== undefined);
}

const letterOf = async (device) =>
  (await pickyDaemon.json('/api/v1/dead-letters?limit=100')).letters.find((letter) => letter.device === device);

test('a refused reading is on the page of dead letters in the server’s words, and is replayed', async () => {
  await refuse('poison-1');
  const { page, faults, close } = await open(pickyDaemon);
  await page.locator(`${SINK} .letters`, { hasText: /dead letter/ }).click();
  const row = page.getByRole('row', { name: /poison-1/ });
  await reads(row, new RegExp(`influx[^]*poison-1[^]*motor\\.[^]*${WORDS}`));
  await row.getByRole('link').click();
  await page.getByRole('heading', { name: /Dead letter \d+/ }).waitFor();
  await reads(page.locator('.refusal blockquote'), new RegExp(WORDS));
  await reads(page.locator('.readings'), /motor\.speed 1480|motor\.temperature 71/);
  // Refused again it stays, with one attempt more.
  const before = (await letterOf('poison-1')).attempts;
  await page.getByRole('button', { name: 'Replay 1 dead letter' }).click();
  await until('the second refusal', async () => (await letterOf('poison-1'))?.attempts > before);
  // Once the store takes it, it leaves the list.
  assert.equal(picky.taken('poison-1'), 0);
  picky.refused.delete('poison-1');
  await page.getByRole('button', { name: 'Replay 1 dead letter' }).click();
  await page.getByText(/There is no dead letter \d+/).waitFor({ timeout: 2 * BUSY_MS });
  assert.ok(picky.taken('poison-1') >= 1);
  // The browser itself notes the 404 of the letter that went.
  assert.deepEqual(faults.filter((fault) => !fault.includes('404')), []);
  await close();
});

test('dead letters are dropped by keyboard, one and all, with a question before', async () => {
  await refuse('poison-2');
  await refuse('poison-3');
  await refuse('poison-4');
  const { page, faults, close } = await open(pickyDaemon, '#/dead-letters?sink=influx');
  const row = page.getByRole('row', { name: /poison-2/ });
  await row.waitFor();
  await row.getByRole('checkbox').focus();
  await page.keyboard.press('Space');
  await page.getByRole('button', { name: 'Drop 1 dead letter' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Drop 1 dead letter?' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.notEqual(await letterOf('poison-2'), undefined);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').getByRole('button', { name: 'Drop' }).click();
  await row.waitFor({ state: 'detached' });
  assert.equal(await letterOf('poison-2'), undefined);
  await page.getByRole('button', { name: /Drop all \d+ dead letters of influx/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Drop' }).click();
  await page.getByText('No dead letters', { exact: true }).waitFor();
  assert.equal((await pickyDaemon.json('/api/v1/dead-letters')).totals.letters, 0);
  assert.ok((await pickyDaemon.json('/api/v1/dead-letters')).totals.dropped >= 3);
  assert.equal(picky.taken('poison-2'), 0);
  assert.deepEqual(faults, []);
  await close();
});

test('axe finds no serious fault on the dead letters, light and dark, and they fit a phone', async () => {
  await refuse('poison-5');
  const { id } = await letterOf('poison-5');
  for (const colorScheme of ['light', 'dark']) {
    for (const hash of ['', '#/dead-letters', `#/dead-letters/${id}`]) {
      for (const viewport of [{ width: 1280, height: 800 }, { width: 360, height: 740 }]) {
        const { page, close } = await open(pickyDaemon, hash, { colorScheme, viewport, bypassCSP: true });
        await page.locator('.sink, tr[data-letter], .refusal').first().waitFor();
        assert.deepEqual(await serious(page), []);
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= viewport.width, `${hash || 'overview'} is ${width} px wide`);
        await close();
      }
    }
  }
});
