// One series of a chart: history and live in one set of columns, joined by the start of their windows.
// A live rollup is the whole state of its window, so it replaces whatever has the same start: joined like this
// there is neither a hole nor a doubled point, in whichever order the two arrive.

import type { Buckets, MetricInfo, Rollup, Tags } from '../wire';
import { isText, seriesName } from '../wire';
import type { Kind, Value } from './fleet';
import { Precision } from '../text/precision';
import { keyOf } from './board';
import { kindOf, lastOf } from './fleet';
import type { Span } from './span';

/** Columns sorted by `start`, each start once. For text only `start`, `count` and `last` mean something. */
export class Columns {
  start: number[] = [];
  count: number[] = [];
  min: number[] = [];
  max: number[] = [];
  avg: number[] = [];
  last: Value[] = [];

  put(start: number, count: number, min: number, max: number, avg: number, last: Value): void {
    const length = this.start.length;
    const newest = length === 0 ? -Infinity : this.start[length - 1]!;
    const at = start > newest ? length : this.find(start);
    if (at < length && this.start[at] !== start) this.makeRoom(at);
    this.start[at] = start;
    this.count[at] = count;
    this.min[at] = min;
    this.max[at] = max;
    this.avg[at] = avg;
    this.last[at] = last;
  }

  putRollup(rollup: Rollup): void {
    if (isText(rollup)) {
      this.put(rollup[0], rollup[1], NaN, NaN, NaN, rollup[3]);
      return;
    }
    const [start, count, min, max, sum, , last] = rollup;
    const avg = sum === null || count === 0 ? NaN : sum / count;
    this.put(start, count, min ?? NaN, max ?? NaN, avg, last);
  }

  /** Everything of `other`, replacing what has the same start. */
  putAll(other: Columns): void {
    for (let i = 0; i < other.start.length; i++) {
      this.put(other.start[i]!, other.count[i]!, other.min[i]!, other.max[i]!, other.avg[i]!, other.last[i]!);
    }
  }

  /** Drops what starts before `from`. */
  trim(from: number): void {
    const cut = this.find(from);
    if (cut === 0) return;
    for (const column of this.all()) column.splice(0, cut);
  }

  clear(): void {
    for (const column of this.all()) column.length = 0;
  }

  /** Index of the first point that starts at `start` or later. */
  find(start: number): number {
    let low = 0;
    let high = this.start.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.start[middle]! < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Late data for a window that was empty: rare, so it may cost a shift of the columns. */
  private makeRoom(at: number): void {
    for (const column of this.all() as unknown[][]) column.splice(at, 0, 0);
  }

  private all(): { splice(at: number, count: number): unknown; length: number }[] {
    return [this.start, this.count, this.min, this.max, this.avg, this.last];
  }
}

export type HistoryState = 'loading' | 'joined' | 'failed';

/** The same series at another time, moved to where it is compared: yesterday under today. */
export interface Ghost {
  start: number[];
  avg: number[];
  bucket_ms: number;
}

export class Trace {
  readonly name: string;
  /** Names it among the series of all devices. */
  readonly key: string;
  kind: Kind;
  unit: string | null;
  /** What is drawn. */
  joined = new Columns();
  /** Width of its points; 0 before history has come. */
  bucket_ms = 0;
  /** The span that history was asked for: outside of it nobody knows whether there is a gap. */
  loaded: Span | null = null;
  ghost: Ghost | null = null;
  history: HistoryState = 'loading';
  failure = '';
  /** Its chart is on the screen: it is asked for first. */
  seen = false;
  /** The newest value, and the start of its window. */
  value: Value = null;
  valueStart: number | null = null;
  readonly precision = new Precision();
  /** Grows with each change. */
  version = 0;
  /** What live told since history was last asked for all before; kept to be laid over its answer. */
  private readonly live = new Columns();
  /** Live's windows are as wide as the points that are drawn. */
  private even = true;

  constructor(
    readonly metric: string,
    readonly tags: Tags,
    info: Pick<MetricInfo, 'type' | 'unit'>,
    readonly device = '',
  ) {
    this.name = seriesName(metric, tags);
    this.key = keyOf(device, this.name);
    this.kind = info.type === 'text' ? 'text' : info.type === 'bool' ? 'bool' : 'number';
    this.unit = info.unit;
  }

  /** What `/api/v1/devices/{id}` tells and a live rollup cannot. */
  describe(info: Pick<MetricInfo, 'type' | 'unit'>): void {
    this.unit = info.unit ?? this.unit;
  }

  /** A live rollup. `drawn` is false where the live window is not the chart's bucket. */
  push(rollup: Rollup, drawn: boolean): void {
    if (this.valueStart === null || rollup[0] >= this.valueStart) {
      this.value = lastOf(rollup);
      this.valueStart = rollup[0];
      this.kind = kindOf(rollup);
    }
    if (!isText(rollup)) for (const it of [rollup[2], rollup[3], rollup[6]]) this.precision.learn(it);
    if (drawn) {
      this.live.putRollup(rollup);
      if (this.even) this.joined.putRollup(rollup);
    }
    this.version += 1;
  }

  /** A snapshot that stands alone: what live told before may have holes now, and history is asked again. */
  restart(): void {
    this.yieldToHistory();
    this.history = 'loading';
    this.version += 1;
  }

  /** History is asked for all up to now: its answer is not to be overlaid by what live told before. */
  yieldToHistory(): void {
    this.live.clear();
  }

  /**
   * From now on points are so wide. What is drawn with others stays until history answers, but live must not be
   * mixed into it.
   */
  expect(bucket_ms: number): void {
    this.even = this.joined.start.length === 0 || this.bucket_ms === 0 || this.bucket_ms === bucket_ms;
  }

  /** History's answer: it becomes what is drawn, with live laid over it. */
  join(buckets: Buckets, bucket_ms = 0, loaded: Span | null = null): void {
    const columns = new Columns();
    buckets.time.forEach((start, i) => {
      const number = (column: (number | null)[] | undefined): number => column?.[i] ?? NaN;
      const last = buckets.last[i] ?? null;
      const value = buckets.type === 'bool' && last !== null ? Boolean(last) : last;
      this.precision.learn(value);
      columns.put(start, buckets.count[i] ?? 0, number(buckets.min), number(buckets.max), number(buckets.avg), value);
    });
    columns.putAll(this.live);
    this.joined = columns;
    this.bucket_ms = bucket_ms;
    this.loaded = loaded;
    this.even = true;
    this.history = 'joined';
    this.unit = buckets.unit ?? this.unit;
    const newest = columns.start.length - 1;
    if (newest >= 0 && (this.valueStart === null || columns.start[newest]! > this.valueStart)) {
      this.value = columns.last[newest]!;
      this.valueStart = columns.start[newest]!;
    }
    this.version += 1;
  }

  /** Another time's answer, `later_ms` later than it was. */
  haunt(buckets: Buckets, later_ms: number, bucket_ms: number): void {
    const start = buckets.time.map((at) => at + later_ms);
    const told = buckets.avg ?? buckets.last.map((it) => (typeof it === 'string' ? null : Number(it)));
    this.ghost = { start, avg: told.map((it) => it ?? NaN), bucket_ms };
    this.version += 1;
  }

  exorcise(): void {
    if (this.ghost !== null) this.version += 1;
    this.ghost = null;
  }

  fail(reason: string): void {
    this.history = 'failed';
    this.failure = reason;
    this.version += 1;
  }

  trim(from: number): void {
    this.joined.trim(from);
    this.live.trim(from);
  }
}
