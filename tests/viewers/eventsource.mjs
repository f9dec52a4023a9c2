// The npm package `eventsource`, which reconnects by itself.
import { EventSource } from 'eventsource';

const [address, query] = process.argv.slice(2);
const source = new EventSource(`${address}/api/v1/live?${query}`);
for (const type of ['snapshot', 'rollups', 'device', 'alert', 'status', 'degraded']) {
  source.addEventListener(type, (event) => {
    const frame = JSON.parse(event.data);
    if (frame.type !== type) throw new Error(`event ${type} holds a frame ${frame.type}`);
    if (frame.id !== undefined && frame.id !== event.lastEventId) throw new Error(`${event.lastEventId} is not ${frame.id}`);
    process.stdout.write(`${event.data}\n`);
  });
}
source.addEventListener('error', (event) => process.stderr.write(`${event.code ?? ''} ${event.message ?? 'cut off'}\n`));
// The package lets the process end while it waits to come back.
setInterval(() => {}, 60_000);
