// Live and history as one thing, in a real browser: zoom, pan, the way back, compare, export.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { chart, drag, ink, inked, joined, kiln, open as openAt, plot, time, until } from './charts.mjs';
import { Daemon, launch } from './daemon.mjs';
import { drawn, reads } from './room.mjs';

const HOUR = 3600 * 1000;
const DAY = 24 * HOUR;
let daemon;
let browser;
let past;

before(async () => {
  daemon = await Daemon.start();
  browser = await launch();
  past = await kiln(daemon);
});

after(async () => {
  await browser?.close();
  await daemon?.end();
});

const open = (hash, options) => openAt(browser, daemon, hash, options);
const near = (a, b, by, what) => assert.ok(Math.abs(a - b) <= by, `${what}: ${a} is not within ${by} of ${b}`);

test('a spike of one sample in thirty days is seen', async () => {
  const { page, faults, close } = await open('#/device/kiln-1?range=30d');
  await joined(page, 'zone1.temperature');
  const points = await chart(page, 'zone1.temperature');
  const at = points.max.indexOf(Math.max(...points.max));
  assert.ok(points.start.length < 1000, `${points.start.length} points for some 600 pixels`);
  assert.ok(points.max[at] > 110, 'the bucket knows it');
  assert.ok(points.avg[at] < 60, 'no average would show it');
  const { span } = await time(page);
  const height = (columns) => Math.max(...columns.map((high) => high ?? 0));
  const columns = await inked(page, 'temperature', (columns) => height(columns) > 0.75);
  const highest = columns.indexOf(height(columns));
  near(highest / columns.length, (past.spike - span[0]) / (span[1] - span[0]), 0.02, 'where the spike is');
  assert.deepEqual(faults, []);
  await close();
});

test('a gap stays a gap', async () => {
  // As wide as this, the ghost crosses a line of the grid within the gap at any hour.
  const { page, close } = await open('#/device/kiln-1?range=30d', { viewport: { width: 1300, height: 900 } });
  await joined(page, 'fan.speed');
  const isLine = (columns) => columns.filter((high) => high !== null).length > columns.length / 2;
  const { span } = await time(page);
  const columns = await inked(page, 'fan.speed', isLine);
  const share = (at) => Math.round(((at - span[0]) / (span[1] - span[0])) * columns.length);
  const [from, to] = [share(past.gap[0] + DAY / 4), share(past.gap[1] - DAY / 4)];
  assert.deepEqual(columns.slice(from, to).filter((high) => high !== null), []);
  assert.ok(columns.slice(0, from - 20).filter((high) => high === null).length < 12, 'and nothing else is one');
  // Also with the points of another time between its ends: only the ghost, which is faint, is there.
  await page.getByRole('combobox', { name: 'Compare with' }).selectOption('week');
  await until(page, () => (window.__tidegate.chart('fan.speed').ghost?.length ?? 0) > 100);
  await inked(page, 'fan.speed', (faint) => faint.slice(from, to).some((high) => high !== null));
  const haunted = await ink(page, 'fan.speed', 200, 110);
  assert.deepEqual(haunted.slice(from, to).filter((high) => high !== null), []);
  assert.ok(isLine(haunted), 'the line is there');
  await close();
});

test('dragging zooms: the daemon is asked for finer points, and nothing moves any more', async () => {
  const { page, faults, asked, close } = await open('#/device/pump-002?range=5m');
  await joined(page, 'flow');
  await until(page, () => window.__tidegate.chart('flow').start.length > 10);
  const wide = await chart(page, 'flow');
  const before = (await time(page)).span;
  asked.length = 0;
  await drag(page, plot(page, 'flow'), 0.9, 0.98);
  await until(page, () => window.__tidegate.time().past && window.__tidegate.chart('flow').bucket_ms < 1000);
  const { span } = await time(page);
  near(span[1] - span[0], (before[1] - before[0]) * 0.08, 3000, 'the span that was dragged out');
  assert.ok((await chart(page, 'flow')).bucket_ms < wide.bucket_ms);
  // Before it was zoomed live may have asked for what came late.
  const question = asked.findLast((query) => query.get('metric') === 'flow');
  assert.match(question.get('bucket'), /ms$/);
  assert.ok(Number(question.get('from')) / 1e6 >= span[0] - (span[1] - span[0]), 'it is not asked for more than it draws');
  // Live goes on, which the link's age shows; the chart does not.
  await drawn(page);
  const still = await chart(page, 'flow');
  const shown = await page.locator('section[aria-label="flow"]').innerText();
  const heard = await page.evaluate(() => performance.now());
  await until(page, (heard) => performance.now() > heard + 3000, heard);
  assert.deepEqual((await time(page)).span, span);
  assert.deepEqual((await chart(page, 'flow')).start, still.start);
  await page.mouse.move(5, 5);
  const value = () => page.locator('section[aria-label="flow"] .now').innerText();
  assert.ok(shown.includes(await value()), 'the value is that of the end of what is shown');
  // The visible way back, and what is drawn then goes on.
  await page.getByRole('button', { name: 'Live' }).click();
  await until(page, () => !window.__tidegate.time().past);
  await until(page, (newest) => window.__tidegate.chart('flow').start.at(-1) > newest, still.start.at(-1));
  assert.deepEqual(faults, []);
  await close();
});

test('a double click leads back to live, and "back" to where one was', async () => {
  const { page, faults, close } = await open('#/device/kiln-1?range=30d');
  await joined(page, 'fan.speed');
  await drag(page, plot(page, 'fan.speed'), 0.2, 0.4);
  await until(page, () => window.__tidegate.time().past);
  const zoomed = (await time(page)).span;
  await plot(page, 'fan.speed').dblclick();
  await until(page, () => !window.__tidegate.time().past);
  await until(page, () => location.hash.includes('range=30d'));
  await page.goBack();
  await until(page, () => window.__tidegate.time().past);
  assert.deepEqual((await time(page)).span, zoomed);
  await page.goForward();
  await until(page, () => !window.__tidegate.time().past);
  assert.deepEqual(faults, []);
  await close();
});

test('a wheel zooms around the pointer, shift-drag moves, keys do both', async () => {
  const { page, faults, close } = await open('#/device/kiln-1?range=7d');
  await joined(page, 'fan.speed');
  const over = plot(page, 'fan.speed');
  const box = await over.boundingBox();
  await page.mouse.move(box.x + box.width * 0.3, box.y + 20);
  await page.mouse.move(box.x + box.width * 0.25, box.y + 30, { steps: 3 });
  const before = (await time(page)).span;
  const under = before[0] + 0.25 * (before[1] - before[0]);
  // Notch by notch: what turns while a page is busy comes as one turn of fewer notches.
  for (let width = before[1] - before[0], notch = 1; notch <= 4; notch += 1) {
    await page.mouse.wheel(0, -100);
    await until(page, (most) => {
      const { span } = window.__tidegate.time();
      return span[1] - span[0] < most;
    }, (width /= 1.2));
  }
  await until(page, (width) => {
    const { span } = window.__tidegate.time();
    return span[1] - span[0] < width / 2;
  }, before[1] - before[0]);
  await until(page, () => location.hash.includes('from='));
  const zoomed = (await time(page)).span;
  near(zoomed[0] + 0.25 * (zoomed[1] - zoomed[0]), under, (zoomed[1] - zoomed[0]) / 50, 'what was under the pointer');

  await drag(page, over, 0.25, 0.5, 'Shift');
  await until(page, (from) => window.__tidegate.time().span[0] < from, zoomed[0]);
  const moved = (await time(page)).span;
  near(zoomed[0] - moved[0], 0.25 * (zoomed[1] - zoomed[0]), (zoomed[1] - zoomed[0]) / 50, 'how far it was carried');
  near(moved[1] - moved[0], zoomed[1] - zoomed[0], 2, 'its width');

  await page.mouse.move(5, 5);
  await page.getByRole('img', { name: /^Chart of fan.speed/ }).focus();
  await page.keyboard.press('-');
  await until(page, (width) => {
    const { span } = window.__tidegate.time();
    return span[1] - span[0] > 1.9 * width;
  }, moved[1] - moved[0]);
  const out = (await time(page)).span;
  await page.keyboard.press('Shift+ArrowLeft');
  await until(page, (from) => window.__tidegate.time().span[0] < from, out[0]);
  await page.keyboard.press('Escape');
  await until(page, () => !window.__tidegate.time().past);
  assert.deepEqual(faults, []);
  await close();
});

test('the crosshair is on all charts, and read out when keys move it', async () => {
  const { page, close } = await open(`#/device/kiln-1?range=7d&from=${past.now - 3 * DAY}&to=${past.now - DAY}`);
  await joined(page, 'fan.speed');
  await joined(page, 'zone2.temperature');
  await drawn(page);
  const box = await plot(page, 'fan.speed').boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 20);
  await page.mouse.move(box.x + box.width * 0.5, box.y + 30, { steps: 3 });
  await until(page, () => window.__tidegate.time().crosshair !== null);
  await drawn(page);
  const { crosshair, span } = await time(page);
  near(crosshair, (span[0] + span[1]) / 2, (span[1] - span[0]) / 100, 'the moment under the pointer');
  // Exact: what the caption says is what the daemon says of that bucket.
  const points = await chart(page, 'fan.speed');
  const i = points.start.findLastIndex((start) => start <= crosshair);
  const caption = await page.locator('section[aria-label="fan.speed"] .reading').innerText();
  assert.ok(caption.includes(points.avg[i].toLocaleString('en-US', { minimumFractionDigits: 1, maximumFractionDigits: 1 })), caption);
  assert.match(caption, /rpm/);
  // On the other chart the line stands at the same place, and its legend has values of that moment.
  await until(page, () => [...document.querySelectorAll('.u-over')].every((over) =>
    over.querySelector('.u-cursor-x').getBoundingClientRect().left > over.getBoundingClientRect().left));
  const lines = await page.evaluate(() => [...document.querySelectorAll('.u-over')].map((over) => {
    const line = over.querySelector('.u-cursor-x').getBoundingClientRect();
    const box = over.getBoundingClientRect();
    return (line.left - box.left) / box.width;
  }));
  assert.equal(lines.length, 2);
  near(lines[0], lines[1], 0.01, 'the two crosshairs');
  await reads(page.locator('section[aria-label="temperature"] .pointed'), /\d\d:\d\d:\d\d/);

  await page.mouse.move(5, 5);
  await page.getByRole('img', { name: /^Chart of temperature/ }).focus();
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  await reads(page.locator('.device-page > [role=status]'), /^(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d: zone1\.temperature [\d.]+ °C, zone2\.temperature [\d.]+ °C$/);
  await close();
});

test('an address holds the view: time, comparison, what is hidden', async () => {
  const first = await open('#/device/kiln-1?range=7d');
  await joined(first.page, 'fan.speed');
  await first.page.getByRole('button', { name: /^zone2.temperature/ }).click();
  await first.page.getByRole('combobox', { name: 'Compare with' }).selectOption('week');
  await drag(first.page, plot(first.page, 'fan.speed'), 0.3, 0.6);
  await until(first.page, () => window.__tidegate.time().past);
  const seen = (await time(first.page)).span;
  const hash = await first.page.evaluate(() => location.hash);
  await first.close();

  const second = await open(hash);
  await joined(second.page, 'fan.speed');
  assert.deepEqual((await time(second.page)).span, seen);
  assert.equal(await second.page.getByRole('combobox', { name: 'Compare with' }).inputValue(), 'week');
  assert.equal(await second.page.getByRole('button', { name: /^zone2.temperature: hidden/ }).getAttribute('aria-pressed'), 'false');
  await second.page.reload();
  await joined(second.page, 'fan.speed');
  assert.deepEqual((await time(second.page)).span, seen);
  assert.deepEqual(second.faults, []);
  await second.close();
});

test('last week lies under this week as a ghost', async () => {
  const { page, asked, close } = await open('#/device/kiln-1?range=24h&compare=week');
  await joined(page, 'fan.speed');
  await until(page, () => (window.__tidegate.chart('fan.speed').ghost?.length ?? 0) > 100);
  const { ghost } = await chart(page, 'fan.speed');
  const { span } = await time(page);
  assert.ok(ghost[0] >= span[0] - DAY / 2 && ghost[0] < span[0] + HOUR, 'it is moved to where it is compared');
  const questions = asked.filter((query) => query.get('metric') === 'fan.speed').map((query) => query.get('from') / 1e6);
  assert.ok(questions.some((from) => Math.abs(from - (span[0] - 7 * DAY)) < DAY), 'the daemon was asked for last week');
  await reads(page.locator('section[aria-label="fan.speed"] .reading'), /7 days earlier/);
  await close();
});

test('"go to" takes what people type', async () => {
  const { page, faults, close } = await open('#/device/kiln-1?range=24h');
  await joined(page, 'fan.speed');
  const field = page.getByRole('textbox', { name: 'Go to' });
  await field.fill('next summer');
  await field.press('Enter');
  await reads(page.getByRole('alert'), /is no time/);
  assert.equal((await time(page)).past, false);
  await field.fill('yesterday 03:00 to 05:00');
  await field.press('Enter');
  await until(page, () => window.__tidegate.time().past);
  const { span } = await time(page);
  assert.equal(span[1] - span[0], 2 * HOUR);
  assert.equal(new Date(span[0]).getHours(), 3);
  await field.fill('-5d');
  await field.press('Enter');
  await until(page, (from) => window.__tidegate.time().span[0] < from - 24 * 3600e3, span[0]);
  const there = await time(page);
  near((there.span[0] + there.span[1]) / 2, Date.now() - 5 * DAY, 60_000, 'the middle');
  assert.notEqual(there.crosshair, null, 'the moment is pointed at');
  assert.deepEqual(faults, []);
  await close();
});

async function saved(page, order) {
  await page.getByText('Export', { exact: true }).click();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: order }).click()]);
  return { name: download.suggestedFilename(), content: readFileSync(await download.path()) };
}

test('the CSV has what is drawn, and nothing else', async () => {
  const hash = `#/device/kiln-1?range=7d&from=${past.now - 3 * DAY}&to=${past.now - 2 * DAY}&hide=kiln-1:zone2.temperature`;
  const { page, faults, close } = await open(hash);
  await joined(page, 'zone1.temperature');
  await joined(page, 'fan.speed');
  const { name, content } = await saved(page, 'CSV of what is drawn');
  assert.match(name, /^kiln-1 .*\.csv$/);
  const [head, ...rows] = content.toString().trimEnd().split('\r\n').map((row) => row.split(','));
  assert.deepEqual(head, ['time', 'device', 'metric', 'tags', 'unit', 'seconds', 'samples', 'min', 'max', 'avg', 'last']);
  assert.deepEqual([...new Set(rows.map((row) => row[2]))].sort(), ['fan.speed', 'zone1.temperature']);
  // Beside the daemon's own answer to the same question.
  const mine = rows.filter((row) => row[2] === 'zone1.temperature');
  const bucket_ms = Number(mine[0][5]) * 1000;
  const from = Date.parse(mine[0][0]);
  const to = Date.parse(mine.at(-1)[0]) + bucket_ms;
  const query = `device=kiln-1&metric=zone1.temperature&from=${from}000000&to=${to}000000&bucket=${bucket_ms / 1000}s&time=ms`;
  const truth = await daemon.json(`/api/v1/query?${query}`);
  assert.deepEqual(mine.map((row) => Date.parse(row[0])), truth.time);
  assert.deepEqual(mine.map((row) => Number(row[7])), truth.min);
  assert.deepEqual(mine.map((row) => Number(row[9])), truth.avg);
  assert.equal(mine[0][4], '°C');
  assert.deepEqual(faults, []);
  await close();
});

test('a picture of the charts can be kept', async () => {
  const { page, faults, close } = await open('#/device/kiln-1?range=7d');
  await joined(page, 'fan.speed');
  await inked(page, 'fan.speed', (columns) => columns.some((high) => high !== null));
  const { name, content } = await saved(page, 'Picture (PNG)');
  assert.match(name, /\.png$/);
  assert.equal(content.subarray(1, 4).toString(), 'PNG');
  assert.ok(content.readUInt32BE(16) > 1000, 'as wide as the page');
  assert.ok(content.length > 15_000, 'there is something in it');
  assert.deepEqual(faults, []);
  await close();
});

test('nothing shifts while the charts load', async () => {
  const { page, close } = await open('');
  await page.waitForSelector('[data-link="live"]');
  await page.evaluate(() => {
    window.shifted = [];
    new PerformanceObserver((list) => {
      for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shifted.push({ value: shift.value, what: shift.sources.map((it) => it.node?.outerHTML?.slice(0, 90)) });
    }).observe({ type: 'layout-shift' });
    location.hash = '#/device/kiln-1?range=30d';
  });
  await joined(page, 'fan.speed');
  await joined(page, 'zone1.temperature');
  await page.waitForTimeout(500);
  const shifted = await page.evaluate(() => window.shifted);
  const whole = shifted.reduce((sum, { value }) => sum + value, 0);
  assert.ok(whole < 0.1, `the layout shifted by ${whole}: ${JSON.stringify(shifted)}`);
  await close();
});
