import { describe, expect, it } from 'vitest';
import { backoff } from '../link/backoff';
import { queryText } from '../link/api';
import { DEFAULT_VIEW, deviceHash, fleetHash, parseRoute } from '../route';
import { DEFAULT_CHARTS } from '../state/view';
import { verdict } from '../state/verdict';
import type { WholeStatus } from '../wire';
import { bytes, count, lag, number, percent, span, UNKNOWN, value } from './format';
import { Precision } from './precision';

const check = (made: string, wanted: string) => expect(made).toBe(wanted);

describe('numbers', () => {
  it('has decimals by magnitude', () => {
    check(number(71.5), '71.50');
    check(number(-0.5), '−0.500');
    check(number(123.456), '123.5');
    check(number(987654.3), '987,654');
    check(number(1042, 0), '1,042');
    check(number(0), '0.00');
    check(number(1e-9), '1.00e−9');
  });
  it('does not take unknown for zero', () => {
    for (const made of [number(null), number(NaN), count(undefined), bytes(null), span(undefined), percent(null), lag(null), value(null)]) {
      check(made, UNKNOWN);
    }
    check(percent(0), '0 %');
    check(percent(0.002), '< 1 %');
  });
  it('says values of all kinds', () => {
    check(value(false), 'false');
    check(value('idle'), 'idle');
    check(value(''), '“”');
  });
  it('has sizes and spans in their own units', () => {
    check(bytes(1023), '1,023 B');
    check(bytes(1536), '1.5 KiB');
    check(bytes(8 * 2 ** 30), '8.0 GiB');
    check(span(0.4), '< 1 s');
    check(span(59.9), '59 s');
    check(span(125), '2 min 5 s');
    check(span(3600), '1 h');
    check(span(90_000), '1 d 1 h');
    check(lag(0.24), '0.2 s');
    check(lag(75), '1 min 15 s');
  });
});

describe('precision', () => {
  const shown = (values: number[]) => {
    const precision = new Precision();
    values.forEach((one) => precision.learn(one));
    return [precision.shown, precision.averaged];
  };
  it('is that of the values, as far as it means something', () => {
    expect(shown([1042, 7])).toEqual([0, 1]);
    expect(shown([88.8, 100])).toEqual([1, 1]);
    expect(shown([0, 54.2])).toEqual([1, 2]);
    expect(shown([-0.1234567, 12.3456789])).toEqual([2, 2]);
    expect(shown([0.9431])).toEqual([3, 3]);
    expect(shown([39_089_989.25])).toEqual([0, 0]);
    expect(shown([NaN, Infinity])).toEqual([0, 1]);
  });
});

describe('the address', () => {
  it('holds the view, whatever is in it', () => {
    for (const view of [DEFAULT_VIEW, { search: 'a&b=ü #?', offlineOnly: true, metric: 'x{y=1}', sort: 'value' as const, descending: true }]) {
      expect(parseRoute(fleetHash(view))).toEqual({ page: 'fleet', view });
    }
    const view = { range: '1h', past: [1000, 61_000] as const, compare: 'day' as const, hidden: ['a:b{c=d&e}', 'ü'] };
    for (const id of ['pump-7', 'a/b?c#d%20', 'ü']) {
      expect(parseRoute(deviceHash(id, view))).toEqual({ page: 'device', id, view });
      expect(parseRoute(deviceHash(id))).toEqual({ page: 'device', id, view: DEFAULT_CHARTS });
    }
  });
  it('survives nonsense', () => {
    expect(parseRoute('#/device/%E0%A4')).toMatchObject({ page: 'device' });
    expect(parseRoute('#?sort=-nothing')).toEqual({ page: 'fleet', view: DEFAULT_VIEW });
  });
});

describe('the query', () => {
  it('writes times as nanoseconds without rounding', () => {
    const text = queryText({ device: 'a b', metric: 'm', tags: { site: 'x' }, from: 1_795_238_432_681, bucket_ms: 1000, after: 'e-1' });
    expect(text).toBe('device=a+b&metric=m&tag.site=x&from=1795238432681000000&to=now&bucket=1s&after=e-1&time=ms');
  });
});

describe('back-off', () => {
  it('grows to five seconds and is at least half of what it could be', () => {
    expect([0, 1, 2, 3, 4, 9, 1e9].map((attempt) => backoff(attempt, 1))).toEqual([400, 800, 1600, 3200, 5000, 5000, 5000]);
    expect(backoff(9, 0)).toBe(2500);
  });
});

describe('the verdict', () => {
  const well = {
    pressure: 0.1,
    spool: { bytes: 1, bytes_max: 100, oldest_s: 1, durability: 'group' },
    sinks: [{ name: 'history', breaker: 'closed', cause: null, lag_samples: 1, lag_s: 0.1, next_probe_s: null }],
    live: { lag_samples: 0, lag_s: 0, series: 1, devices: 1, late_samples: 0 },
    intake: { connections: 1, samples_per_s: 1, batches_per_s: 1 },
    ledger: { balanced: true, dead_lettered: 0 },
  } as unknown as WholeStatus;
  it('is well when all is', () => expect(verdict(well, null)).toEqual({ level: 'well', text: 'All well' }));
  it('tells of alerts where the daemon itself is well', () => {
    const alerts = { firing: 3, pending: 0, acknowledged: 1, critical: 2 };
    expect(verdict({ ...well, alerts }, null)).toEqual({ level: 'bad', text: 'Critical alerts: 2' });
    expect(verdict({ ...well, alerts: { ...alerts, critical: 0 } }, null)).toEqual({ level: 'watch', text: 'Alerts firing: 3' });
    const unbalanced = { ...well, alerts, ledger: { ...well.ledger, balanced: false } };
    expect(verdict(unbalanced, null)).toMatchObject({ text: 'The ledger does not balance' });
  });
  it('is well for who is told of no counts, and tells them what is not', () => {
    const { intake: _, ledger: __, ...some } = { ...well, live: { lag_s: 0 } };
    expect(verdict(some, null)).toEqual({ level: 'well', text: 'All well' });
    expect(verdict({ ...some, trouble: 'the disk is full' }, null)).toMatchObject({ level: 'bad' });
  });
  it('puts the lost link before everything', () => expect(verdict(well, 12)).toMatchObject({ level: 'bad', text: 'No link: what you see is 12 s old' }));
  it('names the worst and counts the rest', () => {
    const bad = { ...well, pressure: 0.7, ledger: { ...well.ledger, balanced: false } };
    expect(verdict(bad, null)).toEqual({ level: 'bad', text: 'The ledger does not balance (+1 more)' });
  });
  it('says what a sink suffers from', () => {
    const sink = { ...well.sinks[0]!, breaker: 'open' as const, cause: 'disk full' };
    expect(verdict({ ...well, sinks: [sink] }, null)).toEqual({ level: 'bad', text: 'history is cut off: disk full' });
  });
});
