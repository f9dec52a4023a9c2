// The real binary with its simulated plant, and the system's Chromium.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { chromium } from 'playwright-core';

const BINARY = resolve(process.env.BINARY ?? '../../target/debug/tidegate');

/** How long a page may take for what takes it one to three seconds, on a machine that is busy with other work. */
export const BUSY_MS = 30_000;

/** THROTTLE=8: pages have an eighth of the processor's time, which shows stories that look too early. */
const THROTTLE = Number(process.env.THROTTLE ?? 1);

/** STUTTER=2000: again and again the daemon stands still for so many ms, which shows stories that take an answer for granted. */
const STUTTER_MS = Number(process.env.STUTTER ?? 0);

const pause = (ms) => new Promise((done) => setTimeout(done, ms).unref());

async function stutter(process) {
  for (;;) {
    await pause(500 + Math.random() * 3000);
    if (process.exitCode !== null || process.signalCode !== null) return;
    process.kill('SIGSTOP');
    await pause(STUTTER_MS);
    process.kill('SIGCONT');
  }
}

const isFree = (port) =>
  new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });

/**
 * A port that nobody takes by chance before it is listened on, or while its server is away: systems give those from
 * 32768 on to connections that go out.
 */
export async function freePort() {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    if (await isFree(port)) return port;
  }
}

/** Asks until something listens; fails once the process has ended. */
export async function answers(what, process, ask) {
  for (const end = Date.now() + 4 * BUSY_MS; Date.now() < end; await new Promise((done) => setTimeout(done, 50))) {
    if (await ask()) return;
    if (process.exitCode !== null || process.signalCode !== null) throw new Error(`${what} has ended`);
  }
  throw new Error(`${what} does not answer`);
}

/** A daemon that can be killed and started again on the same state and address; with a simulated plant, unless it is told otherwise. */
export class Daemon {
  /** `demo` has a plant and asks nobody who they are; `run` has neither. */
  command = 'demo';

  static start(...flags) {
    return Daemon.prepared(() => undefined, ...flags);
  }

  /** `prepare` is given the daemon before its first start: its state directory is there. */
  static async prepared(prepare, ...flags) {
    const daemon = new Daemon();
    daemon.port = await freePort();
    daemon.url = `http://127.0.0.1:${daemon.port}`;
    daemon.state = mkdtempSync(join(tmpdir(), 'tidegate-web-'));
    daemon.flags = flags;
    prepare(daemon);
    await daemon.restart();
    return daemon;
  }

  async restart() {
    const flags = [this.command, '--listen', `127.0.0.1:${this.port}`, '--state-dir', this.state, ...this.flags];
    this.process = spawn(BINARY, flags, { stdio: ['ignore', 'ignore', 'inherit'] });
    await answers('the daemon', this.process, () => fetch(`${this.url}/readyz`).then((answer) => answer.ok, () => false));
    if (STUTTER_MS > 0) void stutter(this.process);
  }

  async kill() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    await new Promise((done) => {
      this.process.once('exit', done);
      this.process.kill('SIGKILL');
    });
  }

  async end() {
    await this.kill();
    rmSync(this.state, { recursive: true, force: true });
  }

  /** What a request shows of who it is from: the story's own key, where one is asked for. */
  get headers() {
    return this.key === undefined ? {} : { Authorization: `Bearer ${this.key}` };
  }

  async json(path) {
    const answer = await fetch(this.url + path, { headers: this.headers });
    return answer.json();
  }
}

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-features=LocalNetworkAccessChecks',
    ],
  });

/** A page in a context of its own. */
export async function newPage(browser, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(Number(process.env.PATIENCE ?? 2 * BUSY_MS));
  if (THROTTLE > 1) {
    const cdp = await context.newCDPSession(page);
    await cdp.send('Emulation.setCPUThrottlingRate', { rate: THROTTLE });
  }
  return { page, context };
}

/** What a browser notes itself where the history is a moment behind: it does not know a new series yet, or says "later". */
const isTooEarly = (message) => /status of (404|503)/.test(message.text()) && /\/api\/v1\/query\?/.test(message.location().url);

/** What a page does that it may not: errors on the console that are not `expected`, requests to anybody else. */
export function faultsOf(page, daemon, expected = () => false) {
  const faults = [];
  page.on('console', (message) => {
    if (message.type() === 'error' && !isTooEarly(message) && !expected(message)) faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(daemon.url) && !/^(data|blob):/.test(url)) faults.push(`external request ${url}`);
  });
  return faults;
}
