// How far back charts look, and what they ask of history and live for it. Pure.

export interface Range {
  name: string;
  label: string;
  span_ms: number;
  /** Width of a point. Where no live window is as wide it is chosen anew, to fit the pixels. */
  bucket_ms: number;
  /** The live window that is as wide; null: none is, so history is asked again from time to time. */
  window: string | null;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const RANGES: readonly Range[] = [
  { name: '5m', label: '5 min', span_ms: 5 * MINUTE, bucket_ms: 1000, window: '1s' },
  { name: '15m', label: '15 min', span_ms: 15 * MINUTE, bucket_ms: 1000, window: '1s' },
  { name: '1h', label: '1 h', span_ms: HOUR, bucket_ms: 1000, window: '1s' },
  { name: '3h', label: '3 h', span_ms: 3 * HOUR, bucket_ms: 10_000, window: '10s' },
  { name: '6h', label: '6 h', span_ms: 6 * HOUR, bucket_ms: 10_000, window: '10s' },
  { name: '24h', label: '24 h', span_ms: DAY, bucket_ms: MINUTE, window: '1m' },
  { name: '7d', label: '7 d', span_ms: 7 * DAY, bucket_ms: 10 * MINUTE, window: null },
  { name: '30d', label: '30 d', span_ms: 30 * DAY, bucket_ms: HOUR, window: null },
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

/** Widths that people recognise, the same as the daemon's. */
const ROUND_WIDTHS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 4, 6, 12, 24].map((n) => n * HOUR),
];

/**
 * The finest round width with which a span has no more points than pixels. Points start at multiples of it, so
 * a span that is moved keeps the points that it had, and nothing jitters.
 */
export function bucketFor(span_ms: number, pixels: number): number {
  const width = ROUND_WIDTHS.find((it) => span_ms / it + 2 <= pixels);
  return width ?? DAY * Math.ceil(span_ms / DAY / Math.max(1, pixels - 2));
}

/** The width of the points of a live range. */
export function liveBucket(range: Range, plan: Plan, pixels: number): number {
  return plan.drawn ? range.bucket_ms : bucketFor(range.span_ms, pixels);
}

const REFRESH_MIN_MS = 30_000;
const REFRESH_MAX_MS = 300_000;

/** How often history is asked again where live does not draw: more often than a point is wide is of no use. */
export function refreshOf(bucket_ms: number): number {
  return Math.min(REFRESH_MAX_MS, Math.max(REFRESH_MIN_MS, bucket_ms / 4));
}

/** Widths of charts are taken in steps, so that a window that is resized does not ask with every pixel. */
const PIXELS = [240, 360, 480, 640, 800, 1000, 1300, 1700, 2200, 3000];

export function pixelsOf(width: number): number {
  return PIXELS.findLast((step) => step <= width) ?? PIXELS[0]!;
}

/** The width of a live window by its name: `10s` → 10 000. */
export function windowWidth(name: string): number {
  const match = /^(\d+)(ms|s|m|h)$/.exec(name);
  const unit = { ms: 1, s: SECOND, m: MINUTE, h: HOUR }[match?.[2] ?? 's'] ?? SECOND;
  return Number(match?.[1] ?? 1) * unit;
}

/** A width as the query takes it: 1000 → `1s`. */
export function widthText(ms: number): string {
  if (ms % MINUTE === 0) return `${ms / MINUTE}m`;
  return ms % SECOND === 0 ? `${ms / SECOND}s` : `${ms}ms`;
}
