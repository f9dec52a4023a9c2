// The choices of how far back a device page looks, and what it asks of history and live for each. Pure.

export interface Range {
  name: string;
  label: string;
  span_ms: number;
  /** Width of a point. */
  bucket_ms: number;
  /** The live window that is as wide; null: none is, so history is asked again from time to time. */
  window: string | null;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

export const RANGES: readonly Range[] = [
  { name: '5m', label: '5 min', span_ms: 5 * MINUTE, bucket_ms: 1000, window: '1s' },
  { name: '15m', label: '15 min', span_ms: 15 * MINUTE, bucket_ms: 1000, window: '1s' },
  { name: '1h', label: '1 h', span_ms: HOUR, bucket_ms: 1000, window: '1s' },
  { name: '6h', label: '6 h', span_ms: 6 * HOUR, bucket_ms: 10_000, window: '10s' },
  { name: '24h', label: '24 h', span_ms: 24 * HOUR, bucket_ms: MINUTE, window: '1m' },
  { name: '7d', label: '7 d', span_ms: 7 * 24 * HOUR, bucket_ms: 10 * MINUTE, window: null },
];

export const DEFAULT_RANGE: Range = RANGES[1]!;

export function rangeNamed(name: string | null): Range {
  return RANGES.find((range) => range.name === name) ?? DEFAULT_RANGE;
}

export interface Plan {
  /** The live window to subscribe to. */
  window: string;
  /** Whether its rollups are points of the chart, or only tell the current value. */
  drawn: boolean;
}

/** Which live window serves a range, given those that the daemon keeps. */
export function planFor(range: Range, windows: readonly string[]): Plan {
  const finest = windows[0] ?? '1s';
  if (range.window !== null && windows.includes(range.window)) return { window: range.window, drawn: true };
  return { window: finest, drawn: false };
}

/** How often history is asked again where live does not draw. */
export const REFRESH_MS = 30_000;

/** A width as the query takes it: 1000 → `1s`. */
export function widthText(ms: number): string {
  return ms % MINUTE === 0 ? `${ms / MINUTE}m` : `${ms / 1000}s`;
}
