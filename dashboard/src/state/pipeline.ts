// The pipeline as a picture: what stands where, what flows between, what each says. Pure.
//
// Two layouts of the same parts: side by side on wide screens, one below the other on phones.

import { bytes, lag, percent, span } from '../text/format';
import { stateWord } from '../text/brokers';
import { say } from '../text/say';
import { breakerState, type BreakerState, breakerWord, lettersText, tightest } from '../text/sinks';
import type { SinkStatus, Status, WholeStatus } from '../wire';
import * as judge from './verdict';
import type { Level } from './verdict';

export interface Part {
  /** As `Trouble.place` has it. */
  id: string;
  column: 'sources' | 'gate' | 'spool' | 'followers' | 'ends';
  name: string;
  lines: string[];
  level: Level;
  /** How full it is; null: nothing that fills. */
  fill: number | null;
  /** The state of its breaker, drawn as a lamp. */
  breaker: BreakerState | null;
}

export interface Flow {
  from: string;
  to: string;
  /** What flows, or how late it is. */
  text: string;
  /** Anything flows: the arrow moves. */
  moving: boolean;
  level: Level;
}

export interface Picture {
  parts: Part[];
  flows: Flow[];
}

/** Whether it tells of all devices, as it does to who reaches them. */
export const isWhole = (status: Status): status is WholeStatus => status.ledger !== undefined;

/** `before`: an earlier status, for rates of what is only counted. */
export function pictureOf(status: WholeStatus, before: WholeStatus | null): Picture {
  const brokers = status.intake.mqtt ?? [];
  const rate = Math.round(status.intake.samples_per_s);
  const refused = refusedPerSecond(status, before);
  const samples = say('pipeline.samples_rate', { n: rate });
  const parts: Part[] = [
    part('clients', 'sources', say('pipeline.clients'), [say('pipeline.connections', { n: status.intake.connections })]),
    ...brokers.map((broker) =>
      part(`broker ${broker.name}`, 'sources', say('pipeline.broker', { name: broker.name }), [stateWord(broker)], judge.brokerLevel(broker)),
    ),
    gate(status),
    spool(status),
    live(status),
    ...status.sinks.map(sinkPart),
    viewers(status),
  ];
  const flows: Flow[] = [
    {
      ...flow('clients', 'intake', say('pipeline.batches_rate', { n: Math.round(status.intake.batches_per_s) })),
      moving: status.intake.batches_per_s > 0,
    },
    ...brokers.map((broker) => ({
      ...flow(`broker ${broker.name}`, 'intake', say('pipeline.messages_rate', { n: Math.round(broker.messages_per_s) })),
      moving: broker.messages_per_s > 0,
      level: judge.brokerLevel(broker),
    })),
    {
      ...flow('intake', 'spool', refused > 0 ? `${samples}, ${say('pipeline.refused_rate', { n: refused })}` : samples),
      moving: rate > 0,
      level: refused > 0 ? 'watch' : 'well',
    },
    { ...flow('spool', 'live', lagText(status.live.lag_s)), moving: rate > 0, level: judge.liveLagLevel(status.live.lag_s) },
    ...status.sinks.map((sink) => ({
      ...flow('spool', `sink ${sink.name}`, say('pipeline.samples_rate', { n: writtenPerSecond(sink, status, before) })),
      moving: writtenPerSecond(sink, status, before) > 0,
      level: judge.breakerLevel(breakerState(sink)),
    })),
    { ...flow('live', 'viewers', framesText(status)), moving: watching(status) > 0 },
  ];
  return { parts, flows };
}

function part(id: string, column: Part['column'], name: string, lines: string[], level: Level = 'well'): Part {
  return { id, column, name, lines: lines.filter((line) => line !== ''), level, fill: null, breaker: null };
}

const flow = (from: string, to: string, text: string): Flow => ({ from, to, text, moving: true, level: 'well' });

function gate(status: Status): Part {
  const of = tightest(status);
  const lines = [
    say('pipeline.pressure', { percent: percent(status.pressure) }),
    of === null ? '' : say('pipeline.tightest', { of }),
  ];
  const level = status.trouble != null ? 'bad' : judge.pressureLevel(status.pressure);
  return { ...part('intake', 'gate', say('pipeline.gate'), lines, level), fill: status.pressure };
}

function spool(status: Status): Part {
  const { bytes: used, bytes_max, oldest_s } = status.spool;
  const lines = [
    bytes_max > 0 ? say('pipeline.spool_of', { bytes: bytes(used), max: bytes(bytes_max) }) : bytes(used),
    oldest_s === null ? '' : say('pipeline.spool_oldest', { span: span(oldest_s) }),
  ];
  return { ...part('spool', 'spool', say('pipeline.spool'), lines, judge.spoolLevel(status)), fill: judge.spoolFill(status) };
}

function live({ live: { series, lag_s } }: WholeStatus): Part {
  return part('live', 'followers', say('pipeline.live'), [say('pipeline.series', { n: series })], judge.liveLagLevel(lag_s));
}

function sinkPart(sink: SinkStatus): Part {
  const letters = sink.dead_letters?.letters ?? 0;
  const state = breakerState(sink);
  const lines = [
    say('pipeline.breaker', { state: breakerWord(state) }),
    lagText(sink.live_lag_s ?? sink.lag_s ?? 0),
    letters > 0 ? lettersText(letters) : '',
  ];
  return { ...part(`sink ${sink.name}`, 'followers', say('pipeline.sink', { name: sink.name }), lines, judge.sinkLevel(sink)), breaker: state };
}

const watching = ({ viewers: { ws, sse } }: WholeStatus): number => ws + sse;

function viewers(status: WholeStatus): Part {
  const { ws, sse, degraded } = status.viewers;
  const lines = [
    say('pipeline.viewers_kinds', { ws, sse }),
    degraded > 0 ? say('pipeline.viewers_slow', { n: degraded }) : '',
  ];
  return part('viewers', 'ends', say('pipeline.viewers'), lines);
}

const framesText = (status: Status): string => say('pipeline.tick', { ms: status.tick_ms });

const lagText = (lag_s: number): string => say('pipeline.lag', { span: lag(lag_s) });

/** The history does not tell its rate, only what it has written. */
function writtenPerSecond(sink: SinkStatus, status: Status, before: Status | null): number {
  if (sink.samples_per_s != null) return Math.round(sink.samples_per_s);
  const was = before?.sinks.find(({ name }) => name === sink.name);
  const written = sink.written ?? 0;
  return perSecond(written - (was?.written ?? written), status, before);
}

function refusedPerSecond(status: WholeStatus, before: WholeStatus | null): number {
  return perSecond(status.ledger.refused - (before?.ledger.refused ?? status.ledger.refused), status, before);
}

/** Counts of a daemon that was started anew begin anew. */
function perSecond(counted: number, status: Status, before: Status | null): number {
  const passed = before === null ? 0 : (status.time - before.time) / 1000;
  if (before === null || passed <= 0 || status.uptime_s < before.uptime_s) return 0;
  return Math.max(0, Math.round(counted / passed));
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Layout {
  width: number;
  height: number;
  boxes: Map<string, Box>;
}

const COLUMNS: readonly Part['column'][] = ['sources', 'gate', 'spool', 'followers', 'ends'];
const GAP = 18;
const HEAD = 40;
const LINE = 20;
const BAR = 16;

export const heightOf = (part: Part): number => HEAD + part.lines.length * LINE + (part.fill === null ? 0 : BAR);

/** Columns from left to right; each column's parts stand in its middle. */
export function wideLayout(parts: readonly Part[]): Layout {
  const widths: Record<Part['column'], number> = { sources: 190, gate: 190, spool: 210, followers: 210, ends: 200 };
  const room = 150;
  const columns = COLUMNS.map((column) => parts.filter((part) => part.column === column));
  const heights = columns.map((column) => column.reduce((sum, part) => sum + heightOf(part) + GAP, -GAP));
  const height = Math.max(...heights) + 2;
  const boxes = new Map<string, Box>();
  let x = 1;
  COLUMNS.forEach((column, at) => {
    const live = columns[3]!.find(({ id }) => id === 'live');
    // Viewers stand beside what they look at, which is the first of the followers.
    let y = column === 'ends' && live !== undefined ? boxes.get('live')!.y : (height - heights[at]!) / 2;
    for (const part of columns[at]!) {
      boxes.set(part.id, { x, y, width: widths[column], height: heightOf(part) });
      y += heightOf(part) + GAP;
    }
    x += widths[column] + room;
  });
  return { width: x - room + 1, height, boxes };
}

/** One below the other, with room for what flows between them; followers are set in, along one line from the spool. */
export function narrowLayout(parts: readonly Part[]): Layout {
  const width = 360;
  const inset = 34;
  const boxes = new Map<string, Box>();
  let y = 1;
  for (const column of COLUMNS) {
    for (const part of parts.filter((one) => one.column === column)) {
      if (column === 'ends') continue;
      const follows = column === 'followers';
      if (follows || column !== 'sources') y += 34;
      const x = follows ? inset : 1;
      boxes.set(part.id, { x, y, width: width - x - 1, height: heightOf(part) });
      y += heightOf(part) + (column === 'sources' ? 6 : 0);
      // What ends the line of live stands under live, not under the last sink.
      if (part.id !== 'live') continue;
      for (const end of parts.filter((one) => one.column === 'ends')) {
        y += 34;
        boxes.set(end.id, { x: inset * 2, y, width: width - inset * 2 - 1, height: heightOf(end) });
        y += heightOf(end);
      }
    }
  }
  return { width, height: y + 1, boxes };
}
