// What all charts of a page have in common: the time that they show, what they are compared with, what is hidden.
// It is in the address, so a reload, a link to a colleague and the way back show the same. Pure.

import { DEFAULT_RANGE, RANGES, rangeNamed } from './range';
import { SPAN_MAX_MS, SPAN_MIN_MS, type Span } from './span';

export type Compare = 'day' | 'week';

export interface ChartView {
  /** The live range, also while the past is shown: the way back leads there. */
  range: string;
  /** A span that stands still; null: the range up to now. */
  past: Span | null;
  compare: Compare | null;
  /** Keys of series that are not drawn. */
  hidden: readonly string[];
}

export const DEFAULT_CHARTS: ChartView = { range: DEFAULT_RANGE.name, past: null, compare: null, hidden: [] };

const DAY = 24 * 3600 * 1000;
export const COMPARED_MS: Record<Compare, number> = { day: DAY, week: 7 * DAY };

/** A mangled link must not break the page: what makes no sense is left out. */
export function readView(query: URLSearchParams): ChartView {
  const compare = query.get('compare');
  return {
    range: rangeNamed(query.get('range')).name,
    past: spanOf(query.get('from'), query.get('to')),
    compare: compare === 'day' || compare === 'week' ? compare : null,
    hidden: [...new Set(query.getAll('hide'))],
  };
}

export function writeView(view: ChartView): string {
  const query = new URLSearchParams();
  query.set('range', view.range);
  if (view.past !== null) {
    query.set('from', String(view.past[0]));
    query.set('to', String(view.past[1]));
  }
  if (view.compare !== null) query.set('compare', view.compare);
  for (const key of view.hidden) query.append('hide', key);
  return query.toString();
}

export const sameView = (a: ChartView, b: ChartView): boolean => writeView(a) === writeView(b);

/** The span that is drawn now. */
export function spanAt(view: ChartView, now: number): Span {
  return view.past ?? [now - rangeNamed(view.range).span_ms, now];
}

/** The name of a live range of this width, if there is one. */
export const rangeOfWidth = (ms: number): string | null => RANGES.find((range) => range.span_ms === ms)?.name ?? null;

/** In ms since 1970, or as a date of ISO 8601, which people write into links. */
function instant(text: string | null): number | null {
  if (text === null || text === '') return null;
  const ms = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  return Number.isSafeInteger(ms) && ms >= 0 && ms < 8.64e15 ? ms : null;
}

function spanOf(from: string | null, to: string | null): Span | null {
  const [a, b] = [instant(from), instant(to)];
  if (a === null || b === null || b - a < SPAN_MIN_MS || b - a > SPAN_MAX_MS) return null;
  return [a, b];
}
