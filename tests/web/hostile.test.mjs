// What devices say of themselves is text, whatever it looks like: names and values that hold HTML and script, on every
// page that shows them, and in what is exported. The daemon and the browser are real.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Daemon, launch } from './daemon.mjs';
import { api, go, open, reading, until } from './room.mjs';

const DEVICE = '<img src=x onerror=alert(document.domain)>';
const METRIC = '"><script>alert(1)</script>';
const TEXT = '<script>fetch("/stolen")</script><svg onload=alert(2)>';
const FORMULA = '=HYPERLINK("http://127.0.0.1/stolen","open")';
let daemon;
let browser;

before(async () => {
  daemon = await Daemon.start('--devices', '5', '--well-behaved');
  browser = await launch();
  await api(daemon, 'PUT', 'rules/hostile', { kind: 'text', device: ['<*'], metric: ['*'], equals: [TEXT], severity: 'warning', text: '{device}: {value}' });
});

after(async () => {
  await browser?.close();
  await daemon?.end();
});

/** A page that keeps what no story may see: dialogs, requests that nobody of ours makes, reports of the policy. */
async function watched(hash, options = {}) {
  const opened = await open(browser, daemon, hash, options);
  const { page, faults } = opened;
  page.on('dialog', (dialog) => {
    faults.push(`dialog ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (/stolen|\/x$/.test(pathname)) faults.push(`request for ${pathname}`);
  });
  await page.evaluate(() => addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
  return opened;
}

/** Elements that can only have come out of what a device said. */
const foreign = (page) => page.evaluate(() => document.querySelectorAll('img, script:not([type=module]), [onerror], [onload]').length);

test('names and values that hold HTML and script are shown as the text that they are', async () => {
  const { page, faults, close } = await watched('');
  const stop = new AbortController();
  const sending = (async () => {
    for (; !stop.signal.aborted; await new Promise((done) => setTimeout(done, 500))) {
      await reading(daemon, DEVICE, { [METRIC]: 1, state: TEXT });
    }
  })();
  const at = `#/device/${encodeURIComponent(DEVICE)}`;
  // The overview: the name and the text, letter by letter.
  await page.waitForFunction((name) => [...document.querySelectorAll('[role=row]')].some((row) => row.innerText.includes(name)), DEVICE);
  assert.equal(await foreign(page), 0);
  // The inbox, where strangers wait.
  await go(page, '#/inbox');
  await page.getByRole('link', { name: DEVICE }).waitFor();
  assert.equal(await foreign(page), 0);
  // Its own page: heading, charts, text states, the document's title.
  await go(page, at);
  await page.getByRole('heading', { level: 1, name: DEVICE }).waitFor();
  await page.waitForFunction(([text, metric]) => {
    const said = document.querySelector('#main').innerText;
    return said.includes(text.slice(0, 20)) && said.includes(metric);
  }, [TEXT, METRIC]);
  await until('the title', async () => (await page.title()).includes(DEVICE));
  assert.equal(await foreign(page), 0);
  // Alerts are told with both in their text.
  await go(page, '#/alerts');
  await page.locator('.alerts-page [data-alert]').first().waitFor();
  await until('the words of the alert', async () => (await page.locator('#main').innerText()).includes(`${DEVICE}: ${TEXT}`));
  assert.equal(await foreign(page), 0);
  await page.locator('.alerts-page [data-alert]').getByRole('link').first().click();
  await page.locator('.alert-page .events li').first().waitFor();
  assert.equal(await foreign(page), 0);
  stop.abort();
  await sending;
  assert.deepEqual(faults, []);
  await close();
});

test('a board and its file take hostile names as they are', async () => {
  await reading(daemon, DEVICE, { [METRIC]: 1, state: TEXT });
  const { page, faults, close } = await watched(`#/device/${encodeURIComponent(DEVICE)}`);
  await page.waitForFunction(() => window.__tidegate.series().length > 1);
  await page.getByRole('button', { name: 'Save as board' }).click();
  await page.waitForFunction(() => location.hash.startsWith('#/board/'));
  await page.locator('.board-page h1', { hasText: DEVICE }).waitFor();
  await page.locator('.board-grid .panel').first().waitFor();
  assert.equal(await foreign(page), 0);
  await go(page, '#/boards');
  await page.getByRole('link', { name: DEVICE }).waitFor();
  assert.equal(await foreign(page), 0);
  assert.deepEqual(faults, []);
  await close();
});

test('no cell of an exported CSV is a formula', async () => {
  await reading(daemon, '=1+1', { '@SUM(A1)': -2.5, state: FORMULA });
  const { page, faults, close } = await watched(`#/device/${encodeURIComponent('=1+1')}`);
  await page.waitForFunction(() => window.__tidegate.series().filter((name) => (window.__tidegate.chart(name)?.start.length ?? 0) > 0).length === 2);
  await page.getByText('Export', { exact: true }).click();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'CSV of what is drawn' }).click()]);
  const rows = readFileSync(await download.path()).toString().trimEnd().split('\r\n').slice(1);
  const number = rows.find((row) => row.includes('SUM'));
  const text = rows.find((row) => row.includes('HYPERLINK'));
  assert.match(number, /^[^,]+,'=1\+1,'@SUM\(A1\),,,[\d.]+,1,-2\.5,-2\.5,-2\.5,-2\.5$/);
  assert.ok(text.endsWith(`,"'${FORMULA.replaceAll('"', '""')}"`), text);
  assert.deepEqual(faults, []);
  await close();
});
