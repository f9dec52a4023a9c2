// Who is told of alerts, as an operator sees it: the test of a channel, and what could not be delivered. The daemon, the
// browser and the requests are real; the receiver answers what the story wants.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { Daemon, launch } from './daemon.mjs';
import { api, axe, open, reading, reads, until } from './room.mjs';

/** Takes messages, or refuses them with words of its own. */
class Receiver {
  refuses = false;
  taken = [];

  static async start() {
    const receiver = new Receiver();
    receiver.server = createServer(async (request, response) => {
      const parts = [];
      for await (const part of request) parts.push(part);
      if (receiver.refuses) return response.writeHead(422, { 'Content-Type': 'text/plain' }).end('the room is closed');
      receiver.taken.push(JSON.parse(Buffer.concat(parts).toString()).summary);
      return response.writeHead(204).end();
    });
    await new Promise((done) => receiver.server.listen(0, '127.0.0.1', done));
    receiver.url = `http://127.0.0.1:${receiver.server.address().port}/hook`;
    return receiver;
  }

  async end() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }
}

let daemon;
let browser;
let receiver;

before(async () => {
  receiver = await Receiver.start();
  const settings = ['group_wait=100 ms', 'group_interval=100 ms', 'webhook.0.name=ops', `webhook.0.url=${receiver.url}`, 'webhook.0.resolved=false'];
  daemon = await Daemon.start('--devices', '5', '--well-behaved', ...settings.flatMap((set) => ['--set', `notify.${set}`]));
  browser = await launch();
  await api(daemon, 'PUT', 'rules/lost', { kind: 'threshold', device: ['well-*'], metric: ['level'], above: 80, severity: 'critical' });
});

after(async () => {
  await browser?.close();
  await daemon?.end();
  await receiver?.end();
});

const told = () => api(daemon, 'GET', 'notifications');
const channel = (page) => page.locator('[data-channel="ops"]');
const rows = (page) => page.locator('table.lost tbody tr');

/** An alert of `device` whose message the receiver has refused for good. */
async function lost(device) {
  receiver.refuses = true;
  await reading(daemon, device, { level: 91 });
  await until(`the message about ${device} to be given up`, async () =>
    (await told()).dead_letters.some(({ summary }) => summary.includes(device)));
}

test('a channel is tested from the page, which says what its receiver made of it', async () => {
  const { page, faults, close } = await open(browser, daemon, '#/notifications');
  await channel(page).waitFor();
  await page.getByRole('button', { name: 'Test ops' }).click();
  await page.getByText('ops took the test message.').waitFor();
  assert.equal(receiver.taken.length, 1, receiver.taken.join());
  receiver.refuses = true;
  await page.getByRole('button', { name: 'Test ops' }).click();
  await reads(page.locator('.outcome.fault'), /^ops did not take the test message: .*422/);
  // A test is no message: it leaves nothing behind.
  assert.deepEqual((await told()).dead_letters, []);
  receiver.refuses = false;
  assert.deepEqual(faults, []);
  await close();
});

test('a message that was given up is listed with its reason, and is sent again', async () => {
  const { page, faults, close } = await open(browser, daemon, '#/notifications', { bypassCSP: true });
  await page.getByText('All messages were delivered.').waitFor();
  await lost('well-1');
  await reads(rows(page).first(), /ops[\s\S]*critical[\s\S]*well-1[\s\S]*422/);
  assert.deepEqual(await axe(page), []);
  const before = receiver.taken.length;
  receiver.refuses = false;
  await page.getByRole('button', { name: 'Send 1 message again' }).click();
  await page.getByText('1 message will be sent again.').waitFor();
  await page.getByText('All messages were delivered.').waitFor();
  await until('the message', async () => receiver.taken.slice(before).some((summary) => summary.includes('well-1')));
  await reads(channel(page), /\d/);
  assert.deepEqual(faults, []);
  await close();
});

test('messages are dropped only after a question, the chosen ones alone', async () => {
  await lost('well-2');
  await lost('well-3');
  const { page, faults, close } = await open(browser, daemon, '#/notifications');
  await rows(page).nth(1).waitFor();
  await rows(page).filter({ hasText: 'well-2' }).getByRole('checkbox').check();
  await page.getByRole('button', { name: 'Drop 1 message' }).click();
  const dialog = page.getByRole('dialog', { name: 'Drop 1 message?' });
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.equal((await told()).dead_letters.length, 2);
  await page.getByRole('button', { name: 'Drop 1 message' }).click();
  await dialog.getByRole('button', { name: 'Drop', exact: true }).click();
  await page.getByText('1 message dropped.').waitFor();
  assert.deepEqual((await told()).dead_letters.map(({ summary }) => /well-\d/.exec(summary)[0]), ['well-3']);
  const taken = receiver.taken.length;
  await page.getByRole('button', { name: 'Drop 1 message' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Drop', exact: true }).click();
  await page.getByText('All messages were delivered.').waitFor();
  assert.equal(receiver.taken.length, taken, 'what is dropped is never sent');
  assert.deepEqual(faults, []);
  await close();
});
