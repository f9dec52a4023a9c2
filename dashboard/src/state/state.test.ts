import { describe, expect, it } from 'vitest';
import type { Buckets, DeviceRollups, NumberRollup, Rollup } from '../wire';
import { Fleet } from './fleet';
import { planFor, rangeNamed, RANGES, widthText } from './range';
import { extent, line, outerGaps, stretches, usualSpacing } from './shape';
import { shares, stateColours } from './states';
import { select, type View } from './table';
import { Columns, Trace } from './trace';
import { Trend, TREND_POINTS } from './trend';

const one = (start: number, value: number, count = 1): NumberRollup => [
  start, count, value, value, value * count, value, value,
];
const d = (device: string, rollups: Record<string, Rollup[]>, units = {}): DeviceRollups => ({ device, units, rollups });
const info = (id: string, online = true) => ({ id, online, first_seen: 1, last_seen: 2, labels: { site: 'north' } });

describe('the fleet', () => {
  it('changes nothing when a frame is read twice', () => {
    const fleet = new Fleet();
    const frame = [d('pump-1', { flow: [one(10_000, 3), one(20_000, 4)] }, { flow: 'm³/h' })];
    fleet.apply(frame, 21_000);
    const row = fleet.rows.get('pump-1')!;
    const before = [...row.trend.values];
    fleet.apply(frame, 21_000);
    expect([...row.trend.values]).toEqual(before);
    expect(row.keys.map((cell) => [cell.series, cell.value, cell.unit])).toEqual([['flow', 4, 'm³/h']]);
  });

  it('keeps the newest value when an old window is told late', () => {
    const fleet = new Fleet();
    fleet.apply([d('a', { x: [one(20_000, 4)] })], 1);
    fleet.apply([d('a', { x: [one(10_000, 9)] })], 2);
    expect(fleet.rows.get('a')!.keys[0]!.value).toBe(4);
  });

  it('shows the first three numbers by name, and the first text as words', () => {
    const fleet = new Fleet();
    fleet.apply([d('a', { d: [one(0, 1)], state: [[0, 1, 0, 'idle']], b: [one(0, 1)], on: [[0, 1, 1, 1, 1, true, true]] })], 1);
    fleet.apply([d('a', { a: [one(0, 1)], c: [one(0, 1)] })], 1);
    const row = fleet.rows.get('a')!;
    expect(row.keys.map((cell) => cell.series)).toEqual(['a', 'b', 'c']);
    expect(row.word?.value).toBe('idle');
  });

  it('does not call a device just heard because a snapshot tells of it', () => {
    const fleet = new Fleet();
    fleet.inform([info('a')]);
    fleet.apply([d('a', { x: [one(0, 1)] })], null);
    expect(fleet.rows.get('a')!.lastSeen).toBe(2);
    fleet.apply([d('a', { x: [one(0, 1)] })], 77);
    expect(fleet.rows.get('a')!.lastSeen).toBe(77);
  });

  it('learns a unit that comes after the value', () => {
    const fleet = new Fleet();
    fleet.apply([d('a', { x: [one(0, 1)] })], 1);
    fleet.apply([d('a', { x: [one(0, 1)] }, { x: 'bar' })], 1);
    expect(fleet.rows.get('a')!.keys[0]!.unit).toBe('bar');
  });

  it('keeps series of different tags apart', () => {
    const fleet = new Fleet();
    fleet.apply([{ ...d('a', { x: [one(0, 1)] }), tags: { phase: '1' } }, { ...d('a', { x: [one(0, 2)] }), tags: { phase: '2' } }], 1);
    expect(fleet.rows.get('a')!.keys.map((cell) => [cell.series, cell.value])).toEqual([['x{phase=1}', 1], ['x{phase=2}', 2]]);
  });

  it('puts what has a unit before what has none', () => {
    const fleet = new Fleet();
    fleet.apply([d('a', { ignitions: [one(0, 1)], modulation: [one(0, 1)] })], 1);
    expect(fleet.rows.get('a')!.keys[0]!.series).toBe('ignitions');
    fleet.apply([d('a', { modulation: [one(0, 2)] }, { modulation: '%' })], 1);
    expect(fleet.rows.get('a')!.keys[0]!.series).toBe('modulation');
  });

  it('follows a metric that goes on as text', () => {
    const fleet = new Fleet();
    fleet.apply([d('a', { x: [one(0, 1)] })], 1);
    fleet.apply([d('a', { x: [[10_000, 1, 0, 'off']] })], 1);
    const row = fleet.rows.get('a')!;
    expect([row.keys.length, row.word?.value]).toEqual([0, 'off']);
  });

  it('drops devices that the list no longer has', () => {
    const fleet = new Fleet();
    fleet.inform([info('a'), info('b')]);
    fleet.list([info('b')]);
    expect([...fleet.rows.keys()]).toEqual(['b']);
  });
});

describe('the table', () => {
  const fleet = new Fleet();
  fleet.inform([info('pump-10'), info('pump-2', false), info('boiler-1')]);
  fleet.apply([d('pump-10', { t: [one(0, 5)] }), d('pump-2', { t: [one(0, 7)] })], 1);
  fleet.rank();
  const view: View = { search: '', offlineOnly: false, metric: null, sort: 'device', descending: false };
  const ids = (change: Partial<View>) => select(fleet.rows.values(), { ...view, ...change }).map((row) => row.id);

  it('counts as people do', () => expect(ids({})).toEqual(['boiler-1', 'pump-2', 'pump-10']));
  it('finds all words, in ids and labels', () => expect(ids({ search: 'NORTH pump' })).toEqual(['pump-2', 'pump-10']));
  it('shows the offline ones', () => expect(ids({ offlineOnly: true })).toEqual(['pump-2']));
  it('shows those that have a metric', () => expect(ids({ metric: 't' })).toEqual(['pump-2', 'pump-10']));
  it('sorts what is unknown last, either way', () => {
    expect(ids({ sort: 'value' })).toEqual(['pump-10', 'pump-2', 'boiler-1']);
    expect(ids({ sort: 'value', descending: true })).toEqual(['pump-2', 'pump-10', 'boiler-1']);
  });
});

describe('a trend', () => {
  it('keeps a gap a gap, forgets what is old, and lets live win over history', () => {
    const trend = new Trend();
    trend.set(100, 1);
    trend.set(103, 4);
    trend.seed(102, 3);
    trend.seed(103, 99);
    expect([0, 1, 2, 3].map((age) => trend.at(103, age))).toEqual([4, 3, NaN, 1]);
    trend.set(103 + TREND_POINTS, 9);
    expect(trend.at(103 + TREND_POINTS, 1)).toBeNaN();
    expect(trend.at(200, 0)).toBeNaN();
  });
});

const history = (starts: number[], value: number, count = 1): Buckets => ({
  unit: '°C',
  type: 'float',
  time: starts,
  count: starts.map(() => count),
  min: starts.map(() => value),
  max: starts.map(() => value),
  avg: starts.map(() => value),
  last: starts.map(() => value),
});

describe('a trace', () => {
  const fresh = () => new Trace('t', {}, { type: 'float', unit: null });

  it('joins history and live without a hole or a doubled point, whichever comes first', () => {
    for (const order of ['live first', 'history first', 'between']) {
      const trace = fresh();
      const past = () => trace.join(history([1000, 2000, 3000], 1));
      if (order === 'history first') past();
      trace.push(one(3000, 2), true);
      if (order === 'between') past();
      trace.push(one(4000, 2), true);
      trace.push(one(4000, 3, 2), true);
      if (order === 'live first') past();
      expect(trace.joined.start, order).toEqual([1000, 2000, 3000, 4000]);
      expect(trace.joined.avg, order).toEqual([1, 1, 2, 3]);
      expect(trace.joined.count, order).toEqual([1, 1, 1, 2]);
    }
  });

  it('forgets the live part of before when a snapshot stands alone', () => {
    const trace = fresh();
    trace.push(one(1000, 5), true);
    trace.restart();
    trace.push(one(9000, 6), true);
    trace.join(history([1000, 2000, 8000], 1));
    expect(trace.joined.start).toEqual([1000, 2000, 8000, 9000]);
    expect(trace.joined.avg).toEqual([1, 1, 1, 6]);
  });

  it('lets history tell of late data what live could not', () => {
    const trace = fresh();
    trace.join(history([1000], 1));
    trace.push(one(2000, 5), true);
    trace.yieldToHistory();
    trace.push(one(3000, 6), true);
    expect(trace.joined.start, 'nothing vanishes while history is asked').toEqual([1000, 2000, 3000]);
    trace.join(history([1000, 1500, 2000, 3000], 7));
    expect(trace.joined.start).toEqual([1000, 1500, 2000, 3000]);
    expect(trace.joined.avg).toEqual([7, 7, 7, 6]);
  });

  it('puts late data in its place', () => {
    const columns = new Columns();
    for (const start of [1000, 3000, 2000, 500, 3000]) columns.put(start, 1, start, start, start, start);
    expect(columns.start).toEqual([500, 1000, 2000, 3000]);
    expect(columns.avg).toEqual([500, 1000, 2000, 3000]);
    columns.trim(1500);
    expect(columns.start).toEqual([2000, 3000]);
  });

  it('tells the value that is newest, from live or history', () => {
    const trace = fresh();
    trace.join(history([1000], 1));
    expect(trace.value).toBe(1);
    trace.push(one(2000, 8), false);
    expect([trace.value, trace.joined.start.length]).toEqual([8, 1]);
  });
});

describe('shapes', () => {
  const columns = (starts: number[], last: (i: number) => string | number = (i) => i) => {
    const made = new Columns();
    starts.forEach((start, i) => made.put(start, 1, i, i, i, last(i)));
    return made;
  };

  it('breaks the line where more than three usual spacings are missing, and only there', () => {
    const { data, gaps } = line(columns([0, 1000, 2000, 5000, 6000, 7000, 11_000]), 1000, 'avg');
    expect(data[0]).toEqual([0, 1000, 2000, 5000, 6000, 7000, 8000, 11_000]);
    expect(data[1]).toEqual([0, 1, 2, 3, 4, 5, null, 6]);
    expect(gaps).toEqual([[8000, 11_000]]);
  });

  it('sees what is missing at the ends of a span', () => {
    expect(outerGaps([10_000, 11_000], 1000, [0, 12_500])).toEqual([[0, 10_000]]);
    expect(outerGaps([1000, 2000], 1000, [0, 9000])).toEqual([[3000, 9000]]);
    expect(outerGaps([], 1000, [0, 9000])).toEqual([[0, 9000]]);
  });

  it('takes a slow device for slow, not for full of gaps', () => {
    const slow = columns([0, 10_000, 20_000, 30_000]);
    expect(usualSpacing(slow.start, 1000)).toBe(10_000);
    expect(line(slow, 1000, 'avg').gaps).toEqual([]);
  });

  it('makes stretches of equal text that end where data ends', () => {
    const text = columns([0, 1000, 2000, 3000, 20_000], (i) => ['a', 'a', 'b', 'b', 'b'][i]!);
    expect(stretches(text, 1000)).toEqual([
      { from: 0, to: 2000, text: 'a' },
      { from: 2000, to: 4000, text: 'b' },
      { from: 20_000, to: 21_000, text: 'b' },
    ]);
    expect(shares(stretches(text, 1000), 1000, 4000)).toEqual([
      { text: 'b', share: 2 / 3 },
      { text: 'a', share: 1 / 3 },
    ]);
  });

  it('weighs the mean by samples', () => {
    const made = new Columns();
    made.put(0, 1, 0, 0, 0, 0);
    made.put(1000, 3, 4, 8, 4, 4);
    expect(extent(made, 0, 2000)).toEqual({ min: 0, max: 8, avg: 3 });
    expect(extent(made, 5000, 6000)).toBeNull();
  });

  it('gives two states two colours, and a fault its own', () => {
    const colours = stateColours(['idle', 'running', 'fault', 'standby'], 6);
    expect(colours.get('fault')).toBe(-1);
    expect(new Set(colours.values()).size).toBe(4);
  });
});

describe('ranges', () => {
  it('draws from live exactly where a window is as wide as a bucket', () => {
    const widths: Record<string, number> = { '1s': 1000, '10s': 10_000, '1m': 60_000 };
    for (const range of RANGES) {
      const plan = planFor(range, Object.keys(widths));
      expect(plan.drawn, range.name).toBe(widths[plan.window] === range.bucket_ms);
    }
    expect(planFor(rangeNamed('6h'), ['2s'])).toEqual({ window: '2s', drawn: false });
  });

  it('writes widths as the query takes them', () => expect(RANGES.map((range) => widthText(range.bucket_ms))).toEqual(['1s', '1s', '1s', '10s', '10s', '1m', '10m', '60m']));
});
