import { describe, expect, it } from 'vitest';
import { troubles, sinkLevel, spoolLevel, verdict } from '../state/verdict';
import type { SinkStatus, WholeStatus } from '../wire';
import * as say from './sinks';

const influx: SinkStatus = {
  name: 'influx', kind: 'influx', breaker: 'closed', held: false, cause: null, next_probe_s: null,
  lag_samples: 120, lag_s: 0.4, live_lag_s: 0.4, backlog_samples: 0, drain_eta_s: null, samples_per_s: 1200,
  requests: { under_way: 1, allowed: 4, sent: 9, failed: 0 }, written: 1000, dead_lettered: 0, skipped: 0,
  dead_letters: { letters: 0, samples: 0, bytes: 0 }, imbalance: 0,
};
const sink = (change: Partial<SinkStatus>): SinkStatus => ({ ...influx, ...change });
const { requests: _, dead_letters: __, ...history } = sink({ name: 'history', kind: 'history' });
const broken = sink({ breaker: 'open', cause: 'connection refused', next_probe_s: 3.2, lag_s: 12, live_lag_s: 12 });
const held = sink({ ...broken, held: true });
const draining = sink({ lag_samples: 5_100_000, lag_s: 1800, live_lag_s: 0.8, backlog_samples: 5_000_000, drain_eta_s: 133 });
const status = (sinks: SinkStatus[], change: Partial<WholeStatus> = {}): WholeStatus =>
  ({
    pressure: 0.1,
    spool: { bytes: 2 ** 30, bytes_max: 8 * 2 ** 30, oldest_s: 1, durability: 'group', full_in_s: null },
    sinks,
    live: { lag_s: 0, series: 1, devices: 1, late_samples: 0 },
    intake: { connections: 1, samples_per_s: 1, batches_per_s: 1 },
    ledger: { accepted: 11, stored: 7, spooled: 2, dead_lettered: 1, shed: 0, skipped: 1, balanced: true },
    ...change,
  }) as WholeStatus;

describe('a sink of rollups', () => {
  it('says so, and what came late', () => {
    expect(say.rollups(sink({ send: 'raw' }))).toBeNull();
    expect(say.rollups(history)).toBeNull();
    expect(say.rollups(sink({ send: 'rollups', rollup_window_s: 60, late: 0 }))).toBe('rollups of 1 min');
    expect(say.rollups(sink({ send: 'rollups', rollup_window_s: 10, late: 3 }))).toBe('rollups of 10 s, 3 samples came late');
  });
});

describe('a breaker', () => {
  it('is held before it is open', () => {
    expect([influx, broken, sink({ breaker: 'half_open' }), held].map((one) => say.breakerWord(say.breakerState(one)))).toEqual([
      'closed', 'open', 'half-open', 'held',
    ]);
  });
  it('counts down to its probe while no status comes, and never below now', () => {
    expect([0, 0.3, 2.1, 3.2, 60].map((age) => say.nextProbe(broken, age))).toEqual([
      'next probe in 4 s', 'next probe in 3 s', 'next probe in 2 s', 'next probe now', 'next probe now',
    ]);
    expect(say.nextProbe(sink({ ...broken, next_probe_s: 75 }), 0)).toBe('next probe in 1 min 15 s');
  });
  it('promises no probe where none will come', () => {
    for (const one of [influx, held, sink({ breaker: 'half_open', next_probe_s: 1 }), sink({ breaker: 'open' })]) {
      expect(say.nextProbe(one, 0)).toBeNull();
    }
  });
  it('offers only what would change something', () => {
    expect([influx, broken, sink({ breaker: 'half_open' }), held, history].map(say.actionsOf)).toEqual([
      ['hold'], ['probe', 'hold'], ['hold'], ['release'], [],
    ]);
  });
  it('says nothing while all is well, and where the samples are when it is not', () => {
    expect(say.breakerMeaning(influx)).toBeNull();
    for (const one of [broken, held]) expect(say.breakerMeaning(one)).toContain('samples wait in the spool');
    expect(say.breakerMeaning(held)).toContain('Held by an operator');
  });
  it('tells the price of a hold', () => {
    expect(say.holdConsequence(status([influx]))).toContain('7.0 GiB are free. When');
    const filling = status([influx]);
    filling.spool.full_in_s = 10_800;
    expect(say.holdConsequence(filling)).toContain('at this rate it is full in 3 h');
  });
});

describe('lag', () => {
  it('is one figure, or live and backlog apart', () => {
    expect([say.behind(influx), say.backlog(influx)]).toEqual(['0.4 s behind, 120 samples', null]);
    expect(say.behind(sink({ lag_samples: 0, lag_s: 0 }))).toBe('0.0 s behind');
    expect(say.behind(sink({ lag_samples: 1 }))).toBe('0.4 s behind, 1 sample');
    expect(say.behind(draining)).toBe('live 0.8 s behind');
    expect(say.backlog(draining)).toBe('backlog of 5,000,000 samples, oldest 30 min, drained in 2 min');
  });
  it('does not promise an end that it does not know', () => {
    expect(say.backlog(sink({ ...draining, drain_eta_s: null }))).toMatch(/not shrinking$/);
    expect(say.backlog(sink({ ...draining, drain_eta_s: null, breaker: 'open' }))).toMatch(/waits for the breaker$/);
  });
  it('is estimated in one unit', () => {
    expect([0.2, 1, 33.4, 119, 133, 7199, 7200, 11_000, 200_000, null, NaN].map(say.about)).toEqual([
      '< 1 s', '1 s', '33 s', '119 s', '2 min', '120 min', '2 h', '3 h', '2 d', '–', '–',
    ]);
  });
});

describe('the verdict on sinks', () => {
  const text = (one: SinkStatus, change: Partial<WholeStatus> = {}) => verdict(status([history, one], change), null);
  const clean = { ledger: { ...status([]).ledger, dead_lettered: 0 } };
  it('is well with a sink that is', () => expect(text(influx, clean)).toEqual({ level: 'well', text: 'All well' }));
  it('names the cause', () => expect(text(broken, clean)).toEqual({ level: 'bad', text: 'influx is cut off: connection refused' }));
  it('tells the lag of what is cut off along with it', () => {
    const late = { lag_s: 400, live_lag_s: 400 };
    expect(text(sink({ ...broken, ...late }), clean).text).toBe('influx is cut off, 6 min 40 s behind: connection refused');
    expect(text(sink({ ...broken, ...late, breaker: 'half_open' }), clean)).toEqual({
      level: 'bad', text: 'influx is being probed, 6 min 40 s behind: connection refused',
    });
  });
  it('tells a hold from a fault', () => expect(text(held, clean)).toEqual({ level: 'watch', text: 'influx is held by an operator' }));
  it('is not alarmed by a backlog that drains', () => {
    expect(text(draining, clean)).toEqual({ level: 'watch', text: 'influx drains a backlog of 30 min, done in 2 min' });
    expect(text(sink({ ...draining, drain_eta_s: null }), clean).level).toBe('bad');
  });
  it('forgets dead letters that are no more, but not those that no sink tells of', () => {
    const past = { ledger: { ...clean.ledger, dead_lettered: 5 } };
    expect(text(sink({ dead_lettered: 5 }), past).text).toBe('All well');
    expect(text(sink({ dead_lettered: 5, dead_letters: { letters: 1, samples: 5, bytes: 9 } }), past).text).toBe('influx has 1 dead letter');
    expect(text(sink({ dead_lettered: 3 }), past).text).toBe('2 samples in dead letters');
  });
  it('names whose ledger is off', () => {
    const [first] = troubles(status([sink({ imbalance: -1 })], clean));
    expect(first).toMatchObject({ level: 'bad', text: 'The ledger of influx: 1 sample too many' });
    expect(sinkLevel(sink({ imbalance: 2 }))).toBe('bad');
  });
  it('names the tightest resource', () => {
    expect(text(influx, { ...clean, pressure: 0.7, pressure_of: 'disk' }).text).toBe('Intake is throttled, pressure 70 % of free disk space');
  });
});

describe('the spool', () => {
  const filling = (full_in_s: number | null) => {
    const made = status([]);
    made.spool.full_in_s = full_in_s;
    return made;
  };
  it('says when it is full, louder as that comes near', () => {
    expect([null, 86_400 * 3, 3600, 300].map((at) => spoolLevel(filling(at)))).toEqual(['well', 'well', 'watch', 'bad']);
    expect(say.spoolFull(filling(11_000))).toBe('full in 3 h at this rate');
    expect(say.spoolFull(filling(null))).toBeNull();
  });
  it('calls a resource by its name, known or not', () => {
    expect(say.tightest(status([]))).toBeNull();
    expect([null, 'spool', 'open_files'].map((name) => say.tightest(status([], { pressure_of: name })))).toEqual([
      null, 'the spool', 'open files',
    ]);
  });
});

describe('the ledger', () => {
  it('has parts whose sum is what was accepted', () => {
    const { ledger } = status([]);
    expect(say.ledgerParts(ledger).reduce((sum, [, samples]) => sum + samples, 0)).toBe(ledger.accepted);
  });
});

describe('dead letters', () => {
  it('are counted by what an order is for', () => {
    expect(say.scope({ ids: [4] }, 9)).toBe('1 dead letter');
    expect(say.scope({ ids: [4, 5] }, 9)).toBe('2 dead letters');
    expect(say.scope({ sink: 'influx' }, 1200)).toBe('all 1,200 dead letters of influx');
    expect(say.scope({ all: true }, 1)).toBe('the only dead letter');
  });
  it('tell what became of the others, if anything did', () => {
    const totals = { letters: 1, samples: 2, bytes: 2048, shed: 0, dropped: 0, replayed: 0 };
    expect(say.totalsText(totals)).toEqual(['1 dead letter, 2 samples, 2.0 KiB']);
    expect(say.totalsText({ ...totals, letters: 0, samples: 0, bytes: 0 })).toEqual([]);
    expect(say.totalsText({ ...totals, shed: 17, replayed: 1 })).toEqual(['1 dead letter, 2 samples, 2.0 KiB', '1 sample replayed', '17 samples shed']);
  });
});
