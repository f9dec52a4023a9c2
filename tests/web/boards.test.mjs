// Boards, in a real browser: made, changed by pointer and keys, kept over a restart, and what two editors see.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { joined, open as openAt, until } from './charts.mjs';
import { Daemon, launch } from './daemon.mjs';
import { counts, reads, serious } from './room.mjs';

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

const open = (hash, options) => openAt(browser, daemon, hash, options);

const series = (device, metric) => ({ device, metric, tags: {} });
const chartPanel = (id, x, y, ...of) => ({ id, kind: 'chart', title: '', x, y, w: 6, h: 4, series: of });
const boardOf = (name, ...panels) => ({ version: 1, name, range: '5m', panels });

async function put(id, board, expected = { 'If-None-Match': '*' }) {
  const headers = { 'Content-Type': 'application/json', ...expected };
  const answer = await fetch(`${daemon.url}/api/v1/boards/${id}`, { method: 'PUT', headers, body: JSON.stringify(board) });
  assert.ok(answer.ok, `${answer.status} ${await answer.text()}`);
  return answer.headers.get('etag');
}

const kept = (id) => daemon.json(`/api/v1/boards/${id}`);
const order = (page) => page.locator('.board-grid > .cell').evaluateAll((cells) => cells.map((cell) => cell.dataset.panel));
/** While a board is edited its panels have buttons "Edit", too. */
const saved = async (page) => {
  await button(page, 'Save').click();
  await page.locator('.board-page:not(.editing)').waitFor();
};
const button = (page, name) => page.getByRole('button', { name, exact: true });

test('a device has a board by itself; saved, dragged and saved again it survives a reload and a restart', async () => {
  const { page, faults, close } = await open('#/device/pump-002?range=5m');
  await joined(page, 'flow');
  await until(page, () => ['pressure.in', 'pressure.out'].every((name) => window.__tidegate.series().includes(name)));
  await button(page, 'Save as board').click();
  await until(page, () => location.hash.startsWith('#/board/pump-002'));
  await joined(page, 'pump-002:flow');
  const made = await kept('pump-002');
  assert.equal(made.range, '5m');
  const pressure = made.panels.find((panel) => panel.series.some((one) => one.metric === 'pressure.in'));
  assert.deepEqual(pressure.series.map((one) => one.metric), ['pressure.in', 'pressure.out'], 'one unit, one chart');

  await button(page, 'Edit').first().click();
  const first = (await order(page))[0];
  const handle = page.locator(`[data-panel="${first}"] .handle`);
  // Where it stands once the tools of all panels have found their places.
  await until(page, (first) => new Promise((done) => {
    const place = () => JSON.stringify(document.querySelector(`[data-panel="${first}"] .handle`)?.getBoundingClientRect());
    const before = place();
    requestAnimationFrame(() => requestAnimationFrame(() => done(before !== undefined && place() === before)));
  }), first);
  const box = await handle.boundingBox();
  const cell = await page.locator(`[data-panel="${first}"]`).boundingBox();
  await page.mouse.move(box.x + 30, box.y + box.height / 2);
  await page.mouse.down();
  assert.equal(await page.evaluate(() => document.activeElement.closest('[data-panel]')?.dataset.panel), first, 'it is taken');
  await page.mouse.move(box.x + 30 + cell.width / 2, box.y + cell.height, { steps: 5 });
  await page.mouse.move(box.x + 30 + cell.width + 20, box.y + cell.height + 20, { steps: 5 });
  await page.mouse.up();
  await until(page, (first) => document.querySelector('.board-grid > .cell').dataset.panel !== first, first);
  const dragged = await order(page);
  await reads(page.locator('.board-head'), /not saved yet/);
  await saved(page);
  const stored = (await kept('pump-002')).panels.find((panel) => panel.id === first);
  assert.ok(stored.x > 0, 'it stands further to the right');

  await page.reload();
  await until(page, () => document.querySelectorAll('.board-grid > .cell').length > 3);
  assert.deepEqual(await order(page), dragged);
  assert.deepEqual(faults, []);
  await close();

  await daemon.kill();
  await daemon.restart();
  const again = await open('#/board/pump-002');
  await until(again.page, () => document.querySelectorAll('.board-grid > .cell').length > 3);
  assert.deepEqual(await order(again.page), dragged);
  await joined(again.page, 'pump-002:flow');
  // It opens with the range that it was saved with.
  await until(again.page, () => location.hash.includes('range=5m'));
  await again.close();
});

test('panels are moved and resized by keys, which say where they are', async () => {
  await put('keys', boardOf('keys', chartPanel('a', 0, 0, series('pump-002', 'flow')), chartPanel('b', 0, 4, series('pump-002', 'vibration'))));
  const { page, faults, close } = await open('#/board/keys');
  await button(page, 'Edit').first().click();
  await page.locator('[data-panel="a"] .handle').focus();
  await page.keyboard.press('ArrowDown');
  assert.deepEqual(await order(page), ['b', 'a']);
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Shift+ArrowRight');
  await until(page, () => /: column 2, row 5, 7 wide, 4 high$/.test(document.querySelector('.board-page > [role=status]').innerText));
  // The same by buttons, for those who cannot drag and have no keys.
  await page.locator('[data-panel="a"] summary').click();
  await page.locator('[data-panel="a"]').getByRole('button', { name: 'Taller' }).click();
  await saved(page);
  const [a] = (await kept('keys')).panels.filter((panel) => panel.id === 'a');
  assert.deepEqual([a.x, a.y, a.w, a.h], [1, 4, 7, 5]);
  assert.deepEqual(faults, []);
  await close();
});

test('several devices share a chart with two axes by unit; a third unit is refused in words', async () => {
  const { page, faults, close } = await open('#/boards');
  await page.getByRole('textbox', { name: 'Name' }).fill('Pump hall №1');
  await button(page, 'Create').click();
  await until(page, () => location.hash === '#/board/pump-hall-no1' || location.hash.startsWith('#/board/pump-hall-no1?'));
  await page.getByText('This board is empty.').waitFor();
  await page.getByRole('button', { name: 'Add chart' }).click();
  const pick = async (device, metric) => {
    await page.getByRole('searchbox', { name: 'Find a device' }).fill(device);
    await button(page, device).click();
    await page.getByRole('checkbox', { name: metric }).click();
  };
  await pick('pump-002', /^flow/);
  await pick('pump-003', /^flow/);
  await page.getByRole('checkbox', { name: /^pressure.in/ }).click();
  await page.getByRole('checkbox', { name: /^vibration/ }).click();
  await reads(page.getByRole('alert'), /m³\/h, bar; mm\/s needs a chart of its own/);
  assert.equal(await page.getByRole('checkbox', { name: /^vibration/ }).isChecked(), false);
  await button(page, 'Done').click();
  await joined(page, 'pump-003:pressure.in');
  await joined(page, 'pump-002:flow');
  // Each with its own values, on its own axis.
  const keys = page.locator('.keys li');
  await counts(keys, 3);
  await reads(keys.nth(0), /pump-002 flow/);
  await reads(keys.nth(2), /pump-003 pressure\.in[^]*bar/);
  await counts(page.locator('.board-grid .u-axis'), 3);
  await saved(page);
  assert.equal((await kept('pump-hall-no1')).name, 'Pump hall №1');
  assert.deepEqual(faults, []);
  await close();
});

test('values and texts stand beside charts', async () => {
  await put('notes', boardOf('notes'));
  const { page, faults, close } = await open('#/board/notes');
  await button(page, 'Edit').first().click();
  await page.getByRole('button', { name: 'Add text' }).click();
  await page.getByRole('textbox', { name: 'Text' }).fill('Call Ana before\nstopping <b>anything</b>.');
  await button(page, 'Done').click();
  await page.getByRole('button', { name: 'Add value' }).click();
  await page.getByRole('searchbox', { name: 'Find a device' }).fill('pump-002');
  await button(page, 'pump-002').click();
  await page.getByRole('checkbox', { name: /^flow/ }).click();
  await button(page, 'Done').click();
  await until(page, () => /\d/.test(document.querySelector('.panel.values dd')?.innerText ?? ''));
  await reads(page.locator('.panel.values dd'), /^[\d.]+\s*m³\/h$/);
  assert.equal(await page.locator('.panel.text p').innerText(), 'Call Ana before\nstopping <b>anything</b>.');
  await button(page, 'Discard').click();
  await page.getByText('This board is empty.').waitFor();
  assert.deepEqual((await kept('notes')).panels, []);
  assert.deepEqual(faults, []);
  await close();
});

test('of two editors the second is told, and chooses', async () => {
  const tag = await put('shared', boardOf('shared', chartPanel('a', 0, 0, series('pump-002', 'flow'))));
  const edit = async () => {
    const one = await open('#/board/shared');
    await button(one.page, 'Edit').first().click();
    await one.page.getByRole('textbox', { name: 'Name' }).fill('mine');
    return one;
  };
  const theirs = boardOf('theirs', chartPanel('a', 6, 0, series('pump-002', 'flow')));
  const [one, two, three] = [await edit(), await edit(), await edit()];
  await put('shared', theirs, { 'If-Match': tag });
  for (const { page } of [one, two, three]) {
    await button(page, 'Save').click();
    await page.getByRole('heading', { name: 'Somebody else changed this board' }).waitFor();
  }
  assert.equal((await kept('shared')).name, 'theirs', 'nothing was overwritten');

  await button(one.page, 'Save mine as a new board').click();
  await until(one.page, () => location.hash.startsWith('#/board/mine-copy'));
  assert.equal((await kept('mine-copy')).name, 'mine (copy)');

  await button(two.page, 'Show theirs, drop mine').click();
  await two.page.getByRole('heading', { name: 'theirs', level: 1 }).waitFor();
  assert.equal((await kept('shared')).name, 'theirs');

  await button(three.page, 'Overwrite with mine').click();
  await three.page.getByRole('heading', { name: 'mine', level: 1 }).waitFor();
  assert.equal((await kept('shared')).name, 'mine');
  // The browser itself notes the refusals, and there is nothing else to note.
  for (const { faults } of [one, two, three]) assert.deepEqual(faults.filter((fault) => !/412/.test(fault)), []);
  for (const { close } of [one, two, three]) await close();
});

test('a board is exported as it is kept, imported elsewhere, and deleted only after a question', async () => {
  const board = boardOf('travels', chartPanel('a', 0, 0, series('pump-002', 'flow')));
  await put('travels', board);
  const { page, faults, close } = await open('#/boards');
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export travels' }).click(),
  ]);
  assert.equal(download.suggestedFilename(), 'travels.json');
  const file = await download.path();
  assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), board);

  await page.getByRole('button', { name: 'Delete travels' }).click();
  await button(page.getByRole('dialog'), 'Cancel').click();
  assert.equal((await kept('travels')).name, 'travels');
  await page.getByRole('button', { name: 'Delete travels' }).click();
  await button(page.getByRole('dialog'), 'Delete').click();
  await until(page, () => ![...document.querySelectorAll('.board-entry')].some((entry) => entry.innerText.includes('travels')));
  assert.equal((await fetch(`${daemon.url}/api/v1/boards/travels`)).status, 404);

  const field = page.locator('.import input');
  await field.setInputFiles({ name: 'b.json', mimeType: 'application/json', buffer: readFileSync(file) });
  await page.getByText('“travels” is imported.').waitFor();
  assert.deepEqual(await kept('travels'), board);

  const refused = async (text, why) => {
    const path = join(tmpdir(), `tidegate-board-${process.pid}.json`);
    writeFileSync(path, text);
    await field.setInputFiles(path);
    await reads(page.getByRole('alert'), why);
  };
  await refused(JSON.stringify({ ...board, version: 2 }), /newer page \(version 2\)/);
  await refused('{"version":1,"name":"x","panels":[{"kind":"pie"}]}', /“panels\[0\]/);
  await refused('no json', /“JSON”/);
  assert.deepEqual(faults, []);
  await close();
});

test('a board that is not there says so', async () => {
  const { page, close } = await open('#/board/gone');
  await page.getByText('There is no board “gone”.').waitFor();
  await page.getByRole('link', { name: 'To the boards' }).click();
  await until(page, () => location.hash === '#/boards');
  await close();
});

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds no serious fault on boards, ${colorScheme}`, async () => {
    const panels = [chartPanel('a', 0, 0, series('pump-002', 'flow'), series('pump-003', 'flow')), chartPanel('b', 6, 0, series('pump-002', 'state'))];
    await put(`axe-${colorScheme}`, boardOf('axe', ...panels));
    const { page, close } = await open('#/boards', { colorScheme, bypassCSP: true });
    await page.getByRole('link', { name: 'axe' }).first().waitFor();
    // What is shown while there is no link is faded, and rightly so.
    await page.waitForSelector('[data-link="live"]');
    const check = async (where) => assert.deepEqual(await serious(page), [], where);
    await check('the list');
    await page.evaluate((id) => (location.hash = `#/board/${id}`), `axe-${colorScheme}`);
    await joined(page, 'pump-003:flow');
    await page.locator('.board-grid .u-over').first().waitFor();
    await check('a board');
    await button(page, 'Edit').first().click();
    await page.locator('.board-page.editing').waitFor();
    await check('a board that is edited');
    await page.getByRole('button', { name: 'Add chart' }).click();
    await page.getByRole('searchbox', { name: 'Find a device' }).fill('pump');
    await button(page, 'pump-002').click();
    await page.getByRole('checkbox', { name: /^flow/ }).waitFor();
    await check('the choice of series');
    await close();
  });
}

test('boards fit a phone: nothing scrolls sideways at 360 px', async () => {
  await put('phone', boardOf('phone', chartPanel('a', 0, 0, series('pump-002', 'flow'), series('pump-003', 'pressure.in'))));
  for (const hash of ['#/boards', '#/board/phone']) {
    const { page, faults, close } = await open(hash, { viewport: { width: 360, height: 740 } });
    await page.waitForSelector('.board-entry, .board-grid > .cell');
    const width = await page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.getElementById('main').scrollWidth));
    assert.ok(width <= 360, `${hash} is ${width} px wide`);
    assert.deepEqual(faults, []);
    await close();
  }
});
