// What an operator sees of brokers, and does with messages that no route understands. The daemon, the broker and the
// browser are real.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Mosquitto } from './broker.mjs';
import { BUSY_MS, Daemon, launch } from './daemon.mjs';
import { open as openPage, reads, until, violations } from './room.mjs';

const BROKER = '[data-broker="site"]';
const PHONE = { viewport: { width: 390, height: 844 } };
let browser;
let broker;
let daemon;

before(async () => {
  browser = await launch();
  broker = await Mosquitto.start();
  const settings = ['name=site', `url=${broker.url}`, 'routes.0.topic=plant/#', 'routes.0.decoder=json', 'routes.0.device=all'];
  daemon = await Daemon.start(
    ...['--devices', '5', '--well-behaved'],
    ...settings.flatMap((set) => ['--set', `intake.mqtt.0.${set}`]),
  );
});

after(async () => {
  await browser?.close();
  await daemon?.end();
  await broker?.end();
});

const open = (hash = '', options = {}) => openPage(browser, daemon, hash, { viewport: { width: 1280, height: 800 }, ...options });

const totals = async () => (await daemon.json('/api/v1/quarantine')).totals;
const state = (page, wanted) => page.waitForSelector(`${BROKER}[data-state="${wanted}"]`, { timeout: 2 * BUSY_MS });

/** Faults that axe finds, and what reaches out of the page. */
async function flaws(page) {
  const found = await violations(page, { resultTypes: ['violations'] });
  const wide = await page.evaluate(() => {
    const main = document.getElementById('main');
    return main.scrollWidth > main.clientWidth + 1 ? [`${main.scrollWidth} wide, ${main.clientWidth} shown`] : [];
  });
  return [...found.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join()}`), ...wide];
}

test('a broker is a line with its routes, and says why when it is away', async () => {
  const { page, faults, close } = await open();
  await state(page, 'connected');
  await broker.publish('plant/a', '{"temp":21.5}');
  await page.locator(`${BROKER} summary`).click();
  await page.locator(`${BROKER} .routes`, { hasText: /plant\/#[^]*json[^]*1/ }).waitFor();
  await reads(page.locator(BROKER), /site[^]*connected[^]*mqtt:\/\/[^]*messages?\/s[^]*not understood/);
  assert.deepEqual(await flaws(page), []);
  await broker.kill();
  await state(page, 'away');
  await page.locator(`${BROKER} .cause`).waitFor();
  await reads(page.locator('.verdict'), /Broker site is away: ./);
  await broker.restart();
  await state(page, 'connected');
  assert.deepEqual(faults, []);
  await close();
});

test('what is not understood is a topic with its reason, an example and a route to copy; it is dropped after a question', async () => {
  await until('the bridge is back', async () => (await daemon.json('/api/v1/status')).intake.mqtt[0].state === 'connected');
  await broker.publish('plant/a/state', '{"temp":');
  await broker.publish('plant/b', Buffer.from([0x08, 0x96, 0x01]));
  await until('both are kept', async () => (await totals()).held === 2);
  const { page, faults, close } = await open('#/', { permissions: ['clipboard-read', 'clipboard-write'] });
  await page.locator(`${BROKER} .letters`).click();
  await page.getByRole('heading', { name: 'Not understood' }).waitFor();
  const topic = page.locator('[data-topic="plant/a/state"]');
  await topic.waitFor();
  assert.match(await topic.innerText(), /site, 1 message[^]*not valid JSON[^]*\{"temp":/);
  assert.match(await page.locator('[data-topic="plant/b"] code').innerText(), /08 96 01/);
  await topic.locator('summary').click();
  // It says so for some seconds only.
  await page.evaluate(() => {
    const note = () => (window.copied ||= [...document.querySelectorAll('.copyable [role=status]')].some((said) => said.textContent === 'Copied'));
    new MutationObserver(note).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  await topic.getByRole('button', { name: 'Copy' }).click();
  await page.waitForFunction(() => window.copied);
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^\[\[intake\.mqtt\.routes\]\]$/m);
  assert.deepEqual(await flaws(page), []);

  await page.locator('[data-topic="plant/b"]').getByRole('link').click();
  await page.getByRole('heading', { name: /Message \d+/ }).waitFor();
  await reads(page.getByLabel('As protobuf'), /1: 150/);
  await reads(page.getByLabel('As bytes'), /000000 +08 96 01/);
  assert.deepEqual(await flaws(page), []);
  // Nothing was mended: it is tried again, and stays.
  await page.getByRole('button', { name: 'Replay 1 message' }).click();
  await page.getByText(/tried 2 times/).waitFor({ timeout: 2 * BUSY_MS });
  await page.locator('a.back').click();

  await topic.getByRole('button', { name: 'Drop the only message on plant/a/state' }).click();
  assert.match(await page.getByRole('dialog').innerText(), /nobody keeps them but this list/);
  await page.getByRole('dialog').getByRole('button', { name: 'Drop' }).click();
  await topic.waitFor({ state: 'detached' });
  assert.equal((await totals()).held, 1);
  await page.locator('.not-understood > .orders').getByRole('button', { name: 'Drop the only message of site' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Drop' }).click();
  await page.getByText('Everything is understood').waitFor();
  assert.equal((await totals()).dropped, 2);
  assert.deepEqual(faults, []);
  await close();
});

test('a phone shows all of it, and nothing reaches out of the screen', async () => {
  await broker.publish('plant/with/a/rather/long/topic/that/goes/on/and/on/and/on', `{"temp":${'9'.repeat(300)}`);
  await until('it is kept', async () => (await totals()).held === 1);
  for (const hash of ['#/', '#/not-understood']) {
    const { page, faults, close } = await open(hash, PHONE);
    await page.locator(hash === '#/' ? BROKER : '.puzzle').waitFor();
    if (hash === '#/') await page.locator(`${BROKER} summary`).click();
    else await page.locator('.puzzle summary').click();
    assert.deepEqual(await flaws(page), [], hash);
    assert.deepEqual(faults, []);
    await close();
  }
});
