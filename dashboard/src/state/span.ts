// Spans of time, and how they are zoomed and moved. Pure. Nothing is after now: a span that would reach there is
// moved back, never cut, so its width stays what was asked for.

/** From (inclusive) to (exclusive), in ms since 1970. */
export type Span = readonly [from: number, to: number];

/** One sample is seen alone below this. */
export const SPAN_MIN_MS = 1000;
export const SPAN_MAX_MS = 400 * 24 * 3600 * 1000;

export const widthOf = ([from, to]: Span): number => to - from;

/** The same width, whole milliseconds, no later than now and no earlier than 1970. */
export function within([from, to]: Span, now: number): Span {
  const width = Math.round(Math.min(SPAN_MAX_MS, Math.max(SPAN_MIN_MS, to - from)));
  const end = Math.max(width, Math.min(Math.round(now), Math.round(to)));
  return [end - width, end];
}

/** What was dragged out, in whichever direction. One that is too short grows around its middle. */
export function dragged(a: number, b: number, now: number): Span {
  const [from, to] = a < b ? [a, b] : [b, a];
  if (to - from >= SPAN_MIN_MS) return within([from, to], now);
  const middle = (from + to) / 2;
  return within([middle - SPAN_MIN_MS / 2, middle + SPAN_MIN_MS / 2], now);
}

/** `factor` below 1 shows less. What is at `at` stays where it is, unless the end of time is in the way. */
export function zoomed(span: Span, at: number, factor: number, now: number): Span {
  const width = widthOf(span);
  const wanted = Math.min(SPAN_MAX_MS, Math.max(SPAN_MIN_MS, width * factor));
  const share = (at - span[0]) / width;
  const from = at - share * wanted;
  return within([from, from + wanted], now);
}

export function moved(span: Span, by: number, now: number): Span {
  return within([span[0] + by, span[1] + by], now);
}

/** The same width around an instant. */
export function around(at: number, width: number, now: number): Span {
  return within([at - width / 2, at + width / 2], now);
}

/** How much more is asked for than is seen on either side, so that moving a little finds something. */
const MARGIN = 1 / 4;

/** What to ask for to draw a span: more than is seen, on the grid of points, nothing after now. */
export function questionFor(span: Span, bucket_ms: number, now: number): Span {
  const margin = widthOf(span) * MARGIN;
  const from = Math.floor(Math.max(0, span[0] - margin) / bucket_ms) * bucket_ms;
  const to = Math.ceil(Math.min(now, span[1] + margin) / bucket_ms) * bucket_ms;
  return [from, Math.max(to, from + bucket_ms)];
}

/** Whether what is there leaves so little beside a span that more should be asked for. */
export function lacks(loaded: Span | null, span: Span, now: number): boolean {
  if (loaded === null) return true;
  const least = (widthOf(span) * MARGIN) / 2;
  const from = Math.max(0, span[0] - least);
  const to = Math.min(now, span[1] + least);
  return loaded[0] > from || loaded[1] < to;
}

/** What two spans share; null: nothing. */
export function shared(a: Span, b: Span): Span | null {
  const from = Math.max(a[0], b[0]);
  const to = Math.min(a[1], b[1]);
  return from < to ? [from, to] : null;
}

/** The parts of a span that another does not cover. */
export function uncovered(span: Span, by: Span | null): Span[] {
  const covered = by === null ? null : shared(span, by);
  if (covered === null) return [span];
  const parts: Span[] = [
    [span[0], covered[0]],
    [covered[1], span[1]],
  ];
  return parts.filter(([from, to]) => from < to);
}
