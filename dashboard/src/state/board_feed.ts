// Feeds a board: its series of however many devices, by as many subscriptions as they need.

import * as api from '../link/api';
import type { Link } from '../link/link';
import { seriesName } from '../wire';
import { type Board, devicesOf, keyOf, refKey, type SeriesRef } from './board';
import { ChartFeed, globOf } from './chart_feed';
import type { Units } from './units';

/** A subscription takes no more names of a kind. */
const NAMES_MAX = 32;

/** All series that panels show, each once. */
export function refsOf(board: Board): SeriesRef[] {
  const refs = new Map<string, SeriesRef>();
  for (const panel of board.panels) {
    if (panel.kind !== 'text') for (const ref of panel.series) refs.set(refKey(ref), ref);
  }
  return [...refs.values()];
}

export function feedsFor(board: Board, windows: readonly string[], link: Link, units: Units): ChartFeed[] {
  const refs = refsOf(board);
  const all = devicesOf(board.panels);
  const feeds: ChartFeed[] = [];
  for (let from = 0; from < all.length; from += NAMES_MAX) {
    const devices = all.slice(from, from + NAMES_MAX);
    const own = refs.filter((ref) => devices.includes(ref.device));
    const keys = new Set(own.map(refKey));
    const names = [...new Set(own.map((ref) => ref.metric))];
    const metrics = names.length > NAMES_MAX ? null : names;
    const describe = () => api.series(devices.map(globOf), (metrics ?? []).map(globOf));
    const wants: ChartFeed['topic']['wants'] = (device, metric, tags) => keys.has(keyOf(device, seriesName(metric, tags)));
    feeds.push(new ChartFeed({ devices, metrics, wants, describe }, windows, link, units));
  }
  return feeds;
}
