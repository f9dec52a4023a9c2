// The fleet as the overview shows it: a fold over live frames and the list of devices. Pure in the sense that
// counts: it reads no clock, no network and no document. It changes in place, because ten thousand devices
// change four times a second.

import type { DeviceInfo, DeviceRollups, Rollup } from '../wire';
import { isText, seriesName } from '../wire';
import { Precision } from '../text/precision';
import { Trend } from './trend';
import { Units } from './units';

export type Value = number | boolean | string | null;
export type Kind = 'number' | 'bool' | 'text';

export interface Cell {
  series: string;
  metric: string;
  kind: Kind;
  unit: string | null;
  value: Value;
  readonly precision: Precision;
  /** Start of the window that `value` is from. */
  start: number;
}

/** How many numeric metrics of its own a device shows in the table. */
export const KEY_METRICS = 3;

export class Row {
  online: boolean | null = null;
  /** False: nobody has accepted it yet. */
  known = true;
  firstSeen: number | null = null;
  lastSeen: number | null = null;
  seriesCount: number | null = null;
  labels: Record<string, string> = {};
  software: string | null = null;
  readonly cells = new Map<string, Cell>();
  /** The first few numeric series by name (those with a unit before those without), and the first that says something in words. */
  keys: Cell[] = [];
  word: Cell | null = null;
  readonly trend = new Trend();
  /** The series that `trend` holds, and whether history was asked for it. */
  trendOf: string | null = null;
  seeded = false;
  /** Grows with each change of what the row shows. */
  version = 0;
  /** Place in the natural order of ids; lower-case text that the search looks through. */
  rank = 0;
  haystack: string;

  constructor(readonly id: string) {
    this.haystack = id.toLowerCase();
  }

  /** The cell of the chosen metric (any tags), or the device's own first. */
  main(chosen: string | null): Cell | null {
    if (chosen === null) return this.keys[0] ?? this.word;
    const exact = this.cells.get(chosen);
    if (exact !== undefined) return exact;
    for (const cell of this.cells.values()) if (cell.metric === chosen) return cell;
    return null;
  }
}

export class Fleet {
  readonly rows = new Map<string, Row>();
  /** Every metric name seen so far. */
  readonly metrics = new Set<string>();
  /** Grows when rows come, go or change their state or name: what the table's order depends on. */
  membership = 0;
  /** The metric whose trend is kept; null: each device's own first. */
  chosen: string | null = null;
  /** Width of a live window. */
  window_ms = 10_000;
  private unranked = false;

  constructor(readonly units = new Units()) {}

  /** `/api/v1/devices`: the whole list, so that devices which said nothing since the start are there too. */
  list(devices: DeviceInfo[]): void {
    const known = new Set(devices.map((device) => device.id));
    for (const id of this.rows.keys()) if (!known.has(id)) this.rows.delete(id);
    this.inform(devices);
    this.membership += 1;
  }

  /** The `device` frame: who came, who went. Returns true if one of them was not known. */
  inform(devices: DeviceInfo[]): boolean {
    const before = this.rows.size;
    for (const info of devices) {
      const row = this.row(info.id);
      if (row.online !== info.online) this.membership += 1;
      row.online = info.online;
      row.known = info.known ?? row.known;
      row.version += 1;
      row.firstSeen = info.first_seen;
      row.lastSeen = Math.max(row.lastSeen ?? 0, info.last_seen);
      if (info.series !== undefined) row.seriesCount = info.series;
      if (info.labels !== undefined) row.labels = info.labels;
      if (info.software !== undefined) row.software = info.software;
      row.haystack = [info.id, ...Object.entries(row.labels).map(([key, text]) => `${key}=${text}`)]
        .join(' ')
        .toLowerCase();
    }
    return this.rows.size > before;
  }

  /** A `snapshot` that does not resume: what was known of values before is void. */
  forget(): void {
    for (const row of this.rows.values()) row.trend.clear();
    for (const row of this.rows.values()) row.seeded = false;
  }

  /**
   * The devices of a `snapshot` or `rollups` frame. `heard` is the daemon's time of a `rollups` frame: whoever is
   * in one has just been heard. A snapshot tells old news too, so it passes null.
   */
  apply(devices: DeviceRollups[], heard: number | null): void {
    for (const device of devices) {
      const row = this.row(device.device);
      if (device.units !== undefined) this.learnUnits(row, device.units);
      for (const metric in device.rollups) {
        this.fold(row, metric, seriesName(metric, device.tags), device.rollups[metric]!);
      }
      row.version += 1;
      if (heard !== null && heard > (row.lastSeen ?? 0)) row.lastSeen = heard;
    }
  }

  /** Keeps the trend of another metric from now on. */
  choose(metric: string | null): void {
    if (metric === this.chosen) return;
    this.chosen = metric;
    for (const row of this.rows.values()) this.retrend(row);
    this.membership += 1;
  }

  /** Ranks ids the way people count (pump-2 before pump-10); cheap when nothing was added. */
  rank(): void {
    if (!this.unranked) return;
    const natural = new Intl.Collator('en', { numeric: true });
    [...this.rows.values()].sort((a, b) => natural.compare(a.id, b.id)).forEach((row, rank) => (row.rank = rank));
    this.unranked = false;
  }

  private learnUnits(row: Row, units: Record<string, string>): void {
    this.units.learn(row.id, units);
    for (const cell of row.cells.values()) cell.unit = units[cell.metric] ?? cell.unit;
    this.choosePlaces(row);
  }

  private row(id: string): Row {
    const known = this.rows.get(id);
    if (known !== undefined) return known;
    const row = new Row(id);
    this.rows.set(id, row);
    this.unranked = true;
    this.membership += 1;
    return row;
  }

  private fold(row: Row, metric: string, series: string, rollups: Rollup[]): void {
    for (const rollup of rollups) {
      const cell = row.cells.get(series) ?? this.addCell(row, metric, series, rollup);
      const start = rollup[0];
      if (start >= cell.start) {
        cell.start = start;
        if (cell.kind !== kindOf(rollup)) this.changeKind(row, cell, kindOf(rollup));
        cell.value = lastOf(rollup);
        cell.precision.learn(cell.value);
      }
      if (row.trendOf === series && !isText(rollup)) {
        const [, count, , , sum] = rollup;
        row.trend.set(Math.floor(start / this.window_ms), sum === null || count === 0 ? NaN : sum / count);
      }
    }
  }

  private addCell(row: Row, metric: string, series: string, rollup: Rollup): Cell {
    const unit = this.units.of(row.id, metric);
    const precision = new Precision();
    const cell: Cell = { series, metric, kind: kindOf(rollup), unit, value: null, precision, start: 0 };
    row.cells.set(series, cell);
    this.metrics.add(metric);
    this.choosePlaces(row);
    return cell;
  }

  /** A device may send text where it sent numbers before. */
  private changeKind(row: Row, cell: Cell, kind: Kind): void {
    cell.kind = kind;
    this.choosePlaces(row);
  }

  private choosePlaces(row: Row): void {
    // What is measured in a unit says more at a glance than a bare count.
    const ordered = [...row.cells.values()].sort(
      (a, b) => Number(a.unit === null) - Number(b.unit === null) || (a.series < b.series ? -1 : 1),
    );
    row.keys = ordered.filter((one) => one.kind === 'number').slice(0, KEY_METRICS);
    row.word = ordered.find((one) => one.kind === 'text') ?? ordered.find((one) => one.kind === 'bool') ?? null;
    this.retrend(row);
  }

  private retrend(row: Row): void {
    const main = row.main(this.chosen);
    const series = main === null || main.kind === 'text' ? null : main.series;
    if (series === row.trendOf) return;
    row.version += 1;
    row.trendOf = series;
    row.trend.clear();
    row.seeded = false;
  }
}

export function lastOf(rollup: Rollup): Value {
  return isText(rollup) ? rollup[3] : rollup[6];
}

export function kindOf(rollup: Rollup): Kind {
  if (isText(rollup)) return 'text';
  return typeof rollup[6] === 'boolean' ? 'bool' : 'number';
}
