// What the stories of the operators' room share: pages with their faults, readings of their own, axe.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { BUSY_MS } from './daemon.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Where a page lies that is newer than the daemon's own: PAGE=../../dashboard/dist while one works on it. */
const { PAGE } = process.env;

const fromDist = (route) => {
  const { pathname } = new URL(route.request().url());
  return route.fulfill({ path: join(PAGE, pathname === '/' ? 'index.html' : pathname) });
};

/** A page with its faults: errors on the console, requests to anybody else. */
export async function open(browser, daemon, hash = '', options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-GB', ...options });
  if (PAGE !== undefined) await context.route((url) => url.protocol !== 'blob:' && !url.pathname.startsWith('/api/'), fromDist);
  const page = await context.newPage();
  page.setDefaultTimeout(Number(process.env.PATIENCE ?? 2 * BUSY_MS));
  const faults = [];
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(daemon.url) && !/^(data|blob):/.test(url)) faults.push(`external request ${url}`);
  });
  await page.goto(`${daemon.url}/${hash}`);
  // Where a login is asked for there is no link before it.
  await page.waitForSelector('[data-link="live"], .login-form');
  return { page, faults, context, close: () => context.close() };
}

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

/** What axe-core finds against WCAG 2.2 A and AA. */
export async function axe(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() =>
    window.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }),
  );
  return violations.flatMap(({ id, nodes }) => nodes.slice(0, 3).map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} – ${failureSummary?.split('\n')[1]?.trim()}`));
}

/** The element that has the focus, in words. */
export const focused = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    return element?.getAttribute('aria-label') ?? element?.textContent?.trim().slice(0, 60) ?? '';
  });
