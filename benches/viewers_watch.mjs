// Many viewers in one process, over plain sockets, so that the servers and not the viewers are what is busy. Usage:
// viewers_watch.mjs tidegate|ws|socket.io|sse|sse-gzip PORT VIEWERS VIEWS. Prints `ready`; on a line of standard input
// begins to count, on the next one prints what it counted, as JSON.
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const [kind, port, viewers, views] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const streams = kind.startsWith('sse');
const paths = {
  tidegate: () => '/api/v1/live/ws',
  ws: (view) => `/?view=${view}`,
  'socket.io': (view) => `/socket.io/?EIO=4&transport=websocket&view=${view}`,
};
/** Each of these reads what is in its frames; the others only count them. */
const READERS = 50;
let counting = false;
let [frames, bytes, open] = [0, 0, 0];
let latencies = [];

function masked(text) {
  const payload = Buffer.from(text);
  const length = payload.length < 126 ? [0x80 | payload.length] : [0xfe, payload.length >> 8, payload.length & 255];
  return Buffer.concat([Buffer.from([0x81, ...length, 0, 0, 0, 0]), payload]);
}

function heard(text, reads, size) {
  if (!text.includes('rollups')) return;
  if (!counting) return;
  frames += 1;
  bytes += size;
  if (!reads) return;
  // The last value of `sent` in the frame: when the reading was made.
  const at = text.lastIndexOf('"sent":[[');
  if (at < 0) return;
  const values = text.slice(at + 8, text.indexOf(']]', at)).split(',');
  latencies.push(Date.now() - Number(values[values.length - 1]));
}

/** Takes whole WebSocket messages out of what has come; gives back the rest. */
function messages(buffer, each) {
  let at = 0;
  while (buffer.length - at >= 2) {
    let length = buffer[at + 1] & 127;
    let head = 2;
    if (length === 126) {
      if (buffer.length - at < 4) break;
      [length, head] = [buffer.readUInt16BE(at + 2), 4];
    } else if (length === 127) {
      if (buffer.length - at < 10) break;
      [length, head] = [Number(buffer.readBigUInt64BE(at + 2)), 10];
    }
    if (buffer.length - at < head + length) break;
    each(buffer[at] & 15, buffer.subarray(at + head, at + head + length));
    at += head + length;
  }
  return buffer.subarray(at);
}

function watch(number) {
  const view = number % views;
  const reads = number < READERS;
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let [rest, upgraded] = [Buffer.alloc(0), false];
  const query = `device=v${view}-*`;
  if (streams) {
    const accept = kind === 'sse-gzip' ? 'accept-encoding: gzip\r\n' : '';
    socket.write(`GET /api/v1/live?${query} HTTP/1.1\r\nhost: x\r\n${accept}\r\n`);
  } else {
    socket.write(
      `GET ${paths[kind](view)} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nupgrade: websocket\r\nconnection: upgrade\r\n` +
        'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
  }
  socket.on('data', (chunk) => {
    if (streams) {
      // Each frame begins with its event's name, which is not compressed.
      const name = Buffer.from('event: rollups');
      for (let at = chunk.indexOf(name); at >= 0; at = chunk.indexOf(name, at + 1)) {
        if (kind === 'sse' && reads) heard(chunk.toString('latin1', at), true, 0);
        else if (counting) frames += 1;
      }
      if (counting) bytes += chunk.length;
      if (!upgraded) open += 1;
      upgraded = true;
      return;
    }
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    if (!upgraded) {
      const end = rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!rest.toString('latin1', 0, 12).endsWith('101')) throw new Error(rest.toString('latin1', 0, 200));
      [upgraded, rest] = [true, rest.subarray(end + 4)];
      if (kind === 'tidegate') socket.write(masked(JSON.stringify({ type: 'subscribe', sub: 1, device: [`v${view}-*`] })));
      if (kind === 'socket.io') socket.write(masked('40'));
      open += 1;
    }
    rest = messages(rest, (code, payload) => {
      if (code === 9) socket.write(Buffer.from([0x8a, 0x80, 0, 0, 0, 0]));
      if (code !== 1) return;
      const text = payload.toString('latin1', 0, reads ? payload.length : Math.min(payload.length, 64));
      if (kind === 'socket.io' && text === '2') socket.write(masked('3'));
      heard(text, reads, payload.length);
    });
  });
  socket.on('close', () => {
    console.error(`viewer ${number} was cut off`);
    process.exit(1);
  });
}

for (let number = 0; number < viewers; number++) {
  watch(number);
  if (number % 100 === 99) await new Promise((resolve) => setTimeout(resolve, 20));
}
const began = Date.now();
while (open < viewers) {
  if (Date.now() - began > 120_000) throw new Error(`${open} of ${viewers} are open`);
  await new Promise((resolve) => setTimeout(resolve, 50));
}
console.log('ready');
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
await lines.next();
counting = true;
await lines.next();
counting = false;
latencies.sort((a, b) => a - b);
const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? null;
console.log(JSON.stringify({ frames, bytes, p50: at(0.5), p99: at(0.99) }));
process.exit(0);
