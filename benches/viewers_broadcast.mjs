// A server that does nothing but broadcast, as one would write it with `ws` or `socket.io`: four times a second a frame
// of about 4 KB for each of so many views. Usage: viewers_broadcast.mjs ws|socket.io VIEWS; prints its port.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../tests/viewers/package.json', import.meta.url));
const [library, views] = [process.argv[2], Number(process.argv[3])];
const http = createServer();

/** What the daemon's frame looks like: 10 devices with 4 metrics, and when it was made. */
function frame(view) {
  const now = Date.now();
  const start = now - (now % 1000);
  const devices = [];
  for (let device = 0; device < 10; device++) {
    const rollups = { sent: [[start, 4, now - 750, now, 4 * now - 1500, now - 750, now]] };
    for (let metric = 0; metric < 3; metric++) {
      rollups[`motor.metric-${metric}`] = [[start, 4, 71.5, 73.1, 289.2, 71.5, 72.3 + (now % 17) / 10]];
    }
    devices.push({ device: `v${view}-${device}`, rollups });
  }
  return { type: 'rollups', time: now, data: { window: '1s', devices } };
}

let publish;
if (library === 'ws') {
  const { WebSocketServer } = require('ws');
  const rooms = Array.from({ length: views }, () => new Set());
  new WebSocketServer({ server: http, perMessageDeflate: false }).on('connection', (socket, request) => {
    const room = rooms[Number(new URL(request.url, 'http://x').searchParams.get('view'))];
    room.add(socket);
    socket.on('close', () => room.delete(socket));
  });
  publish = (view) => {
    const text = JSON.stringify(frame(view));
    for (const socket of rooms[view]) socket.send(text);
  };
} else {
  const { Server } = require('socket.io');
  const io = new Server(http, { transports: ['websocket'] });
  io.on('connection', (socket) => socket.join(socket.handshake.query.view));
  publish = (view) => io.to(String(view)).emit('rollups', frame(view));
}
setInterval(() => {
  for (let view = 0; view < views; view++) publish(view);
}, 250);
http.listen(0, '127.0.0.1', 4096, () => console.log(http.address().port));
