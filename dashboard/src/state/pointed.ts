// Which point of a series the crosshair is on. Pure.

import { GAP_SPACINGS, usualSpacing } from './shape';
import type { Columns } from './trace';

/** The point whose window holds `at`, or the nearest within reach of a line; `steps`: the one before. */
export function pointAt(columns: Columns, at: number, bucket_ms: number, steps: boolean): number | null {
  const { start } = columns;
  const after = columns.find(at);
  const before = start[after] === at ? after : after - 1;
  if (start[before] !== undefined && at < start[before]! + bucket_ms) return before;
  const reach = GAP_SPACINGS * usualSpacing(start, bucket_ms);
  const near = [before, after].filter((i) => start[i] !== undefined && Math.abs(start[i]! - at) <= reach);
  if (near.length === 0) return null;
  if (steps && near[0] === before) return before;
  return near.reduce((a, b) => (Math.abs(start[a]! - at) <= Math.abs(start[b]! - at) ? a : b));
}

/** The last point that begins before the end of a span, if it is within it. */
export function lastWithin(columns: Columns, span: readonly [number, number]): number | null {
  const i = columns.find(span[1]) - 1;
  return i >= 0 && columns.start[i]! >= span[0] ? i : null;
}
