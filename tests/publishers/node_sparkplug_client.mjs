// A Sparkplug node by Node's sparkplug-client. See README.md for its commands; --compress DEFLATE or GZIP compresses.
import { createInterface } from 'node:readline';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import sparkplug from 'sparkplug-client';

const text = (value) => ({ type: 'string', default: value });
const { values: options } = parseArgs({
  options: {
    host: text('127.0.0.1'),
    port: text(),
    id: text('publisher'),
    ca: text(),
    username: text(''),
    password: text(''),
    compress: text(),
  },
});
const compress = options.compress ? { compress: true, algorithm: options.compress } : undefined;
const METRICS = { temperature: [10, 'Double'], running: [11, 'Boolean'], count: [12, 'Int64'], state: [13, 'String'] };
const say = (...words) => process.stdout.write(`${words.join(' ')}\n`);

function metrics(words, flags = {}, named = true) {
  const at = words.find((word) => word.startsWith('@'));
  return words
    .filter((word) => word !== at)
    .map((word) => {
      const [name, value] = word.split('=');
      const [alias, type] = METRICS[name];
      const read = { Double: Number, Int64: Number, Boolean: (it) => it === 'true', String }[type];
      const timestamp = at ? Number(at.slice(1)) : Date.now();
      return { ...(named ? { name } : {}), alias, type, value: read(value), timestamp, ...flags };
    });
}

let client;
let deaf = false;

function births() {
  const timestamp = Date.now();
  client.publishNodeBirth(
    {
      timestamp,
      metrics: [
        { name: 'Node Control/Rebirth', type: 'Boolean', value: false, timestamp },
        { name: 'uptime', alias: 1, type: 'Int64', value: 1, timestamp },
      ],
    },
    compress,
  );
  deviceBirth();
}

function deviceBirth() {
  const born = metrics(['temperature=20', 'running=false', 'count=0', 'state=idle']);
  client.publishDeviceBirth('meter', { timestamp: Date.now(), metrics: born }, compress);
}

/** Resolves once the broker has all that was published before. */
const mark = () =>
  new Promise((resolve, reject) => {
    client.client.publish('publishers/mark', '', { qos: 1 }, (error) => (error ? reject(error) : resolve()));
  });

const publish = (metrics) => client.publishDeviceData('meter', { timestamp: Date.now(), metrics }, compress);

const commands = {
  birth() {
    client = sparkplug.newClient({
      serverUrl: `${options.ca ? 'mqtts' : 'mqtt'}://${options.host}:${options.port}`,
      username: options.username,
      password: options.password,
      groupId: 'plant',
      edgeNode: options.id,
      clientId: options.id,
      version: 'spBv1.0',
      publishDeath: true,
      mqttOptions: options.ca ? { ca: readFileSync(options.ca) } : {},
    });
    client.on('ncmd', (payload) => {
      if (payload.metrics.some((metric) => metric.name === 'Node Control/Rebirth' && metric.value)) {
        say('heard rebirth');
        if (deaf) return;
        births();
        say('heard reborn');
      }
    });
    return new Promise((resolve, reject) => {
      client.on('error', reject);
      client.on('birth', () => {
        births();
        resolve();
      });
    });
  },
  data: (...words) => publish(metrics(words)),
  alias: (...words) => publish(metrics(words, {}, false)),
  historical: (...words) => publish(metrics(words, { isHistorical: true })),
  transient: (...words) => publish(metrics(words, { isTransient: true })),
  /** A device of its own that has the types which the library encodes in ways of its own. */
  types() {
    const all = { Int8: -1, Int16: -2, Int32: -3, UInt8: 255, UInt16: 65535, UInt32: 2 ** 32 - 1, Float: 1.5 };
    const dataset = { numOfColumns: 2, columns: ['phase', 'volts'], types: ['UInt32', 'Double'], rows: [[3, 230.5]] };
    client.publishDeviceBirth(
      'types',
      {
        timestamp: Date.now(),
        metrics: [
          ...Object.entries(all).map(([type, value]) => ({ name: type.toLowerCase(), type, value })),
          { name: 'int64', type: 'Int64', value: -4 },
          { name: 'uint64', type: 'UInt64', value: 2 ** 53 },
          { name: 'table', type: 'DataSet', value: dataset },
        ],
      },
      compress,
    );
  },
  lose: () => `seq=${client.incrementSeqNum()}`,
  'device-death': () => client.publishDeviceDeath('meter', { timestamp: Date.now() }),
  'device-birth': deviceBirth,
  deaf: () => {
    deaf = true;
  },
  leave: () => client.stop(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...words] = line.split(' ');
  try {
    const answer = await commands[name](...words);
    if (name !== 'leave') await mark();
    say('ok', answer ?? '');
  } catch (error) {
    say('error', name, error);
  }
}
// No goodbye.
process.exit(0);
