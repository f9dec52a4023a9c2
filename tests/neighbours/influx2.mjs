// Writes with npm's @influxdata/influxdb-client. As influx2.py.

import { InfluxDB, Point } from "@influxdata/influxdb-client";

const [url, token, count] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));
const quiet = { maxRetries: 0 };

const client = new InfluxDB({ url, token: token || undefined });
const ping = await fetch(`${url}/ping`);
const health = await (await fetch(`${url}/health`)).json();
say({ ping: ping.ok, version: ping.headers.get("x-influxdb-version"), health: health.status });

const now = client.getWriteApi("plant", "b", "ns", quiet);
now.writeRecords(["told,device=js n=1i", "told,device=js n=", "told,device=js o=2i"]);
await now.close().then(
    () => say({ refused: null }),
    (error) => say({ refused: error.message, status: error.statusCode }),
);

const batches = client.getWriteApi("plant", "b", "ns", {
    batchSize: 25, flushInterval: 50, minRetryDelay: 100, maxRetryDelay: 500, maxRetries: 10_000, maxRetryTime: 180_000,
    gzipThreshold: 0,
    writeSuccess: (lines) => say({ stored: lines.length }),
    writeRetrySkipped: ({ lines }) => say({ lost: `${lines.length} lines` }),
});
const start = BigInt(Date.now()) * 1_000_000n;
for (let n = 0; n < Number(count); n += 1) {
    batches.writePoint(new Point("m").tag("device", "js").intField("n", n).timestamp(String(start + BigInt(n))));
    await new Promise((done) => setTimeout(done, 2));
}
// Gives up what it could not send at once when it is closed: what waits to be sent again is sent before.
for (;;) {
    await batches.flush(true).catch(() => {});
    if (batches.retryBuffer.size === 0) break;
    await new Promise((done) => setTimeout(done, 100));
}
await batches.close();
say({ done: true });
