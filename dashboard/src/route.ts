// What is shown is in the address, after the hash: a reload or a link to a colleague shows the same. Pure.

import type { SortKey, View } from './state/table';
import { type ChartView, DEFAULT_CHARTS, readView, sameView, writeView } from './state/view';

export type Route =
  | { page: 'fleet'; view: View }
  | { page: 'device'; id: string; view: ChartView }
  | { page: 'boards' }
  | { page: 'board'; id: string; view: ChartView }
  /** `sink`: of that one only; `after`: the page behind this id. */
  | { page: 'dead-letters'; sink: string | null; after: number | null }
  | { page: 'dead-letter'; id: number; sink: string | null }
  /** `bridge`: of that one only. */
  | { page: 'not-understood'; bridge: string | null }
  | { page: 'message'; id: number; bridge: string | null }
  | { page: 'alerts'; filter: AlertFilter }
  /** Alerts that are over; `before`: the page behind this id. */
  | { page: 'alert-history'; filter: AlertFilter; before: number | null }
  | { page: 'alert'; id: number }
  /** `edit`: the rule that is open for editing; an empty name is a new one. */
  | { page: 'rules'; edit: string | null }
  | { page: 'silences' }
  | { page: 'notifications' }
  | { page: 'inbox' }
  | { page: 'pipeline' }
  | { page: 'settings' };

/** Pages about all devices, which the daemon does not show to who reaches only some. */
export const WHOLE: ReadonlySet<Route['page']> = new Set<Route['page']>([
  ...(['rules', 'silences', 'notifications', 'dead-letters', 'dead-letter', 'not-understood', 'message', 'pipeline'] as const),
]);

/** What the lists of alerts are narrowed down to. */
export interface AlertFilter {
  severity: string | null;
  rule: string | null;
  device: string | null;
}

export const ALL_ALERTS: AlertFilter = { severity: null, rule: null, device: null };

export const DEFAULT_VIEW: View = { search: '', offlineOnly: false, metric: null, sort: 'device', descending: false };
const SORTS: readonly SortKey[] = ['device', 'state', 'value', 'series', 'seen'];

export function parseRoute(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#/, '').split(/\?(.*)/s);
  const query = new URLSearchParams(search);
  const device = /^\/device\/(.+)$/.exec(path)?.[1];
  if (device !== undefined) return { page: 'device', id: decode(device), view: readView(query) };
  if (path === '/boards') return { page: 'boards' };
  const board = /^\/board\/([a-z0-9-]+)$/.exec(path)?.[1];
  if (board !== undefined) return { page: 'board', id: board, view: readView(query) };
  const letter = /^\/dead-letters\/(\d+)$/.exec(path)?.[1];
  if (letter !== undefined) return { page: 'dead-letter', id: Number(letter), sink: query.get('sink') };
  if (path === '/dead-letters') {
    const after = query.get('after') ?? '';
    return { page: 'dead-letters', sink: query.get('sink'), after: /^\d+$/.test(after) ? Number(after) : null };
  }
  const message = /^\/not-understood\/(\d+)$/.exec(path)?.[1];
  if (message !== undefined) return { page: 'message', id: Number(message), bridge: query.get('bridge') };
  if (path === '/not-understood') return { page: 'not-understood', bridge: query.get('bridge') };
  const other = parseOther(path, query);
  if (other !== null) return other;
  const sort = query.get('sort') ?? '';
  const key = SORTS.find((one) => one === sort.replace(/^-/, ''));
  return {
    page: 'fleet',
    view: {
      search: query.get('q') ?? '',
      offlineOnly: query.get('show') === 'offline',
      metric: query.get('metric'),
      sort: key ?? DEFAULT_VIEW.sort,
      descending: key !== undefined && sort.startsWith('-'),
    },
  };
}

/** The pages about alerts, arrivals and the daemon itself. */
function parseOther(path: string, query: URLSearchParams): Route | null {
  const alert = /^\/alert\/(\d+)$/.exec(path)?.[1];
  if (alert !== undefined) return { page: 'alert', id: Number(alert) };
  const filter = { severity: query.get('severity'), rule: query.get('rule'), device: query.get('device') };
  const before = query.get('before') ?? '';
  switch (path) {
    case '/alerts':
      return { page: 'alerts', filter };
    case '/alerts/history':
      return { page: 'alert-history', filter, before: /^\d+$/.test(before) ? Number(before) : null };
    case '/rules':
      return { page: 'rules', edit: query.get('edit') };
    case '/silences':
      return { page: 'silences' };
    case '/notifications':
      return { page: 'notifications' };
    case '/inbox':
      return { page: 'inbox' };
    case '/pipeline':
      return { page: 'pipeline' };
    case '/settings':
      return { page: 'settings' };
    default:
      return null;
  }
}

/** A mangled link must not break the page: what does not decode is taken as it stands. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function fleetHash(view: View): string {
  const query = new URLSearchParams();
  if (view.search !== '') query.set('q', view.search);
  if (view.offlineOnly) query.set('show', 'offline');
  if (view.metric !== null) query.set('metric', view.metric);
  if (view.sort !== DEFAULT_VIEW.sort || view.descending) query.set('sort', (view.descending ? '-' : '') + view.sort);
  const text = query.toString();
  return text === '' ? '#/' : `#/?${text}`;
}

export function deviceHash(id: string, view?: ChartView): string {
  return withView(`#/device/${encodeURIComponent(id)}`, view);
}

export const boardHash = (id: string, view?: ChartView): string => withView(`#/board/${id}`, view);

/** The address of a page of charts that looks at another time. */
export function chartHash(route: Route, view: ChartView): string | null {
  if (route.page === 'device') return deviceHash(route.id, view);
  return route.page === 'board' ? boardHash(route.id, view) : null;
}

function withView(path: string, view: ChartView | undefined): string {
  return view === undefined || sameView(view, DEFAULT_CHARTS) ? path : `${path}?${writeView(view)}`;
}

export function deadLettersHash(sink: string | null = null, after: number | null = null): string {
  return withQuery('#/dead-letters', { sink, after });
}

/** `sink`: what the list that it was opened from was narrowed down to. */
export function deadLetterHash(id: number, sink: string | null = null): string {
  return withQuery(`#/dead-letters/${id}`, { sink });
}

export function notUnderstoodHash(bridge: string | null = null): string {
  return withQuery('#/not-understood', { bridge });
}

/** `bridge`: what the list that it was opened from was narrowed down to. */
export function messageHash(id: number, bridge: string | null = null): string {
  return withQuery(`#/not-understood/${id}`, { bridge });
}

export function alertsHash(filter: AlertFilter = ALL_ALERTS): string {
  return withQuery('#/alerts', { ...filter });
}

export function alertHistoryHash(filter: AlertFilter = ALL_ALERTS, before: number | null = null): string {
  return withQuery('#/alerts/history', { ...filter, before });
}

export const alertHash = (id: number): string => `#/alert/${id}`;

/** `edit`: opens this rule for editing; an empty name makes a new one. */
export function rulesHash(edit: string | null = null): string {
  return withQuery('#/rules', { edit });
}

function withQuery(path: string, asked: Record<string, string | number | null>): string {
  const query = new URLSearchParams();
  for (const key in asked) if (asked[key] != null) query.set(key, String(asked[key]));
  const text = query.toString();
  return text === '' ? path : `${path}?${text}`;
}
