// A rule fires, somebody takes notice, and it is over: as an operator sees it. The daemon and the browser are real.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BUSY_MS, Daemon, launch } from './daemon.mjs';
import { api, axe, counts, go, open, reading, reads, until } from './room.mjs';

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

const rule = (name, body) => api(daemon, 'PUT', `rules/${encodeURIComponent(name)}`, body);
const row = (page, text) => page.locator('[data-alert]', { hasText: text });

test('a rule fires, is acknowledged with a note, and is over', async () => {
  await rule('level high', { kind: 'threshold', device: ['tank-*'], metric: ['level'], above: 80, hysteresis: 5, severity: 'critical' });
  const { page, faults, close } = await open(browser, daemon, '#/alerts');
  await page.getByRole('heading', { name: 'Alerts', exact: true }).waitFor();
  assert.equal(await row(page, 'tank-1').count(), 0);
  // It comes by itself, within moments.
  await reading(daemon, 'tank-1', { level: 91.25 });
  await row(page, 'tank-1').waitFor();
  assert.equal(await row(page, 'tank-1').getAttribute('data-state'), 'firing');
  await reads(row(page, 'tank-1'), /critical[\s\S]*91\.25/);
  // Told by signs and words wherever somebody is.
  await reads(page.locator('[data-badge="alerts"]'), /1[\s\S]*1 firing, 1 of them critical/);
  await until('the title', async () => /^‼ \(1\) Alerts – Tidegate$/.test(await page.title()));
  await row(page, 'tank-1').getByRole('button').click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Note').fill('valve is being closed');
  await dialog.getByLabel('Your name').fill('ana');
  await dialog.getByRole('button', { name: 'Acknowledge' }).click();
  await page.waitForSelector('[data-alert][data-state="acknowledged"]');
  await reads(row(page, 'tank-1'), /by ana[\s\S]*valve is being closed/);
  await counts(page.locator('[data-badge="alerts"]'), 0, 'what is acknowledged does not fire');
  // Within the hysteresis it goes on; beyond it it is over.
  await reading(daemon, 'tank-1', { level: 77 });
  await reading(daemon, 'tank-1', { level: 60 });
  await row(page, 'tank-1').waitFor({ state: 'detached' });
  await page.getByRole('link', { name: 'History' }).click();
  await row(page, 'tank-1').waitFor();
  await row(page, 'tank-1').getByRole('link').first().click();
  await page.locator('.events li').nth(2).waitFor();
  await reads(page.locator('.events'), /fired[\s\S]*acknowledged[\s\S]*by ana[\s\S]*valve is being closed[\s\S]*over/);
  // From there to the charts of that time.
  await page.getByRole('link', { name: 'See the charts of that time' }).click();
  await page.waitForFunction(() => /^#\/device\/tank-1\?.*from=\d+&to=\d+/.test(location.hash));
  await page.waitForSelector('[data-facts="tank-1"]');
  assert.deepEqual(faults, []);
  await close();
});

test('several alerts are acknowledged at once, and the name is remembered', async () => {
  await rule('too warm', { kind: 'threshold', device: ['oven-*'], metric: ['heat'], above: 10 });
  for (const n of [1, 2, 3]) await reading(daemon, `oven-${n}`, { heat: 20 + n });
  const { page, faults, close } = await open(browser, daemon, '#/alerts?rule=too+warm');
  await page.waitForFunction(() => document.querySelectorAll('[data-alert][data-state="firing"]').length === 3);
  for (const n of [1, 3]) await row(page, `oven-${n}`).getByRole('checkbox').check();
  await page.getByRole('button', { name: 'Acknowledge 2 alerts' }).click();
  await page.getByRole('dialog').getByLabel('Your name').fill('rui');
  await page.getByRole('dialog').getByRole('button', { name: 'Acknowledge' }).click();
  await page.waitForFunction(() => document.querySelectorAll('[data-alert][data-state="acknowledged"]').length === 2);
  assert.equal(await row(page, 'oven-2').getAttribute('data-state'), 'firing');
  // Live may tell of it before the order's answer does.
  await reads(page.locator('.outcome').first(), /2 alerts acknowledged/);
  // Another page of the same browser knows the name, and that the filter is in the address.
  await page.reload();
  await page.waitForFunction(() => document.querySelectorAll('[data-alert]').length === 3);
  await row(page, 'oven-2').getByRole('button').click();
  assert.equal(await page.getByRole('dialog').getByLabel('Your name').inputValue(), 'rui');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.deepEqual(faults, []);
  await close();
});

test('a rule is made on the page, its mistakes stand at their fields, and those of others are only read', async () => {
  const { page, close } = await open(browser, daemon, '#/rules');
  await page.getByRole('link', { name: 'New rule' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('falls fast');
  await dialog.getByLabel('Kind').selectOption('change');
  await dialog.getByLabel('Metrics').fill('level');
  await dialog.getByLabel('For at least').fill('soon');
  await dialog.getByRole('button', { name: 'Save the rule' }).click();
  // The daemon's words, where they belong.
  await dialog.locator('.field.wrong', { hasText: 'For at least' }).waitFor();
  await dialog.getByLabel('For at least').fill('0 s');
  await dialog.getByLabel('Below').fill('-5');
  await dialog.getByRole('button', { name: 'Save the rule' }).click();
  await page.locator('[data-rule="falls fast"]').waitFor();
  assert.equal(await page.locator('[data-rule="falls fast"]').getAttribute('data-source'), 'page');
  const made = (await api(daemon, 'GET', 'rules')).rules.find(({ name }) => name === 'falls fast');
  assert.deepEqual([made.kind, made.below, made.metric], ['change', -5, ['level']]);
  // It is edited with what it has.
  await page.getByRole('link', { name: 'falls fast' }).click();
  assert.equal(await dialog.getByLabel('Below').inputValue(), '-5');
  await dialog.getByLabel('Below').fill('-7');
  await dialog.getByRole('button', { name: 'Save the rule' }).click();
  await until('the change', async () => (await api(daemon, 'GET', 'rules')).rules.some(({ below }) => below === -7));
  // A built-in rule is shown and not changed.
  await page.locator('[data-source="built-in"] a').first().click();
  await dialog.waitFor();
  assert.equal(await dialog.getByRole('button', { name: 'Save the rule' }).count(), 0);
  assert.match(await dialog.innerText(), /built in/);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Delete the rule “falls fast”' }).click();
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await page.locator('[data-rule="falls fast"]').waitFor({ state: 'detached' });
  await close();
});

test('a silence is made for a device, marks its alerts, and is ended', async () => {
  await rule('too warm', { kind: 'threshold', device: ['oven-*'], metric: ['heat'], above: 10 });
  const { page, faults, close } = await open(browser, daemon, '#/silences');
  await page.getByRole('button', { name: 'New silence' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Devices').fill('oven-9');
  await dialog.getByLabel('Note').fill('is being cleaned');
  await dialog.getByRole('button', { name: 'Make the silence' }).click();
  await page.locator('[data-silence]', { hasText: 'oven-9' }).waitFor();
  await reading(daemon, 'oven-9', { heat: 99 });
  await page.getByRole('link', { name: 'Open', exact: true }).click();
  await row(page, 'oven-9').waitFor();
  await reads(row(page, 'oven-9'), /silenced/);
  await page.getByRole('link', { name: 'Silences' }).click();
  await page.locator('[data-silence]', { hasText: 'oven-9' }).getByRole('button').click();
  await page.locator('[data-silence]', { hasText: 'oven-9' }).waitFor({ state: 'detached' });
  assert.deepEqual(faults, []);
  await close();
});

test('the alerts are right after the daemon was gone, without a reload', async () => {
  await rule('level high', { kind: 'threshold', device: ['tank-*'], metric: ['level'], above: 80 });
  await reading(daemon, 'tank-5', { level: 95 });
  const { page, close } = await open(browser, daemon, '#/alerts?device=tank-5');
  await row(page, 'tank-5').waitFor();
  await page.evaluate(() => { window.notReloaded = true; });
  await daemon.kill();
  await page.waitForSelector('[data-link]:not([data-link="live"])');
  await page.locator('.as-of.old').waitFor();
  await daemon.restart();
  // What became better while nobody looked is gone, what is new is there.
  await reading(daemon, 'tank-5', { level: 10 });
  await page.waitForSelector('[data-link="live"]', { timeout: 4 * BUSY_MS });
  await row(page, 'tank-5').waitFor({ state: 'detached', timeout: 4 * BUSY_MS });
  assert.equal(await page.evaluate(() => window.notReloaded), true);
  await close();
});

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds no fault on the pages of alerts, ${colorScheme}`, async () => {
    await rule('level high', { kind: 'threshold', device: ['tank-*'], metric: ['level'], above: 80 });
    for (const n of [7, 8]) await reading(daemon, `tank-${n}`, { level: 90 + n });
    const { page, close } = await open(browser, daemon, '#/alerts', { colorScheme, bypassCSP: true });
    await row(page, 'tank-8').waitFor();
    const answered = '.alerts-page :is(.empty, tbody)';
    const pages = [['#/alerts', '[data-alert]'], ['#/alerts/history', answered], ['#/rules', '[data-rule]'], ['#/rules?edit=', 'dialog'], ['#/silences', answered], ['#/notifications', answered]];
    for (const [hash, what] of pages) {
      await go(page, hash);
      await page.locator(what).first().waitFor();
      assert.deepEqual(await axe(page), [], hash);
      if (!hash.includes('edit')) continue;
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    }
    await close();
  });
}
