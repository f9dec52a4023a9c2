// Makes the pictures of docs/images from the running demo.
import { Daemon, launch } from './daemon.mjs';

const SHOTS = [
  ['overview', '', 1440, 900, 'light'],
  ['overview-dark', '', 1440, 900, 'dark'],
  ['device', '#/device/pump-002?range=5m', 1440, 900, 'light'],
  ['device-dark', '#/device/pump-002?range=5m', 1440, 900, 'dark'],
  ['phone', '', 360, 740, 'light'],
];

const daemon = await Daemon.start();
const browser = await launch();
// Let the charts have something to show.
await new Promise((done) => setTimeout(done, Number(process.env.SECONDS ?? 60) * 1000));
for (const [name, hash, width, height, colorScheme] of SHOTS) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  const page = await context.newPage();
  await page.goto(`${daemon.url}/${hash}`);
  await page.waitForSelector('[data-link="live"]');
  await page.waitForTimeout(3000);
  await page.screenshot({ path: new URL(`../../docs/images/${name}.png`, import.meta.url).pathname });
  await context.close();
}
await browser.close();
await daemon.end();
