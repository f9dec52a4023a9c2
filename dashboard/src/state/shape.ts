// From columns to what a chart draws. Pure. Gaps are made here: a line may join two points only if nothing that
// was due between them is missing.

import { shared, type Span } from './span';
import type { Columns, Ghost } from './trace';

/** A distance of more than this many usual spacings is a gap. */
export const GAP_SPACINGS = 3;
const SPACINGS_LOOKED_AT = 99;

/**
 * A distance of more than this from one point to the next is a gap. Points of several samples each have none
 * missing between them, so one that is not there is a gap itself, however wide it is.
 */
export function gapLimit(columns: Pick<Columns, 'start' | 'count'>, bucket_ms: number): number {
  const spacing = usualSpacing(columns.start, bucket_ms);
  return usualCount(columns.count) >= GAP_SPACINGS && spacing <= bucket_ms ? bucket_ms : GAP_SPACINGS * spacing;
}

/** The median, of a sample of them when there are many. */
function usualCount(count: readonly number[]): number {
  const stride = Math.max(1, Math.floor(count.length / SPACINGS_LOOKED_AT));
  const some = count.filter((_, i) => i % stride === 0).sort((a, b) => a - b);
  return some[some.length >> 1] ?? 0;
}

/** The usual distance of two points: the median, of a sample of them when there are many. */
export function usualSpacing(start: readonly number[], bucket_ms: number): number {
  const distances: number[] = [];
  const stride = Math.max(1, Math.floor((start.length - 1) / SPACINGS_LOOKED_AT));
  for (let i = start.length - 1; i >= 1; i -= stride) distances.push(start[i]! - start[i - 1]!);
  if (distances.length === 0) return bucket_ms;
  distances.sort((a, b) => a - b);
  return Math.max(bucket_ms, distances[distances.length >> 1]!);
}

export interface Line {
  /** What uPlot takes: x in ms, then the columns; null where the line breaks. */
  data: [number[], (number | null)[], (number | null)[], (number | null)[]];
  /** Start and end of each gap. */
  gaps: [number, number][];
}

/** `middle` is drawn as the line: the average for numbers, the last value for booleans. */
export function line(columns: Columns, bucket_ms: number, middle: 'avg' | 'last'): Line {
  const limit = gapLimit(columns, bucket_ms);
  const x: number[] = [];
  const mid: (number | null)[] = [];
  const min: (number | null)[] = [];
  const max: (number | null)[] = [];
  const gaps: [number, number][] = [];
  for (let i = 0; i < columns.start.length; i++) {
    const start = columns.start[i]!;
    const before = columns.start[i - 1];
    if (before !== undefined && start - before > limit) {
      gaps.push([before + bucket_ms, start]);
      x.push(before + bucket_ms);
      mid.push(null);
      min.push(null);
      max.push(null);
    }
    x.push(start);
    mid.push(finite(middle === 'avg' ? columns.avg[i]! : Number(columns.last[i])));
    min.push(finite(columns.min[i]!));
    max.push(finite(columns.max[i]!));
  }
  return { data: [x, mid, min, max], gaps };
}

/** The parts of a span before the first and after the last point, if they are wide enough to be gaps. */
export function outerGaps(start: readonly number[], bucket_ms: number, span: Span): Span[] {
  const first = start[0];
  if (first === undefined) return [span];
  const limit = GAP_SPACINGS * usualSpacing(start, bucket_ms);
  const end = start[start.length - 1]! + bucket_ms;
  const gaps: Span[] = [[span[0], first], [end, span[1]]];
  return gaps.filter(([from, to]) => to - from > limit);
}

/** A ghost as a line that breaks where something is missing. */
export function spaced(ghost: Ghost): [number[], (number | null)[]] {
  const limit = GAP_SPACINGS * usualSpacing(ghost.start, ghost.bucket_ms);
  const x: number[] = [];
  const y: (number | null)[] = [];
  ghost.start.forEach((start, i) => {
    const before = ghost.start[i - 1];
    if (before !== undefined && start - before > limit) {
      x.push(before + ghost.bucket_ms);
      y.push(null);
    }
    x.push(start);
    y.push(finite(ghost.avg[i]!));
  });
  return [x, y];
}

/** What lies in a gap of each of several series: only there has nobody told anything. */
export function commonGaps(gaps: readonly (readonly Span[])[]): Span[] {
  const [first = [], ...others] = gaps;
  return others.reduce<readonly Span[]>(
    (common, more) =>
      common.flatMap((a) => more.map((b) => shared(a, b)).filter((both) => both !== null)),
    first,
  ) as Span[];
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);

export interface Stretch {
  from: number;
  to: number;
  text: string;
}

/** A text series as stretches of the same text; a stretch ends where the next begins, or where data ends. */
export function stretches(columns: Columns, bucket_ms: number): Stretch[] {
  const limit = gapLimit(columns, bucket_ms);
  const made: Stretch[] = [];
  for (let i = 0; i < columns.start.length; i++) {
    const from = columns.start[i]!;
    const next = columns.start[i + 1];
    const to = next !== undefined && next - from <= limit ? next : from + bucket_ms;
    const text = String(columns.last[i]);
    const current = made[made.length - 1];
    if (current !== undefined && current.text === text && current.to >= from) current.to = to;
    else made.push({ from, to, text });
  }
  return made;
}

export interface Extent {
  min: number;
  max: number;
  avg: number;
}

/** Least, greatest and mean (weighed by samples) of what starts within [from, to). */
export function extent(columns: Columns, from: number, to: number): Extent | null {
  let min = Infinity;
  let max = -Infinity;
  let sum = 0;
  let count = 0;
  for (let i = columns.find(from); i < columns.start.length && columns.start[i]! < to; i++) {
    if (Number.isNaN(columns.avg[i]!)) continue;
    min = Math.min(min, columns.min[i]!);
    max = Math.max(max, columns.max[i]!);
    sum += columns.avg[i]! * columns.count[i]!;
    count += columns.count[i]!;
  }
  return count === 0 ? null : { min, max, avg: sum / count };
}
