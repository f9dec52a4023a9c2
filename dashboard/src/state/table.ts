// Which rows the table shows, and in what order. Pure.

import type { Row, Value } from './fleet';

export type SortKey = 'device' | 'state' | 'value' | 'series' | 'seen';

export interface View {
  search: string;
  offlineOnly: boolean;
  metric: string | null;
  sort: SortKey;
  descending: boolean;
}

/** All words of the search must be in the device's id or labels. */
export function select(rows: Iterable<Row>, view: View): Row[] {
  const words = view.search.toLowerCase().split(/\s+/).filter((word) => word !== '');
  const chosen: Row[] = [];
  for (const row of rows) {
    if (view.offlineOnly && row.online !== false) continue;
    if (view.metric !== null && row.main(view.metric) === null) continue;
    if (words.every((word) => row.haystack.includes(word))) chosen.push(row);
  }
  const compare = comparison(view);
  const way = view.descending ? -1 : 1;
  return chosen.sort((a, b) => compare(a, b, way) || a.rank - b.rank);
}

/** What is unknown sorts last, whichever way. */
function comparison(view: View): (a: Row, b: Row, way: number) => number {
  switch (view.sort) {
    case 'device':
      return (a, b, way) => (a.rank - b.rank) * way;
    case 'state':
      return (a, b, way) => known(stateOf(a), stateOf(b), way);
    case 'series':
      return (a, b, way) => known(a.seriesCount, b.seriesCount, way);
    case 'seen':
      return (a, b, way) => known(a.lastSeen, b.lastSeen, -way);
    case 'value':
      return (a, b, way) => byValue(a, b, view.metric, way);
  }
}

const stateOf = (row: Row): number | null => (row.online === null ? null : row.online ? 1 : 0);

function known(a: number | null, b: number | null, way: number): number {
  if (a === null || b === null) return (a === null ? 1 : 0) - (b === null ? 1 : 0);
  return (a - b) * way;
}

/** Values compare only within a metric: 70 °C is neither more nor less than 3 bar. */
function byValue(a: Row, b: Row, metric: string | null, way: number): number {
  const one = a.main(metric);
  const two = b.main(metric);
  if (one === null || two === null) return (one === null ? 1 : 0) - (two === null ? 1 : 0);
  if (one.metric !== two.metric) return one.metric < two.metric ? -1 : 1;
  if (typeof one.value === 'string' && typeof two.value === 'string') return one.value < two.value ? -way : way;
  return known(numeric(one.value), numeric(two.value), way);
}

const numeric = (value: Value): number | null => (value === null || typeof value === 'string' ? null : Number(value));
