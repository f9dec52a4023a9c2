// What is shown is in the address, after the hash: a reload or a link to a colleague shows the same. Pure.

import type { SortKey, View } from './state/table';

export type Route =
  | { page: 'fleet'; view: View }
  | { page: 'device'; id: string; range: string }
  /** `sink`: of that one only; `after`: the page behind this id. */
  | { page: 'dead-letters'; sink: string | null; after: number | null }
  | { page: 'dead-letter'; id: number; sink: string | null }
  /** `bridge`: of that one only. */
  | { page: 'not-understood'; bridge: string | null }
  | { page: 'message'; id: number; bridge: string | null };

export const DEFAULT_VIEW: View = { search: '', offlineOnly: false, metric: null, sort: 'device', descending: false };
const SORTS: readonly SortKey[] = ['device', 'state', 'value', 'series', 'seen'];

export function parseRoute(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#/, '').split(/\?(.*)/s);
  const query = new URLSearchParams(search);
  const device = /^\/device\/(.+)$/.exec(path)?.[1];
  if (device !== undefined) return { page: 'device', id: decode(device), range: query.get('range') ?? '15m' };
  const letter = /^\/dead-letters\/(\d+)$/.exec(path)?.[1];
  if (letter !== undefined) return { page: 'dead-letter', id: Number(letter), sink: query.get('sink') };
  if (path === '/dead-letters') {
    const after = query.get('after') ?? '';
    return { page: 'dead-letters', sink: query.get('sink'), after: /^\d+$/.test(after) ? Number(after) : null };
  }
  const message = /^\/not-understood\/(\d+)$/.exec(path)?.[1];
  if (message !== undefined) return { page: 'message', id: Number(message), bridge: query.get('bridge') };
  if (path === '/not-understood') return { page: 'not-understood', bridge: query.get('bridge') };
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

export function deviceHash(id: string, range?: string): string {
  const path = `#/device/${encodeURIComponent(id)}`;
  return range === undefined ? path : `${path}?range=${range}`;
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

function withQuery(path: string, asked: Record<string, string | number | null>): string {
  const query = new URLSearchParams();
  for (const key in asked) if (asked[key] != null) query.set(key, String(asked[key]));
  const text = query.toString();
  return text === '' ? path : `${path}?${text}`;
}
