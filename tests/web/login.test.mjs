// Who may come: logging in by keyboard, a login that ends over an open page, logging out, and what somebody may not do.
// The daemon and the browser are real; keys are given out and taken back in the daemon's own file.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { BUSY_MS, Daemon, launch } from './daemon.mjs';
import { Keys } from './keys.mjs';
import { api, axe, focused, go, open, reading, reads, until } from './room.mjs';

const FAILURES_MAX = 4;
let daemon;
let browser;
let keys;
let admin;
/** Of somebody who operates the plant. */
let ana;

before(async () => {
  daemon = await Daemon.prepared(
    (made) => {
      keys = new Keys(made.state);
      admin = keys.issue('root', ['admin']);
      ana = keys.issue('ana', ['view', 'command']);
      made.key = admin;
      made.command = 'run';
      // No other configuration than this one, wherever the stories run.
      const config = join(made.state, 'tidegate.toml');
      writeFileSync(config, '');
      made.flags.push('--config', config);
    },
    ...['--set', `auth.failures_max=${FAILURES_MAX}`],
  );
  browser = await launch();
  await reading(daemon, 'lathe-1', { level: 1 });
  await reading(daemon, 'saw-1', { level: 1 });
  await api(daemon, 'PUT', 'rules/level', { kind: 'threshold', device: ['lathe-*'], metric: ['level'], above: 80, severity: 'warning' });
});

after(async () => {
  await browser?.close();
  await daemon?.end();
});

/** What a browser says itself of an answer 401 or 403, and of sockets that were refused. */
const own = (faults) => faults.filter((fault) => !/status of 40[13]|status of 429|WebSocket|ERR_CONNECTION|ERR_FAILED/.test(fault));
const field = (page) => page.getByLabel('Access key or token');
const loggedIn = (page) => page.waitForSelector('[data-link="live"]');

/** A page that somebody has logged in to. */
async function enter(key, hash = '', options = {}) {
  const opened = await open(browser, daemon, hash, options);
  await field(opened.page).fill(key);
  await opened.page.keyboard.press('Enter');
  await loggedIn(opened.page);
  return opened;
}

test('who is not known is asked to log in, by keyboard alone, and is then where the address leads', async () => {
  const hash = '#/device/lathe-1?range=1h';
  const { page, faults, context, close } = await open(browser, daemon, hash, { bypassCSP: true });
  await page.getByRole('heading', { level: 1, name: 'Log in' }).waitFor();
  assert.equal(await page.locator('.strip, .nav, [role=row]').count(), 0, 'nothing of the plant is there');
  assert.match(await page.locator('.login').innerText(), /tidegate token issue/);
  assert.deepEqual(await axe(page), []);
  // The field has the focus; what is typed is not shown, and a password manager may keep it.
  await page.waitForFunction(() => document.activeElement.type === 'password');
  assert.equal(await page.evaluate(() => document.activeElement.autocomplete), 'current-password');
  await page.keyboard.type('tgk_aaaaaaaa_wrong');
  await page.keyboard.press('Enter');
  await page.getByText('The daemon does not know this key or token').waitFor();
  assert.equal(await field(page).getAttribute('aria-invalid'), 'true');
  // It is selected, so that the next one takes its place; as it is pasted from a mail.
  await page.keyboard.insertText(`  Bearer ${ana} `);
  await page.keyboard.press('Tab');
  assert.equal(await focused(page), 'Log in');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'lathe-1' }).waitFor();
  await loggedIn(page);
  assert.equal(await page.evaluate(() => location.hash), hash);
  // A reload needs no login; nothing on the page could give the key away.
  await page.reload();
  await loggedIn(page);
  const kept = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, document.documentElement.outerHTML]));
  assert.doesNotMatch(kept, /tgk_|tidegate_session/);
  const [cookie] = await context.cookies();
  assert.deepEqual([cookie.name, cookie.httpOnly, cookie.sameSite], ['tidegate_session', true, 'Strict']);
  assert.deepEqual(own(faults), []);
  await close();
});

test('the login is told in Portuguese, in the dark and on a phone, without a fault', async () => {
  const { page, close } = await open(browser, daemon, '', { locale: 'pt-PT', colorScheme: 'dark', viewport: { width: 360, height: 740 }, bypassCSP: true });
  await page.getByRole('heading', { level: 1, name: 'Iniciar sessão' }).waitFor();
  assert.deepEqual(await axe(page), []);
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0);
  await close();
});

test('a daemon that is away is told, and the login is taken when it is back', async () => {
  const { page, close } = await open(browser, daemon);
  await field(page).fill(ana);
  await daemon.kill();
  await page.keyboard.press('Enter');
  await page.getByText('The daemon does not answer').waitFor();
  await daemon.restart();
  await page.getByRole('button', { name: 'Log in' }).click();
  await loggedIn(page);
  await close();
});

test('after too many wrong ones the page tells how long to wait; a right one is taken', async () => {
  const { page, close } = await open(browser, daemon);
  const wait = page.getByText(/Too many wrong ones came from here\. Wait \d+ s\./);
  await until('the wait', async () => {
    await field(page).fill(`tgk_aaaaaaaa_${Math.random()}`);
    await page.keyboard.press('Enter');
    await page.locator('.login-form .fault:not(:empty)').waitFor();
    await page.locator('.login-form [type=submit][aria-disabled=false]').waitFor();
    return (await wait.count()) > 0;
  });
  await page.getByText('You can try again now.').waitFor({ timeout: 4 * BUSY_MS });
  await field(page).fill(ana);
  await page.keyboard.press('Enter');
  await loggedIn(page);
  await close();
});

test('a login that ends leaves the page as it is, and after the next one nothing is missing', async () => {
  const first = keys.issue('rui', ['view', 'command']);
  const second = keys.issue('rui', ['view', 'command']);
  await until('the keys', async () => (await fetch(`${daemon.url}/api/v1/status`, { headers: { Authorization: `Bearer ${first}` } })).ok);
  const sent = [];
  let going = true;
  const sending = (async () => {
    for (let n = 1; going; n += 1) {
      sent.push(n);
      await reading(daemon, 'counter', { n });
      await new Promise((done) => setTimeout(done, 250));
    }
  })();
  await until('the counter', async () => sent.length > 4);
  const { page, faults, close } = await enter(first, '#/device/counter?range=15min', { bypassCSP: true });
  const points = () => page.evaluate(() => window.__tidegate.chart('n')?.count.reduce((sum, one) => sum + one, 0) ?? 0);
  await until('points', async () => (await points()) > 5);
  await page.evaluate(() => { window.notReloaded = true; });
  const hash = await page.evaluate(() => location.hash);
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));

  const revoked = Date.now();
  keys.revoke(first);
  const dialog = page.getByRole('dialog', { name: 'Your login has ended' });
  await dialog.waitFor();
  assert.ok(Date.now() - revoked < 30_000, 'long before a login ends by itself');
  assert.deepEqual(await axe(page), []);
  await page.waitForFunction(() => document.activeElement.type === 'password');
  // What was shown is shown still, and its age grows.
  const before = await points();
  assert.ok(before > 5);
  await page.getByRole('heading', { level: 1, name: 'counter' }).waitFor();
  await page.waitForFunction(() => /data ([3-9] s|\d\d s|\d+ min.*) old/.test(document.querySelector('.link .age').textContent));
  assert.equal(await page.locator('[data-link]').getAttribute('data-link'), 'barred');
  // Who is not logged in asks for nothing: each question would count as a wrong one.
  const quiet = requests.length;
  await page.waitForTimeout(3000);
  assert.deepEqual(requests.slice(quiet), []);
  // Escape: only look. A banner says what it is.
  await page.keyboard.press('Escape');
  await page.locator('.banner[data-login="ended"]').waitFor();
  await reads(page.locator('.verdict'), /No link: what you see is .+ old/);
  assert.equal(await points(), before);
  await page.locator('.banner').getByRole('button', { name: 'Log in' }).click();
  await field(page).fill(second);
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'detached' });
  await loggedIn(page);
  going = false;
  await sending;
  await until('all that was sent', async () => (await points()) >= sent.length);
  assert.equal(await points(), sent.length, 'nothing is missing, nothing is there twice');
  assert.equal(await page.evaluate(() => window.notReloaded), true);
  assert.equal(await page.evaluate(() => location.hash), hash);
  assert.deepEqual(own(faults), []);
  await close();
});

test('somebody with other rights begins with a page of their own', async () => {
  const mine = keys.issue('eva', ['view', 'command']);
  const theirs = keys.issue('ivo', ['view'], ['saw-*']);
  await until('the keys', async () => (await fetch(`${daemon.url}/api/v1/status`, { headers: { Authorization: `Bearer ${theirs}` } })).ok);
  const { page, close } = await enter(mine);
  await page.locator('[role=row]', { hasText: 'lathe-1' }).first().waitFor();
  await page.evaluate(() => (window.before = true));
  keys.revoke(mine);
  await page.getByRole('dialog', { name: 'Your login has ended' }).waitFor();
  await field(page).fill(theirs);
  await page.keyboard.press('Enter');
  // What was on the screen was not for them: nothing of that page is left.
  await page.waitForFunction(() => window.before === undefined, null, { timeout: 4 * BUSY_MS });
  const shown = (name, wanted) =>
    page.waitForFunction(
      ([text, there]) => [...document.querySelectorAll('[role=row]')].some((row) => row.textContent.includes(text)) === there,
      [name, wanted],
      { timeout: 4 * BUSY_MS },
    );
  await shown('saw-1', true);
  await shown('lathe-1', false);
  await close();
});

test('who only looks can do nothing, and reads why', async () => {
  const looker = keys.issue('lia', ['view']);
  await until('the key', async () => (await fetch(`${daemon.url}/api/v1/status`, { headers: { Authorization: `Bearer ${looker}` } })).ok);
  await reading(daemon, 'lathe-1', { level: 91 });
  const { page, faults, close } = await enter(looker, '#/alerts', { bypassCSP: true });
  await page.locator('[data-alert]').first().waitFor();
  const off = async (name) => {
    const button = page.getByRole('button', { name }).first();
    await button.waitFor();
    assert.ok(await button.isDisabled(), `${name} is offered`);
    assert.match(await button.getAttribute('title'), /^The token of lia has no scope “(command|admin)”\.$/);
  };
  const told = (scope) => page.getByText(`The token of lia has no scope “${scope}”.`).first().waitFor();
  await off(/^Acknowledge \d+ alert/);
  await told('command');
  await go(page, '#/rules');
  await page.locator('[data-rule="level"]').waitFor();
  await off('New rule');
  await off('Delete the rule “level”');
  await told('admin');
  await page.locator('[data-rule="level"]').getByRole('link').first().click();
  await page.getByRole('dialog').waitFor();
  assert.equal(await page.getByRole('dialog').getByRole('button', { name: 'Save' }).count(), 0);
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await go(page, '#/silences');
  await told('command');
  await go(page, '#/boards');
  await told('command');
  assert.equal(await page.locator('.new-board').count(), 0);
  await go(page, '#/device/lathe-1');
  await page.locator('.commands').waitFor();
  await off('Edit labels and interval of lathe-1');
  await off('Edit the desired configuration');
  assert.equal(await page.getByText('Send a command').count(), 0);
  await page.locator('.commands').getByText('The token of lia has no scope “command”.').waitFor();
  assert.deepEqual(await axe(page), []);
  assert.deepEqual(own(faults), []);
  await close();
});

test('who reaches some devices sees those, and of pages about all why they are not for them', async () => {
  const some = keys.issue('noa', ['admin'], ['lathe-*']);
  await until('the key', async () => (await fetch(`${daemon.url}/api/v1/status`, { headers: { Authorization: `Bearer ${some}` } })).ok);
  const { page, faults, close } = await enter(some);
  await page.locator('[role=row]', { hasText: 'lathe-1' }).first().waitFor();
  assert.equal(await page.locator('[role=row]', { hasText: 'saw-1' }).count(), 0);
  assert.equal(await page.locator('.nav').getByText(/Dead letters|Pipeline/).count(), 0);
  // Counts of everybody's are not told: how the daemon is, is.
  const tiles = page.locator('.tiles', { hasText: /Series\s*[1-9]/ });
  await tiles.waitFor();
  await page.locator('.vitals', { hasText: 'History lag' }).waitFor();
  assert.doesNotMatch(await page.locator('.vitals').innerText(), /Ledger|Samples/i);
  assert.doesNotMatch(await tiles.innerText(), /samples\/s|late/i);
  for (const hash of ['#/rules', '#/silences', '#/notifications', '#/dead-letters', '#/not-understood', '#/pipeline']) {
    // All of them say the same, so there is another page before each.
    await go(page, '#/settings');
    await go(page, hash);
    await page.getByText('This is about all devices, and noa reaches only lathe-*.').waitFor();
    assert.equal(await page.locator('.fault, [data-denied]').count(), 0, hash);
  }
  const answered = [['#/alerts', '[data-alert]'], ['#/boards', '.boards-page .empty strong'], ['#/settings', '#the-daemon'], ['#/device/lathe-1', '[data-facts] ~ .commands .empty']];
  for (const [hash, what] of answered) {
    await go(page, hash);
    await page.locator(what).first().waitFor();
    assert.equal(await page.locator('[data-denied]').count(), 0, hash);
  }
  assert.deepEqual(own(faults), []);
  await close();
});

test('a key that only sends sees nothing, and can log out', async () => {
  const sender = keys.issue('gw-7', ['ingest']);
  await until('the key', async () => (await fetch(`${daemon.url}/api/v1/session`, { headers: { Authorization: `Bearer ${sender}` } })).ok);
  const { page, close } = await open(browser, daemon);
  await field(page).fill(sender);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Nothing to see' }).waitFor();
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByRole('heading', { level: 1, name: 'Log in' }).waitFor();
  await close();
});

test('the settings tell who one is; logging out leaves nothing on the screen', async () => {
  const { page, faults, context, close } = await enter(ana, '#/settings');
  const card = page.locator('.card.you');
  await card.waitFor();
  assert.match(await card.innerText(), /ana[\s\S]*view[\s\S]*command[\s\S]*\*[\s\S]*login on this page/);
  assert.equal(await page.locator('.card.key-list, .card.trail-list').count(), 0, 'keys and trail are for administrators');
  assert.equal(await page.getByLabel('Your name').count(), 0);
  await page.getByText('You act as ana.').waitFor();
  await card.getByRole('button', { name: 'Log out' }).click();
  await page.getByRole('heading', { level: 1, name: 'Log in' }).waitFor();
  assert.doesNotMatch(await page.locator('body').innerText(), /ana|lathe/);
  assert.deepEqual(await context.cookies(), []);
  assert.deepEqual(own(faults), []);
  await close();
});

test('administrators see the keys with their last use, and what was done, page by page', async () => {
  // Each login is in the trail: more of them than one page holds.
  for (let n = 0; n < 30; n += 1) await api(daemon, 'POST', 'session', { token: ana });
  const { page, faults, close } = await enter(admin, '#/settings', { bypassCSP: true });
  const row = page.locator('.card.key-list tbody tr', { hasText: 'ana' }).first();
  await row.waitFor();
  await reads(row, /in force[\s\S]*view, command[\s\S]*a story[\s\S]*ago/);
  assert.equal(await page.locator('.card.key-list tbody tr[data-state="revoked"]').first().isVisible(), true);
  assert.match(await page.locator('.card.key-list').innerText(), /tidegate token issue[\s\S]*tidegate token revoke/);
  const deeds = page.locator('.card.trail-list tbody tr');
  await reads(deeds.first(), /root[\s\S]*logged in/);
  assert.match(await page.locator('.card.trail-list').innerText(), /ana[\s\S]*logged in/);
  const newest = await deeds.first().innerText();
  await page.locator('.card.trail-list').getByRole('button', { name: 'Older' }).click();
  await until('the next page', async () => (await deeds.first().innerText()) !== newest);
  await page.locator('.card.trail-list').getByRole('button', { name: 'Newest' }).click();
  await until('the first page', async () => (await deeds.first().innerText()) === newest);
  assert.deepEqual(await axe(page), []);
  assert.deepEqual(own(faults), []);
  await close();
});

test('where nobody is asked, nothing of all that is shown', async () => {
  const anybody = await Daemon.start('--devices', '3', '--well-behaved');
  const { page, faults, close } = await open(browser, anybody, '#/settings');
  await loggedIn(page);
  await page.getByLabel('Your name').waitFor();
  assert.equal(await page.locator('.card.you, .card.key-list, .card.trail-list, .login-form, .read-only').count(), 0);
  assert.deepEqual(faults, []);
  await close();
  await anybody.end();
});
