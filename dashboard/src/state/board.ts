// A saved board: what its document looks like, how an old or a foreign one is read, and the board that a device
// gets by itself. Pure.
//
//   {"version":1,"name":"Pump hall","range":"1h","panels":[
//     {"id":"p1","kind":"chart","title":"","x":0,"y":0,"w":6,"h":4,
//      "series":[{"device":"pump-7","metric":"motor.temperature","tags":{}}]},
//     {"id":"p2","kind":"value",…the same…},
//     {"id":"p3","kind":"text",…"text":"Call Ana before stopping."}]}

import type { MetricInfo, Tags } from '../wire';
import { seriesName } from '../wire';
import { unitName } from './axes';
import { COLUMNS, placeFor, settled } from './layout';
import { DEFAULT_RANGE, rangeNamed } from './range';

export const BOARD_VERSION = 1;
export const PANELS_MAX = 100;
export const SERIES_MAX = 16;
/** Distinct devices of a board: each costs a part of a live subscription. */
export const DEVICES_MAX = 64;
const TEXT_MAX = 4000;
const TITLE_MAX = 120;

export interface SeriesRef {
  device: string;
  metric: string;
  tags: Tags;
}

interface Place {
  id: string;
  title: string;
  x: number;
  y: number;
  w: number;
  h: number;
}
export type ChartPanel = Place & { kind: 'chart' | 'value'; series: SeriesRef[] };
export type TextPanel = Place & { kind: 'text'; text: string };
export type Panel = ChartPanel | TextPanel;

export interface Board {
  version: typeof BOARD_VERSION;
  name: string;
  /** The live range that it opens with. */
  range: string;
  panels: Panel[];
}

/** Names a series among all devices; also in the address, for what is hidden. */
export const keyOf = (device: string, name: string): string => `${device}:${name}`;
export const refKey = (ref: SeriesRef): string => keyOf(ref.device, seriesName(ref.metric, ref.tags));

/** Why a document is none that this page can show; `where` is a place in it. */
export type Fault =
  | { kind: 'newer'; version: number }
  | { kind: 'broken'; where: string }
  | { kind: 'too much'; where: string; max: number };

export type Read = { board: Board } | { fault: Fault };

class Broken extends Error {
  constructor(readonly fault: Fault) {
    super(fault.kind);
  }
}

const broken = (where: string): Broken => new Broken({ kind: 'broken', where });

/** Reads a document, from the daemon or from a file. What it does not know in it is left out. */
export function readBoard(document: unknown): Read {
  try {
    return { board: boardOf(document) };
  } catch (error) {
    if (error instanceof Broken) return { fault: error.fault };
    throw error;
  }
}

export function readBoardText(text: string): Read {
  try {
    return readBoard(JSON.parse(text));
  } catch {
    return { fault: { kind: 'broken', where: 'JSON' } };
  }
}

type Fields = Record<string, unknown>;

function boardOf(document: unknown): Board {
  const it = fields(document, 'board');
  const version = it['version'];
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 1) throw broken('version');
  if (version > BOARD_VERSION) throw new Broken({ kind: 'newer', version });
  const name = text(it['name'], 'name', TITLE_MAX).trim();
  if (name === '') throw broken('name');
  const list = array(it['panels'], 'panels', PANELS_MAX);
  const ids = new Set<string>();
  const panels = list.map((one, i) => {
    const panel = panelOf(one, `panels[${i}]`);
    // Two of one id would be one to the grid.
    if (ids.has(panel.id)) panel.id = freshId(ids);
    ids.add(panel.id);
    return panel;
  });
  const devices = devicesOf(panels);
  if (devices.length > DEVICES_MAX) throw new Broken({ kind: 'too much', where: 'devices', max: DEVICES_MAX });
  const range = rangeNamed(typeof it['range'] === 'string' ? it['range'] : DEFAULT_RANGE.name).name;
  return { version: BOARD_VERSION, name, range, panels: settled(panels) };
}

function panelOf(one: unknown, where: string): Panel {
  const it = fields(one, where);
  const place: Place = {
    id: text(it['id'] ?? '', `${where}.id`, 64) || 'p',
    title: text(it['title'] ?? '', `${where}.title`, TITLE_MAX),
    x: number(it['x'], `${where}.x`),
    y: number(it['y'], `${where}.y`),
    w: number(it['w'], `${where}.w`),
    h: number(it['h'], `${where}.h`),
  };
  const { kind } = it;
  if (kind === 'text') return { ...place, kind, text: text(it['text'], `${where}.text`, TEXT_MAX) };
  if (kind !== 'chart' && kind !== 'value') throw broken(`${where}.kind`);
  const series = array(it['series'], `${where}.series`, SERIES_MAX);
  return { ...place, kind, series: series.map((ref, i) => refOf(ref, `${where}.series[${i}]`)) };
}

function refOf(one: unknown, where: string): SeriesRef {
  const it = fields(one, where);
  const given = it['tags'] === undefined ? {} : fields(it['tags'], `${where}.tags`);
  const tags: Tags = {};
  for (const key of Object.keys(given).sort()) tags[key] = text(given[key], `${where}.tags`, 256);
  const device = text(it['device'], `${where}.device`, 256);
  const metric = text(it['metric'], `${where}.metric`, 256);
  if (device === '' || metric === '') throw broken(where);
  return { device, metric, tags };
}

function fields(it: unknown, where: string): Fields {
  if (typeof it !== 'object' || it === null || Array.isArray(it)) throw broken(where);
  return it as Fields;
}

function array(it: unknown, where: string, max: number): unknown[] {
  if (!Array.isArray(it)) throw broken(where);
  if (it.length > max) throw new Broken({ kind: 'too much', where, max });
  return it;
}

function text(it: unknown, where: string, max: number): string {
  if (typeof it !== 'string') throw broken(where);
  if (it.length > max) throw new Broken({ kind: 'too much', where, max });
  return it;
}

function number(it: unknown, where: string): number {
  if (typeof it !== 'number' || !Number.isFinite(it)) throw broken(where);
  return it;
}

export function freshId(taken: ReadonlySet<string>): string {
  let n = taken.size + 1;
  while (taken.has(`p${n}`)) n += 1;
  return `p${n}`;
}

/** All devices that panels show something of, each once. */
export function devicesOf(panels: readonly Panel[]): string[] {
  return [...new Set(panels.flatMap((panel) => (panel.kind === 'text' ? [] : panel.series.map((ref) => ref.device))))];
}

export function emptyBoard(name: string): Board {
  return { version: BOARD_VERSION, name, range: DEFAULT_RANGE.name, panels: [] };
}

/** The size that a panel begins with. */
export const SIZES = { chart: { w: 6, h: 4 }, value: { w: 3, h: 2 }, text: { w: 4, h: 2 } } as const;

/** One panel more, in the first place that is free. */
export function withPanel(board: Board, panel: Panel): Board {
  const { w, h } = panel;
  const id = freshId(new Set(board.panels.map((one) => one.id)));
  return { ...board, panels: settled([...board.panels, { ...panel, id, ...placeFor(board.panels, w, h) }]) };
}

/** An address for a name that none of those taken has: `Pump hall №1` → `pump-hall-1`. */
export function idFor(name: string, taken: ReadonlySet<string>): string {
  const plain = name.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  const base = plain.replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 56) || 'board';
  let id = base;
  for (let n = 2; taken.has(id); n++) id = `${base}-${n}`;
  return id;
}

const NAME_BYTES_MAX = 128;

/** As much of a text as the daemon takes for a name. */
export function nameFor(text: string): string {
  let name = text.slice(0, TITLE_MAX);
  while (new TextEncoder().encode(name).length > NAME_BYTES_MAX) name = name.slice(0, -1);
  return name;
}

/** Lines of one chart of a default board: more are hard to tell apart. */
const LINES_MAX = 4;

export interface Group {
  title: string;
  /** Told in words, or true and false: a strip of states, not a line. */
  states: boolean;
  metrics: Pick<MetricInfo, 'metric' | 'tags' | 'type' | 'unit'>[];
}

type Described = Group['metrics'][number];

/**
 * The charts of a device: what has the same unit stands in one chart, so that it can be compared; what has none is
 * a count of who knows what, and stands alone, as do states.
 */
export function groupsOf(metrics: readonly Described[]): Group[] {
  const name = (it: Described): string => seriesName(it.metric, it.tags);
  const sorted = [...metrics].sort((a, b) => (name(a) < name(b) ? -1 : 1));
  const groups: Group[] = [];
  const open = new Map<string, Group>();
  for (const one of sorted) {
    const states = one.type === 'text' || one.type === 'bool';
    const unit = unitName(one.unit);
    let group = states || unit === '' ? undefined : open.get(unit);
    if (group === undefined || group.metrics.length >= LINES_MAX) {
      group = { title: '', states, metrics: [] };
      groups.push(group);
      if (!states && unit !== '') open.set(unit, group);
    }
    group.metrics.push(one);
  }
  for (const group of groups) group.title = titleOf(group.metrics.map((one) => one.metric));
  return groups;
}

/** What the names have in common: `motor.temperature`, `oil.temperature` → `temperature`; else all of them. */
export function titleOf(metrics: readonly string[]): string {
  const names = [...new Set(metrics)];
  if (names.length <= 1) return names[0] ?? '';
  const parts = names.map((name) => name.split('.'));
  const common = (from: (it: string[], i: number) => string | undefined): string[] => {
    const found: string[] = [];
    for (let i = 0; ; i++) {
      const part = from(parts[0]!, i);
      if (part === undefined || !parts.every((it) => from(it, i) === part)) return found;
      found.push(part);
    }
  };
  const end = common((it, i) => it[it.length - 1 - i]).reverse();
  if (end.length > 0) return end.join('.');
  const start = common((it, i) => it[i]);
  return start.length > 0 ? start.join('.') : names.join(', ');
}

/** The board that a device has before anybody made one. */
export function defaultBoard(device: string, metrics: readonly Described[], range: string): Board {
  const groups = groupsOf(metrics);
  const states = groups.filter((group) => group.states);
  const lines = groups.filter((group) => !group.states);
  const panels: Panel[] = [];
  const add = (group: Group, h: number): void => {
    const series = group.metrics.map((one) => ({ device, metric: one.metric, tags: one.tags ?? {} }));
    const title = group.metrics.length > 1 ? group.title : '';
    const at = placeFor(panels, COLUMNS / 2, h);
    panels.push({ id: `p${panels.length + 1}`, kind: 'chart', title, ...at, w: COLUMNS / 2, h, series });
  };
  for (const group of states.slice(0, PANELS_MAX)) add(group, 2);
  for (const group of lines.slice(0, PANELS_MAX - panels.length)) add(group, 4);
  return { version: BOARD_VERSION, name: nameFor(device), range, panels: settled(panels) };
}
