// Commands to a simulated device, from the page to the device and back; its desired configuration; its facts; and
// devices that nobody has accepted yet.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Daemon, launch } from './daemon.mjs';
import { api, open, reading, reads, until } from './room.mjs';

let daemon;
let browser;

before(async () => {
  daemon = await Daemon.start('--devices', '10', '--well-behaved');
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await daemon?.end();
});

async function fill(page, name, args, options = {}) {
  const form = page.locator('.make');
  if ((await form.getAttribute('open')) === null) await form.locator('summary').click();
  await form.getByLabel('Command', { exact: true }).fill(name);
  await form.getByLabel('Arguments').fill(args);
  if (options.ttl !== undefined) await form.getByLabel('Waits at most').selectOption(options.ttl);
  await form.getByLabel('Your name').fill('ana');
  return form.getByRole('button', { name: 'Send', exact: true });
}

async function send(page, ...order) {
  await (await fill(page, ...order)).click();
}

const command = (page, name, state) => page.locator(`[data-command][data-state="${state}"]`, { hasText: name });

test('a command goes to a device and its answer comes back', async () => {
  // A device that was just seen for the first time has no history to load yet.
  await until('its history', async () => (await api(daemon, 'GET', 'series?device=pump-002')).series.length > 3);
  const { page, faults, close } = await open(browser, daemon, '#/device/pump-002');
  await page.waitForSelector('[data-facts="pump-002"]');
  await send(page, 'set-interval', '{"seconds": 2}');
  await command(page, 'set-interval', 'acknowledged').waitFor();
  await reads(command(page, 'set-interval', 'acknowledged'), /done[\s\S]*\{"seconds":2(\.0)?\}[\s\S]*ana[\s\S]*ws/);
  // What it does not know fails, in its own words.
  await send(page, 'dance', '');
  await command(page, 'dance', 'failed').waitFor();
  await reads(command(page, 'dance', 'failed'), /dance is not known here/);
  // The daemon has the same in its trail.
  const { commands } = await api(daemon, 'GET', 'devices/pump-002/commands');
  assert.deepEqual(commands.map(({ name, state, by }) => [name, state, by]), [
    ['dance', 'failed', 'ana'],
    ['set-interval', 'acknowledged', 'ana'],
  ]);
  assert.deepEqual(faults, []);
  await close();
});

test('arguments that are no JSON are told before anything is sent', async () => {
  const { page, close } = await open(browser, daemon, '#/device/pump-003');
  await page.waitForSelector('[data-facts="pump-003"]');
  const button = await fill(page, 'set-interval', '{"seconds": ');
  assert.equal(await button.getAttribute('aria-disabled'), 'true');
  await page.keyboard.press('Enter');
  await page.locator('.field.wrong', { hasText: 'Arguments' }).waitFor();
  assert.deepEqual((await api(daemon, 'GET', 'devices/pump-003/commands')).commands, []);
  await close();
});

test('a command to a device that is away waits, and is taken back', async () => {
  await reading(daemon, 'away-1', { level: 1 });
  const { page, close } = await open(browser, daemon, '#/device/away-1');
  await page.waitForSelector('[data-facts="away-1"]');
  await send(page, 'identify', '', { ttl: '600' });
  await command(page, 'identify', 'queued').waitFor();
  await page.getByRole('button', { name: 'Cancel command identify' }).click();
  await command(page, 'identify', 'cancelled').waitFor();
  await close();
});

test('a desired configuration goes to the device, which says what it made of it', async () => {
  const { page, faults, close } = await open(browser, daemon, '#/device/pump-002');
  const card = page.locator('.desired');
  await card.getByRole('button', { name: 'Edit the desired configuration' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Document').fill('[1]');
  await reads(dialog.locator('.field.wrong'), /JSON object/);
  await dialog.getByLabel('Document').fill('{"interval_s": 3}');
  await dialog.getByRole('button', { name: 'Save as version 1' }).click();
  await card.getByText('Version 1, by').waitFor();
  await card.getByText(/The device (has|refused) version 1/).waitFor();
  const { version, reported } = await api(daemon, 'GET', 'devices/pump-002/desired');
  assert.deepEqual([version, reported.version], [1, 1]);
  assert.deepEqual(faults, []);
  await close();
});

test('the page of a device tells its presence, and its labels can be changed', async () => {
  const { page, faults, close } = await open(browser, daemon, '#/device/pump-002');
  const facts = page.locator('[data-facts="pump-002"]');
  await facts.waitFor();
  await until('its presence', async () => /online[\s\S]*for/.test(await facts.innerText()));
  await facts.getByRole('button', { name: /Edit labels/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Labels').fill('hall');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await reads(dialog.locator('.field.wrong'), /key=value/);
  await dialog.getByLabel('Labels').fill('hall=7');
  await dialog.getByLabel('Should send every').fill('30');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await until('the label', async () => /hall\s*7/.test(await facts.innerText()));
  const known = await api(daemon, 'GET', 'devices/pump-002');
  assert.deepEqual([known.labels.hall, known.expected_s], ['7', 30]);
  assert.deepEqual(faults, []);
  await close();
});

test('a device that was never seen before waits in the inbox until somebody accepts it', async () => {
  const { page, faults, close } = await open(browser, daemon, '#/inbox');
  await reading(daemon, 'stranger-1', { level: 1 });
  await reading(daemon, 'stranger-2', { level: 1 });
  await page.locator('[data-newcomer="stranger-1"]').waitFor();
  await page.getByRole('button', { name: 'Accept stranger-1' }).click();
  await page.locator('[data-newcomer="stranger-1"]').waitFor({ state: 'detached' });
  await page.locator('[data-newcomer="stranger-2"]').waitFor();
  await page.getByRole('button', { name: /^Accept \d+ devices?$/ }).click();
  await page.getByText('No new device waits.').waitFor();
  assert.deepEqual((await api(daemon, 'GET', 'devices?known=false')).devices, []);
  assert.deepEqual(faults, []);
  await close();
});
