import { describe, expect, it } from 'vitest';
import { brokerLevel, troubles } from '../state/verdict';
import type { BrokerStatus, Quarantined, Status } from '../wire';
import * as say from './brokers';

const site: BrokerStatus = {
  name: 'site', broker: 'mqtt://10.0.0.7:1883', state: 'connected', cause: null, since: 0, state_s: 100,
  messages: 1000, messages_per_s: 12.4, unrouted: 0, too_long: 0, no_room: 0, unacked: 0, in_flight_bytes: 0,
  routes: [{ topic: 'a/{device}', decoder: 'json', messages: 990, samples: 2000, refused: 0, last_error: null, last_error_at: null }],
};
const broker = (change: Partial<BrokerStatus>): BrokerStatus => ({ ...site, ...change });
const status = (mqtt: BrokerStatus[] | undefined): Status =>
  ({
    pressure: 0.1,
    spool: { bytes: 1, bytes_max: 2 ** 30, oldest_s: 1, durability: 'group', full_in_s: null },
    sinks: [],
    live: { lag_s: 0, series: 1, devices: 1, late_samples: 0 },
    intake: { connections: 1, samples_per_s: 1, batches_per_s: 1, ...(mqtt === undefined ? {} : { mqtt }) },
    ledger: { accepted: 1, stored: 1, spooled: 0, dead_lettered: 0, shed: 0, balanced: true },
  }) as unknown as Status;
const message: Quarantined = {
  id: 7, bridge: 'site', topic: 'a/b', received_at: 0, bytes: 2, kept: 2, excerpt: 'on', excerpt_hex: '6f6e', qos: 1,
  retained: false, content_type: null, properties: [], reason: 'no', code: 'UNSUPPORTED', attempts: 1, replaying: false,
};

describe('a broker', () => {
  it('is as well as its connection', () => {
    const levels = [
      site, broker({ state: 'connecting', state_s: 1 }), broker({ state: 'connecting', state_s: 11 }), broker({ state: 'holding' }),
      broker({ state: 'away', state_s: 3 }), broker({ state: 'away', state_s: 31 }), broker({ state: 'refused', state_s: 0 }),
      broker({ state: 'pondering' as BrokerStatus['state'] }),
    ].map(brokerLevel);
    expect(levels).toEqual(['well', 'well', 'watch', 'watch', 'watch', 'bad', 'bad', 'watch']);
  });
  it('is in the verdict when it is not well', () => {
    const refused = broker({ state: 'refused', cause: 'bad user name or password' });
    expect(troubles(status([site, refused]))).toMatchObject([{ level: 'bad', text: 'Broker site refuses us: bad user name or password' }]);
    expect(troubles(status([broker({ state: 'pondering' as BrokerStatus['state'] })]))[0]!.text).toBe('Broker site is pondering');
    expect(troubles(status(undefined))).toMatchObject([]);
  });
  it('says what its state means only where something is to be said', () => {
    expect(say.stateMeaning(site)).toBeNull();
    expect(say.stateMeaning(broker({ state: 'holding' }))).toContain('the broker keeps messages of QoS 1');
  });
  it('counts all that was not understood', () => {
    const routes = [{ ...site.routes[0]!, refused: 3 }, { ...site.routes[0]!, refused: 4 }];
    expect(say.notUnderstood(broker({ routes, unrouted: 20, too_long: 100 }))).toBe(127);
  });
  it('tells what is under way and what is lost', () => {
    expect(say.underWay(site)).toBeNull();
    expect(say.underWay(broker({ in_flight_bytes: 2048, unacked: 1 }))).toBe('1 message not acknowledged, 2.0 KiB under way');
    expect(say.underWay(broker({ in_flight_bytes: 2048 }))).toBe('2.0 KiB under way');
    expect([say.lost(site), say.lost(broker({ no_room: 2 }))]).toEqual([null, '2 messages of QoS 0 given up: no room']);
  });
});

describe('messages that no route understood', () => {
  it('are named in what is done with them', () => {
    const scopes = [
      say.scope({ ids: [7] }, 9), say.scope({ all: true }, 9), say.scope({ all: true }, 1), say.scope({ bridge: 'site' }, 2),
      say.scope({ bridge: 'site', topic: 'a/b' }, 20),
    ];
    expect(scopes).toEqual([
      '1 message', 'all 9 messages', 'the only message', 'all 2 messages of site', 'all 20 messages on a/b',
    ]);
    expect(say.outcomeText('drop', 2, 0)).toBe('2 messages dropped.');
    expect(say.outcomeText('replay', 1, 3)).toBe(
      '1 message will be tried again; what is understood leaves this list. 3 messages cannot be: only the beginning is kept.',
    );
  });
  it('add up', () => {
    const none = { came: 0, held: 0, bytes: 0, missed: 0, shed: 0, dropped: 0, understood: 0, topics: 0 };
    expect(say.totalsText(none)).toEqual([]);
    expect(say.totalsText({ ...none, came: 10, held: 3, bytes: 512, missed: 4, shed: 1, dropped: 1, understood: 1 })).toEqual([
      '3 messages kept, 512 B', '1 understood later', '1 dropped', '1 shed', '4 only counted',
    ]);
  });
  it('show the beginning of their payload', () => {
    const binary = { ...message, excerpt: null, excerpt_hex: '00ff' };
    const long = { ...message, bytes: 400, excerpt: 'x'.repeat(256), excerpt_hex: '78'.repeat(256) };
    expect([message, binary, { ...message, bytes: 3 }, { ...message, bytes: 0, excerpt: '', excerpt_hex: '' }].map(say.excerpt)).toEqual([
      'on', '00 ff', 'on…', 'empty',
    ]);
    expect(say.excerpt(long)).toBe(`${'x'.repeat(160)}…`);
  });
  it('are shown as bytes, so many lines', () => {
    expect(say.hexLines('7b0aff', 9)).toBe(`000000  7b 0a ff${' '.repeat(39)}  {..`);
    expect(say.hexLines('78'.repeat(50), 2).split('\n')).toEqual([
      `000000  ${'78 '.repeat(16)} xxxxxxxxxxxxxxxx`, `000010  ${'78 '.repeat(16)} xxxxxxxxxxxxxxxx`, '… 18 B more',
    ]);
    expect(say.hexLines('', 9)).toBe('');
  });
});
