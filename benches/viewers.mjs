// Viewers of the daemon, of `ws` and of `socket.io`: CPU of the server per delivered frame, latency from the making of a
// reading to the viewer, memory per viewer. See viewers.sh.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const binary = process.argv[2];
const counts = (process.env.VIEWERS ?? '1000,5000').split(',').map(Number);
const seconds = Number(process.env.SECONDS_EACH ?? 20);
const here = new URL('.', import.meta.url).pathname;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const TICKS_PER_SECOND = 100;

function cpu(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function resident(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function lines(child) {
  const all = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await all.next();
    if (done) throw new Error('it ended early');
    return value;
  };
}

/** The daemon, and readings for so many views, four times a second. */
async function daemon(views) {
  const [port, state] = [await freePort(), mkdtempSync(join(tmpdir(), 'tidegate-bench-'))];
  const args = ['run', '--listen', `127.0.0.1:${port}`, '--state-dir', state, '--set', 'live.viewers_max=20000'];
  const child = spawn(binary, args, { stdio: 'ignore' });
  const base = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries++) {
    const ready = await fetch(`${base}/readyz`).then((answer) => answer.ok, () => false);
    if (ready) break;
    if (tries > 300) throw new Error('the daemon does not start');
    await sleep(100);
  }
  const load = setInterval(() => {
    const now = Date.now();
    const body = [];
    for (let view = 0; view < views; view++) {
      for (let device = 0; device < 10; device++) {
        const values = { sent: now };
        for (let metric = 0; metric < 3; metric++) values[`motor.metric-${metric}`] = 71.5 + (now % 17) / 10;
        body.push(JSON.stringify({ device: `v${view}-${device}`, values }));
      }
    }
    const headers = { 'content-type': 'application/x-ndjson' };
    fetch(`${base}/api/v1/ingest?client=bench`, { method: 'POST', headers, body: body.join('\n') })
      .then(async (answer) => {
        const text = await answer.text();
        if (!answer.ok) console.error(text.slice(0, 200));
      })
      .catch(() => {});
  }, 250);
  const stop = async () => {
    clearInterval(load);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    rmSync(state, { recursive: true, force: true });
  };
  return { pid: child.pid, port, stop };
}

async function broadcaster(library, views) {
  const child = spawn(process.execPath, [join(here, 'viewers_broadcast.mjs'), library, String(views)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = Number(await lines(child)());
  return { pid: child.pid, port, stop: async () => void child.kill('SIGKILL') };
}

async function measure(kind, viewers, views) {
  const library = kind === 'ws' || kind === 'socket.io';
  const server = library ? await broadcaster(kind, views) : await daemon(views);
  try {
    await sleep(4000);
    // What it costs without viewers: taking the readings in, or making the frames.
    const [idleCpu, idleResident] = [cpu(server.pid), resident(server.pid)];
    await sleep(seconds * 500);
    const idle = (cpu(server.pid) - idleCpu) * 2;
    const args = [join(here, 'viewers_watch.mjs'), kind, server.port, viewers, views].map(String);
    const watch = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const next = lines(watch);
    await next();
    await sleep(5000);
    const begun = cpu(server.pid);
    watch.stdin.write('begin\n');
    await sleep(seconds * 1000);
    const spent = cpu(server.pid) - begun;
    const memory = resident(server.pid) - idleResident;
    watch.stdin.write('end\n');
    const { frames, bytes, p50, p99 } = JSON.parse(await next());
    const due = viewers * 4 * seconds;
    const row = [kind, viewers, views, `${((100 * frames) / due).toFixed(0)} %`, (bytes / frames / 1024).toFixed(1)];
    row.push(((1e6 * spent) / frames).toFixed(1), ((1e6 * (spent - idle)) / frames).toFixed(1));
    row.push(p50 === null ? '–' : `${p50} / ${p99}`, (memory / viewers / 1024).toFixed(1));
    console.log(`| ${row.join(' | ')} |`);
  } finally {
    await server.stop();
  }
}

console.log(
  '| server | viewers | views | frames delivered of 4 a second | KiB each | CPU-µs per frame | … above that without viewers |' +
    ' ms p50 / p99 | KiB resident per viewer |\n|---|---|---|---|---|---|---|---|---|',
);
for (const viewers of counts) {
  for (const views of [1, 100]) {
    for (const kind of (process.env.SERVERS ?? 'tidegate,sse,sse-gzip,ws,socket.io').split(',')) {
      await measure(kind, viewers, views);
    }
  }
}
