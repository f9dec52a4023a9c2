// The page as such: every page by every kind of viewer, by keyboard, in both languages, on slow networks, over sleep
// and restarts.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BUSY_MS, Daemon, launch } from './daemon.mjs';
import { api, axe, counts, focused, go, nameOf, open, reads, until } from './room.mjs';

/** Every page, and what is there once the daemon has answered what it asks for. */
const PAGES = [
  ['', '.rows .row .figure'],
  ['#/boards', '.boards-page .empty strong'],
  ['#/alerts', '[data-alert]'],
  ['#/alerts/history', '.alerts-page :is(.empty, [data-alert])'],
  ['#/rules', '[data-rule]'],
  ['#/silences', '.alerts-page .empty'],
  ['#/notifications', '.alerts-page .empty'],
  ['#/inbox', '.inbox :is(.empty, [data-newcomer])'],
  ['#/pipeline', '[data-part="spool"]'],
  ['#/dead-letters', '.dead-letters .empty strong'],
  ['#/not-understood', '.not-understood .empty strong'],
  ['#/settings', '#the-daemon'],
  ['#/device/pump-002', '[data-facts="pump-002"]'],
];
let daemon;
let browser;

before(async () => {
  daemon = await Daemon.start('--devices', '60');
  browser = await launch();
  await api(daemon, 'PUT', 'rules/always', { kind: 'threshold', device: ['pump-00*'], metric: ['motor.temperature'], above: -1000 });
  await until('its history', async () => (await api(daemon, 'GET', 'series?device=pump-002')).series.length > 3);
});

after(async () => {
  await browser?.close();
  await daemon?.end();
});

/** Goes to one of the pages, until all of it is there. */
async function show(page, [hash, what]) {
  await go(page, hash);
  await page.locator(what).first().waitFor();
}

for (const [look, options] of [
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['on a phone', { viewport: { width: 360, height: 740 } }],
]) {
  test(`axe finds no fault on any page, ${look}`, async () => {
    const { page, faults, close } = await open(browser, daemon, '', { bypassCSP: true, ...options });
    const found = [];
    for (const one of PAGES) {
      const [hash] = one;
      await show(page, one);
      found.push(...(await axe(page)).map((fault) => `${hash || 'overview'}: ${fault}`));
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wide > 0) found.push(`${hash || 'overview'} is ${wide} px too wide`);
    }
    assert.deepEqual(found, []);
    assert.deepEqual(faults, []);
    await close();
  });
}

test('every page has its name, its heading and the age of what it shows', async () => {
  const { page, close } = await open(browser, daemon);
  const titles = new Set();
  for (const one of PAGES) {
    const [hash] = one;
    await show(page, one);
    assert.equal(await page.locator('h1').count(), 1, hash);
    titles.add(await nameOf(page));
    const ages = await page.locator('.as-of, .link .age').count();
    assert.ok(ages > 0, hash);
  }
  assert.equal(titles.size, PAGES.length, [...titles].join(', '));
  await close();
});

test('nothing moves under the reader: the pages do not shift', async () => {
  const { page, close } = await open(browser, daemon);
  await page.addInitScript(() => {
    window.shift = 0;
    window.stood_ms = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
    let last = performance.now();
    setInterval(() => {
      const now = performance.now();
      window.stood_ms = Math.max(window.stood_ms, now - last);
      last = now;
    }, 50);
  });
  // A page waits for what stands above the rest, but for a second and a half only: where the machine stood still for longer, or
  // an answer of the daemon took as long, it is loaded once more.
  const held_ms = () => Math.max(window.stood_ms, ...performance.getEntriesByType('resource').map(({ duration }) => duration));
  for (const one of PAGES.filter(([hash]) => ['', '#/alerts', '#/pipeline', '#/device/pump-002', '#/settings'].includes(hash))) {
    const [hash, what] = one;
    let shift;
    await until(`${hash || 'the overview'} to load without being held up`, async () => {
      await page.goto('about:blank');
      await page.goto(`${daemon.url}/${hash}`);
      await page.waitForSelector('[data-link="live"]');
      await page.locator(what).first().waitFor();
      await page.waitForTimeout(2000);
      shift = await page.evaluate(() => window.shift);
      return shift < 0.1 || (await page.evaluate(held_ms)) < 1000;
    }, 8 * BUSY_MS);
    assert.ok(shift < 0.1, `${hash || 'overview'} shifts by ${shift.toFixed(3)}`);
  }
  await close();
});

test('both languages, and the choice is kept', async () => {
  const { page, close } = await open(browser, daemon, '#/settings', { locale: 'pt-PT' });
  await page.getByRole('heading', { name: 'Definições' }).waitFor();
  await page.locator('html[lang="pt-PT"]').waitFor();
  await reads(page.locator('.nav'), /Visão geral[\s\S]*Painéis[\s\S]*Alertas[\s\S]*Percurso[\s\S]*Definições/);
  for (const one of PAGES) {
    const [hash] = one;
    await show(page, one);
    const text = await page.locator('#main').innerText();
    // A place that was not filled, or a key that has no text.
    assert.doesNotMatch(text, /\{\w+\}|\b(alerts|common|devices|fleet|letters|page|pipeline|rules|settings|sinks|verdict)\.[a-z_]{3,}/, hash);
  }
  await go(page, '#/settings');
  await page.getByLabel('Língua').selectOption('en');
  await page.getByRole('heading', { name: 'Settings' }).waitFor();
  await page.reload();
  await page.getByRole('heading', { name: 'Settings' }).waitFor();
  await page.getByLabel('Colours').selectOption('dark');
  const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.getByLabel('Colours').selectOption('light');
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), ground);
  await close();
});

test('by keyboard alone: the skip link, the navigation, a dialog that keeps the focus and gives it back', async () => {
  const { page, close } = await open(browser, daemon, '#/alerts');
  await page.locator('[data-alert]').first().waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await focused(page), 'Skip to the page');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'main');
  // The whole order, once around: everything that can be reached shows that it is reached.
  const unseen = await page.evaluate(async () => {
    const faults = [];
    for (const element of document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')) {
      if (element.closest('dialog') || element.disabled || element.getClientRects().length === 0) continue;
      element.focus({ focusVisible: true });
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
      if ((outlineStyle === 'none' || outlineWidth === '0px') && boxShadow === 'none') faults.push(element.outerHTML.slice(0, 120));
    }
    return faults;
  });
  assert.deepEqual(unseen, []);
  // Into a dialog, around in it, and out.
  const button = page.locator('[data-alert][data-state="firing"]', { hasText: 'always' }).first().getByRole('button');
  await button.focus();
  const from = await focused(page);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  for (let step = 0; step < 8; step += 1) {
    await page.keyboard.press('Tab');
    const inside = await page.evaluate(() => document.activeElement === document.body || document.activeElement?.closest('dialog') !== null);
    assert.ok(inside, 'the focus leaves the dialog');
  }
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.equal(await focused(page), from);
  await close();
});

test('what must not move does not', async () => {
  const { page, close } = await open(browser, daemon, '#/pipeline', { reducedMotion: 'reduce' });
  await page.locator('[data-part="spool"]').waitFor();
  const moving = await page.evaluate(() => document.getAnimations().filter((one) => one.playState === 'running').length);
  assert.equal(moving, 0);
  await close();
});

test('the picture of the pipeline lives', async () => {
  const { page, close } = await open(browser, daemon, '#/pipeline');
  await page.locator('[data-part="spool"]').waitFor();
  for (const part of ['clients', 'intake', 'spool', 'live', 'viewers', 'sink history']) {
    await counts(page.locator(`[data-part="${part}"]`), 1, part);
  }
  await until('samples that flow', async () => /[1-9][\d,]* samples\/s/.test(await page.locator('.drawing').textContent()));
  await close();
});

test('a laptop sleeps for ten minutes, wakes, and the page is right without a reload', async () => {
  const { page, faults, close } = await open(browser, daemon);
  await page.waitForFunction(() => window.__tidegate.devices() >= 60);
  await page.evaluate(() => { window.notReloaded = true; });
  await page.clock.install();
  const cdp = await page.context().newCDPSession(page);
  // The lid is closed: the page is frozen, the network gone. The socket dies without a farewell.
  await cdp.send('Network.enable');
  await cdp.send('Network.emulateNetworkConditions', { offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await cdp.send('Page.setWebLifecycleState', { state: 'frozen' });
  await daemon.kill();
  await daemon.restart();
  await cdp.send('Page.setWebLifecycleState', { state: 'active' });
  // Timers that were due meanwhile fire once, as after a sleep.
  await page.clock.fastForward('10:00');
  await cdp.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await page.waitForSelector('[data-link="live"]', { timeout: 4 * BUSY_MS });
  await page.waitForFunction(() => /data (< 1|[12]) s old/.test(document.querySelector('.link .age').textContent), null, { timeout: 4 * BUSY_MS });
  assert.equal(await page.evaluate(() => window.notReloaded), true);
  assert.deepEqual(faults.filter((fault) => !/WebSocket|ERR_|Failed to load/.test(fault)), []);
  await close();
});

test('a tab that is hidden for ten minutes lets its link go, and takes it up again', async () => {
  const { page, close } = await open(browser, daemon);
  await page.clock.install();
  const hide = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
  await hide(true);
  await page.clock.runFor(10 * 60_000);
  await page.waitForFunction(() => window.__tidegate.link() === 'asleep');
  await hide(false);
  await page.clock.resume();
  await page.waitForFunction(() => window.__tidegate.link() === 'live', null, { timeout: 4 * BUSY_MS });
  await close();
});

/** Readings that cannot be deflated to little, four times a second: far more than 50 KB/s for who looks at them all. */
function noise() {
  let going = true;
  const rows = () =>
    Array.from({ length: 150 }, (_, at) => {
      const values = Object.fromEntries(Array.from({ length: 8 }, (_, metric) => [`m${metric}`, Math.random() * 1000]));
      return JSON.stringify({ device: `noise-${at}`, values });
    }).join('\n');
  const sending = (async () => {
    while (going) {
      const request = { method: 'POST', headers: { 'Content-Type': 'application/x-ndjson' }, body: rows() };
      const answer = await fetch(`${daemon.url}/api/v1/ingest`, request);
      const text = await answer.text();
      // A daemon that is busy may say "later".
      assert.ok(answer.ok || [429, 503].includes(answer.status), `${answer.status} ${text}`);
      await new Promise((done) => setTimeout(done, 200));
    }
  })();
  return () => {
    going = false;
    return sending;
  };
}

test('a network of 50 KB/s is slow, not wrong: the page says how old its data is, is told of fewer, and recovers', async (t) => {
  const { page, close } = await open(browser, daemon);
  await page.waitForFunction(() => window.__tidegate.devices() >= 60);
  const stop = noise();
  await page.waitForFunction(() => window.__tidegate.devices() >= 210);
  // All that the strip says of being slow, however short.
  await page.evaluate(() => {
    window.told = [];
    const strip = document.querySelector('.link');
    new MutationObserver(() => {
      if (strip.dataset.slowed !== '1') window.told.push(strip.querySelector('.age').textContent);
    }).observe(strip, { attributes: true, subtree: true, characterData: true, childList: true });
  });
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Network.enable');
  const throttle = (bytes) =>
    cdp.send('Network.emulateNetworkConditions', { offline: false, latency: 40, downloadThroughput: bytes, uploadThroughput: bytes });
  await throttle(50 * 1024);
  const begun = Date.now();
  const since = () => `${((Date.now() - begun) / 1000).toFixed(1)} s`;
  // What is on the way is old when it comes, and the page says so before the daemon knows of it.
  await page.waitForFunction(() => /data ([3-9]|\d\d) s old/.test(document.querySelector('.link .age').textContent), null, { timeout: 4 * BUSY_MS });
  t.diagnostic(`old data is told after ${since()}`);
  await until('the daemon to know of a slow viewer', async () => (await api(daemon, 'GET', 'status')).viewers.degraded >= 1, 6 * BUSY_MS);
  t.diagnostic(`the daemon sends less after ${since()}`);
  assert.equal(await page.evaluate(() => window.__tidegate.link()), 'live', 'slow is not lost');
  await throttle(-1);
  // What the daemon said of it was on its way, too.
  await page.waitForFunction(() => window.told.some((text) => /one update in \d+/.test(text)), null, { timeout: 12 * BUSY_MS });
  await page.waitForFunction(
    () => document.querySelector('.link').dataset.slowed === '1' && /data (< 1|[12]) s old/.test(document.querySelector('.link .age').textContent),
    null,
    { timeout: 12 * BUSY_MS },
  );
  t.diagnostic(`restored after ${since()}`);
  await stop();
  await until('nobody to be slow', async () => (await api(daemon, 'GET', 'status')).viewers.degraded === 0);
  await close();
});

test('a page is opened over a network of 50 KB/s: later, but whole', async () => {
  const { page, close } = await open(browser, daemon);
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Network.enable');
  await cdp.send('Network.emulateNetworkConditions', { offline: false, latency: 40, downloadThroughput: 50 * 1024, uploadThroughput: 50 * 1024 });
  await page.reload();
  await page.waitForFunction(() => window.__tidegate?.devices() >= 60, null, { timeout: 8 * BUSY_MS });
  await go(page, '#/pipeline');
  await page.locator('[data-part="spool"]').waitFor({ timeout: 4 * BUSY_MS });
  await reads(page.locator('.link .age'), /data .+ old/);
  await close();
});

test('an answer that the viewer has no right to is told everywhere', async () => {
  const answer = (page, status) =>
    page.route('**/api/v1/rules', (route) =>
      route.fulfill({ status, contentType: 'application/problem+json', body: JSON.stringify({ status, detail: 'not for you' }) }),
    );
  const right = await open(browser, daemon, '#/rules');
  await right.page.locator('[data-rule]').first().waitFor();
  await answer(right.page, 403);
  await right.page.waitForSelector('[data-denied]', { timeout: 2 * BUSY_MS });
  await reads(right.page.locator('.fault').first(), /not for you/);
  await right.close();
  // Whoever has no login is asked to log in, over the page as it is.
  const login = await open(browser, daemon, '#/rules');
  await login.page.locator('[data-rule]').first().waitFor();
  await answer(login.page, 401);
  await login.page.waitForSelector('[data-login="ended"]', { timeout: 2 * BUSY_MS });
  assert.ok((await login.page.locator('[data-rule]').count()) > 0);
  await login.close();
});
