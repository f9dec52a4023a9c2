import { launch } from './daemon.mjs';
const [base, out, hash, w='1440', h='900', scheme='light', script=''] = process.argv.slice(2);
const browser = await launch();
const ctx = await browser.newContext({ viewport: { width: +w, height: +h }, colorScheme: scheme, locale: process.env.LOC ?? 'en-GB' });
const page = await ctx.newPage();
page.on('console', m => m.type()==='error' && console.log('console', m.text()));
page.on('pageerror', e => console.log('pageerror', e.stack));
await page.goto(base + '/' + hash);
await page.waitForTimeout(+(process.env.WAIT ?? 4000));
if (script) { const f = new (Object.getPrototypeOf(async function(){}).constructor)('page', script); const r = await f(page); if (r !== undefined) console.log(JSON.stringify(r)); await page.waitForTimeout(1500); }
await page.screenshot({ path: out });
await browser.close();
