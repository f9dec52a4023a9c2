// What a sink writes to: a real VictoriaMetrics, and a server that answers as InfluxDB 2 does and refuses on demand.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { answers, freePort } from './daemon.mjs';

/** A VictoriaMetrics that can be killed and started again on the same data and address. */
export class VictoriaMetrics {
  static async start() {
    const store = new VictoriaMetrics();
    store.port = await freePort();
    store.url = `http://127.0.0.1:${store.port}`;
    store.data = mkdtempSync(join(tmpdir(), 'tidegate-store-'));
    await store.restart();
    return store;
  }

  async restart() {
    const flags = [`-httpListenAddr=127.0.0.1:${this.port}`, `-storageDataPath=${this.data}`, '-dedup.minScrapeInterval=1ms'];
    this.process = spawn('victoria-metrics', flags, { stdio: 'ignore' });
    await answers('the store', this.process, () => fetch(`${this.url}/health`).then((answer) => answer.ok, () => false));
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
    rmSync(this.data, { recursive: true, force: true });
  }
}

/** Takes every line but those of the devices in `refused`: for one of them it refuses the whole body. */
export class Influx2 {
  refused = new Set();
  /** Lines it took. */
  lines = [];

  static async start() {
    const store = new Influx2();
    store.server = createServer((request, response) => store.answer(request, response));
    await new Promise((done) => store.server.listen(0, '127.0.0.1', done));
    store.url = `http://127.0.0.1:${store.server.address().port}`;
    return store;
  }

  async answer(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    if (!request.url.startsWith('/api/v2/write')) return response.writeHead(404).end();
    const body = Buffer.concat(parts);
    const text = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString();
    const lines = text.split('\n').filter((line) => line !== '');
    const bad = lines.find((line) => [...this.refused].some((device) => line.includes(`device=${device}`)));
    if (bad === undefined) {
      this.lines.push(...lines);
      return response.writeHead(204).end();
    }
    const message = `${WORDS} ${bad.split(' ')[0]}`;
    return response.writeHead(400, { 'Content-Type': 'application/json' }).end(JSON.stringify({ code: 'invalid', message }));
  }

  /** How many lines of `device` it has. */
  taken(device) {
    return this.lines.filter((line) => line.includes(`device=${device}`)).length;
  }

  async end() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }
}

/** How every refusal of it begins. */
export const WORDS = 'unable to parse points: the store’s own words for';
