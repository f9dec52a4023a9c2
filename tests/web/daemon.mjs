// The real binary with its simulated plant, and the system's Chromium.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { chromium } from 'playwright-core';

const BINARY = resolve(process.env.BINARY ?? '../../target/debug/tidegate');

export const freePort = () =>
  new Promise((done) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

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
    for (let tries = 0; tries < 200; tries += 1) {
      const ready = await fetch(`${this.url}/readyz`).then((answer) => answer.ok, () => false);
      if (ready) return;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error('the daemon does not answer');
  }

  kill() {
    return new Promise((done) => {
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

/** How long a page may take for what takes it one to three seconds, on a machine that is busy with other work. */
export const BUSY_MS = 15_000;

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-features=LocalNetworkAccessChecks',
    ],
  });
