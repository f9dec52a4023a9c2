// What the stories of the operators' room share: pages with their faults, readings of their own, axe.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { BUSY_MS, faultsOf, newPage } from './daemon.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Where a page lies that is newer than the daemon's own: PAGE=../../dashboard/dist while one works on it. */
const { PAGE } = process.env;

const fromDist = (route) => {
  const { pathname } = new URL(route.request().url());
  return route.fulfill({ path: join(PAGE, pathname === '/' ? 'index.html' : pathname) });
};

/** A page with its faults: errors on the console, requests to anybody else. */
export async function open(browser, daemon, hash = '', options = {}) {
  const { page, context } = await newPage(browser, { viewport: { width: 1440, height: 900 }, locale: 'en-GB', ...options });
  if (PAGE !== undefined) await context.route((url) => url.protocol !== 'blob:' && !url.pathname.startsWith('/api/'), fromDist);
  const faults = faultsOf(page, daemon);
  await page.goto(`${daemon.url}/${hash}`);
  // Where a login is asked for there is no link before it.
  await page.waitForSelector('[data-link="live"], .login-form');
  // The page names itself once it is drawn.
  await page.waitForFunction(() => document.title.endsWith(' – Tidegate'));
  return { page, faults, context, close: () => context.close() };
}

/** The page's name, as its title tells it; without how many alerts fire. */
export const nameOf = async (page) => (await page.title()).replace(/^(‼ )?\(\d+\) /, '');

const pathOf = (hash) => hash.replace(/\?.*$/, '').replace(/^#?\/?/, '');

/** Goes to a page of another name, which is drawn when this returns; what it asks for may still be missing. */
export async function go(page, hash) {
  const before = await nameOf(page);
  const from = await page.evaluate((hash) => {
    const from = location.hash;
    location.hash = hash === '' ? '#/' : hash;
    return from;
  }, hash);
  if (pathOf(from) !== pathOf(hash)) await until(`the page ${hash}`, async () => (await nameOf(page)) !== before);
}

/** Waits until what is there reads like this; tells what it reads otherwise. */
export async function reads(locator, wanted) {
  let text = '';
  const reading = async () => {
    text = await locator.innerText();
    return wanted.test(text);
  };
  await until(wanted, reading).catch((error) => assert.match(text, wanted, `${error.message}: ${text}`));
}

/** Waits until there are so many of them. */
export async function counts(locator, wanted, what) {
  let found = -1;
  const count = async () => (found = await locator.count()) === wanted;
  await until(`${wanted} of ${locator}`, count).catch(() => assert.equal(found, wanted, what));
}

/** Until all that the page knows is drawn: one frame begins it, the next one comes after it. */
export const drawn = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))));

/** Sends one reading of a device that only the story knows; durable when it returns. */
export async function reading(daemon, device, values) {
  const answer = await fetch(`${daemon.url}/api/v1/ingest`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-ndjson', ...daemon.headers },
    body: JSON.stringify({ device, values }),
  });
  assert.ok(answer.ok, `${answer.status} ${await answer.text()}`);
}

export async function api(daemon, method, path, body) {
  const request = { method, headers: { 'Content-Type': 'application/json', Origin: daemon.url, ...daemon.headers } };
  const answer = await fetch(`${daemon.url}/api/v1/${path}`, { ...request, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text === '' ? null : JSON.parse(text);
}

/** Asks until the answer is as wanted. */
export async function until(what, ask, deadline_ms = 2 * BUSY_MS) {
  const end = Date.now() + deadline_ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(Date.now() < end, `waited in vain for ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/**
 * What axe-core says of a page as it is while it has a link: without one for some seconds it is faded, and rightly so. A page
 * that was faded meanwhile, because the machine stood still, is looked at once more.
 */
export async function violations(page, options = {}) {
  await page.evaluate(AXE);
  const look = async (options) => {
    const main = document.getElementById('main');
    const link = document.querySelector('[data-link]')?.dataset.link ?? 'barred';
    const isFaded = () => link !== 'barred' && main.matches('.aged');
    let faded = isFaded();
    if (faded) return null;
    const watch = new MutationObserver(() => (faded ||= isFaded()));
    watch.observe(main, { attributeFilter: ['class'] });
    const { violations } = await window.axe.run(document, options);
    watch.disconnect();
    return faded ? null : violations;
  };
  return until('axe to see the page with its link', () => page.evaluate(look, options), 8 * BUSY_MS);
}

/** What axe-core finds against WCAG 2.2 A and AA. */
export async function axe(page) {
  const found = await violations(page, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
  return found.flatMap(({ id, nodes }) => nodes.slice(0, 3).map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} – ${failureSummary?.split('\n')[1]?.trim()}`));
}

/** What it calls serious, whatever rule says so. */
export async function serious(page) {
  const found = (await violations(page)).filter(({ impact }) => impact === 'serious' || impact === 'critical');
  return found.map(({ id, nodes }) => [id, nodes[0].html]);
}

/** The element that has the focus, in words. */
export const focused = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    return element?.getAttribute('aria-label') ?? element?.textContent?.trim().slice(0, 60) ?? '';
  });
