// What the stories of charts share: a kiln with a past of thirty days, and pages with their faults.
import { BUSY_MS, faultsOf, newPage } from './daemon.mjs';
import { drawn, until as untilAsked } from './room.mjs';

const DAY = 24 * 3600 * 1000;
/** A reading every two minutes. */
const STEP = 2 * 60 * 1000;

/**
 * Sends thirty days of one device: two temperatures and a speed. One sample of `zone1.temperature` is a hundred
 * degrees too high; of the ninth day before now nothing is there.
 */
export async function kiln(daemon) {
  const now = Date.now();
  const gap = [now - 10 * DAY, now - 9 * DAY];
  const lines = [];
  let spike = 0;
  for (let at = now - 30 * DAY, i = 0; at < now; at += STEP, i += 1) {
    if (at > gap[0] && at < gap[1]) continue;
    if (i === 5000) spike = at;
    const day = (at / DAY) * 2 * Math.PI;
    const values = {
      'zone1.temperature': 20 + 5 * Math.sin(day) + (i === 5000 ? 100 : 0),
      'zone2.temperature': 30 + 4 * Math.sin(day + 1),
      'fan.speed': 1200 + 100 * Math.sin(day / 3),
    };
    const units = { 'zone1.temperature': '°C', 'zone2.temperature': '°C', 'fan.speed': 'rpm' };
    lines.push(JSON.stringify({ device: 'kiln-1', time: 0, values, units }).replace('"time":0', `"time":${at}000000`));
  }
  for (let from = 0; from < lines.length; from += 3000) {
    const body = lines.slice(from, from + 3000).join('\n');
    const headers = { 'Content-Type': 'application/x-ndjson' };
    const answer = await fetch(`${daemon.url}/api/v1/ingest`, { method: 'POST', headers, body });
    if (!answer.ok) throw new Error(`the past was refused: ${answer.status} ${await answer.text()}`);
  }
  // What was taken is in the log; the history reads it from there, in its order.
  const whole = `/api/v1/query?device=kiln-1&metric=fan.speed&from=${(now - 40 * DAY)}000000&to=now&buckets=1`;
  const known = async () => (await daemon.json(whole)).count?.reduce((sum, one) => sum + one, 0) === lines.length;
  await untilAsked('the history to have read the past', known, 8 * BUSY_MS);
  return { now, gap, spike };
}

/** A page with its faults: errors on the console, requests to anybody else; and what it asked of the history. */
export async function open(browser, daemon, hash, options = {}) {
  const { page, context } = await newPage(browser, { viewport: { width: 1440, height: 900 }, locale: 'en-GB', ...options });
  // What other rooms answer on the same page is for their stories.
  const elsewhere = (message) => /\/api\/v1\/(alerts|rules|silences|notifications)|\/(commands|desired)\b/.test(message.location().url);
  const faults = faultsOf(page, daemon, elsewhere);
  const asked = [];
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.pathname.endsWith('/query')) asked.push(url.searchParams);
  });
  await page.goto(`${daemon.url}/${hash}`);
  return { page, faults, asked, close: () => context.close() };
}

/** Until a series of the page is drawn with its past. */
export const joined = (page, series) =>
  page.waitForFunction(
    (series) => window.__tidegate?.chart(series)?.history === 'joined' && window.__tidegate.chart(series).start.length > 1,
    series,
    { timeout: BUSY_MS * 4 },
  );

export const time = (page) => page.evaluate(() => window.__tidegate.time());
export const chart = (page, series) => page.evaluate((series) => window.__tidegate.chart(series), series);

/** Until what the page shows fulfils this. */
export const until = (page, condition, argument = null) =>
  page.waitForFunction(condition, argument, { timeout: BUSY_MS * 4 });

/** The part of a panel that is plotted on. */
export const plot = (page, panel) => page.locator(`section[aria-label="${panel}"] .u-over`);

/** Drags from one share of a plot's width to another. */
export async function drag(page, over, from, to, key = null) {
  await drawn(page);
  const box = await over.boundingBox();
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + from * box.width, y);
  if (key !== null) await page.keyboard.down(key);
  await page.mouse.down();
  await page.mouse.move(box.x + to * box.width, y, { steps: 6 });
  await page.mouse.up();
  if (key !== null) await page.keyboard.up(key);
}

/**
 * How high the ink of the first series stands in each pixel column of a plot, as shares of its height; null where
 * there is none. `opacity`: how much of it there must be, of 255: lines have all of it, edges and ghosts less.
 * `colour`: by how much its blue must exceed its red: of a line by 133, of a ghost where it crosses a grid line,
 * which is opaque, by less than 90.
 */
export const ink = (page, panel, opacity = 60, colour = 60) =>
  page.evaluate(([panel, opacity, colour]) => {
    const section = document.querySelector(`section[aria-label="${panel}"]`);
    const canvas = section?.querySelector('canvas') ?? null;
    if (canvas === null) return [];
    const over = section.querySelector('.u-over').getBoundingClientRect();
    const whole = canvas.getBoundingClientRect();
    const ratio = canvas.width / whole.width;
    const [left, top] = [(over.left - whole.left) * ratio, (over.top - whole.top) * ratio];
    const [width, height] = [Math.floor(over.width * ratio), Math.floor(over.height * ratio)];
    const { data } = canvas.getContext('2d').getImageData(left, top, width, height);
    const columns = [];
    for (let x = 0; x < width; x += 1) {
      let high = null;
      for (let y = 0; y < height && high === null; y += 1) {
        const [red, , blue, alpha] = data.slice(4 * (y * width + x), 4 * (y * width + x) + 4);
        if (alpha > opacity && blue - red > colour) high = 1 - y / height;
      }
      columns.push(high);
    }
    return columns;
  }, [panel, opacity, colour]);

/** The ink once it is as wanted: what the page knows is drawn some frames later, in a chart that is made when it comes on the screen. */
export async function inked(page, panel, wanted, ...how) {
  let columns = [];
  await untilAsked(`the ink of ${panel}`, async () => wanted((columns = await ink(page, panel, ...how))));
  return columns;
}
