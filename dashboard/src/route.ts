// What is shown is in the address, after the hash: a reload or a link to a colleague shows the same. Pure.

import type { SortKey, View } from './state/table';

export type Route =
  | { page: 'fleet'; view: View }
  | { page: 'device'; id: string; range: string };

export const DEFAULT_VIEW: View = { search: '', offlineOnly: false, metric: null, sort: 'device', descending: false };
const SORTS: readonly SortKey[] = ['device', 'state', 'value', 'series', 'seen'];

export function parseRoute(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#/, '').split(/\?(.*)/s);
  const query = new URLSearchParams(search);
  const device = /^\/device\/(.+)$/.exec(path)?.[1];
  if (device !== undefined) return { page: 'device', id: decode(device), range: query.get('range') ?? '15m' };
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
