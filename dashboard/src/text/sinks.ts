// What a sink, the spool and the ledger have to say, in words. Pure.

import type { BreakerAction, DeadLetters, Ledger, SinkStatus, Status, Which } from '../wire';
import { bytes, count, lag, span, UNKNOWN } from './format';

export type BreakerState = SinkStatus['breaker'] | 'held';

/** A held breaker is open too, but by an operator's will. */
export function breakerState(sink: SinkStatus): BreakerState {
  return sink.held ? 'held' : sink.breaker;
}

export const BREAKER_WORDS: Record<BreakerState, string> = {
  closed: 'closed',
  open: 'open',
  half_open: 'half-open',
  held: 'held',
};

/** What that means for the data, as a sentence without its full stop; nothing while all is well. */
export function breakerMeaning(sink: SinkStatus): string | null {
  switch (breakerState(sink)) {
    case 'closed':
      return null;
    case 'open':
      return 'Nothing is written; samples wait in the spool';
    case 'half_open':
      return 'One request tries whether the sink takes data again';
    case 'held':
      return 'Held by an operator: nothing is written until it is released; samples wait in the spool';
  }
}

/** `age_s`: how long ago the status was told; the time to a probe passes without another word. */
export function nextProbe(sink: SinkStatus, age_s: number): string | null {
  if (sink.next_probe_s == null || sink.held || sink.breaker !== 'open') return null;
  const left = Math.ceil(sink.next_probe_s - age_s);
  return left > 0 ? `next probe in ${span(left)}` : 'next probe now';
}

/** The actions that would change something, and what each does. */
export function actionsOf(sink: SinkStatus): BreakerAction[] {
  if (sink.requests === undefined) return [];
  const state = breakerState(sink);
  if (state === 'held') return ['release'];
  return state === 'open' ? ['probe', 'hold'] : ['hold'];
}

export const ACTION_WORDS: Record<BreakerAction, string> = { hold: 'Hold', probe: 'Probe now', release: 'Release' };

export const ACTION_DOES: Record<BreakerAction, string> = {
  hold: 'stops writing to it until somebody releases it',
  probe: 'tries one request at once instead of waiting',
  release: 'tries one request; if that is stored, writing goes on',
};

/** What a hold costs, for whoever is about to do it. */
export function holdConsequence(status: Status): string {
  const { full_in_s, bytes: used, bytes_max } = status.spool;
  const room = bytes_max > 0 ? `${bytes(Math.max(0, bytes_max - used))} are free` : 'it has no limit';
  const when = full_in_s == null ? '' : `; at this rate it is full in ${about(full_in_s)}`;
  const full = 'When it is full, producers are told to wait, or the oldest samples are shed if that is configured';
  return `Samples pile up in the spool: ${room}${when}. ${full}.`;
}

/** How far behind: one figure, or the live lag where a backlog is told of on its own. */
export function behind(sink: SinkStatus): string {
  if (hasBacklog(sink)) return `live ${lag(sink.live_lag_s)} behind`;
  const samples = sink.lag_samples == null || sink.lag_samples === 0 ? '' : `, ${samplesText(sink.lag_samples)}`;
  return `${lag(sink.lag_s)} behind${samples}`;
}

export function hasBacklog(sink: SinkStatus): boolean {
  return (sink.backlog_samples ?? 0) > 0;
}

/** The backlog with its age and when it will be drained; null where there is none. */
export function backlog(sink: SinkStatus): string | null {
  if (!hasBacklog(sink)) return null;
  return `backlog of ${samplesText(sink.backlog_samples)}, oldest ${span(sink.lag_s)}, ${drained(sink)}`;
}

function drained(sink: SinkStatus): string {
  if (sink.drain_eta_s != null) return `drained in ${about(sink.drain_eta_s)}`;
  return breakerState(sink) === 'closed' ? 'not shrinking' : 'waits for the breaker';
}

/** An estimate has one unit where two would pretend to know. */
export function about(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return UNKNOWN;
  if (seconds < 1) return '< 1 s';
  const [unit, width] = ESTIMATES.find(([, width]) => seconds >= width * 2) ?? (['s', 1] as const);
  return `${count(Math.round(seconds / width))} ${unit}`;
}

const ESTIMATES = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
] as const;

export function requests(sink: SinkStatus): string | null {
  if (sink.requests === undefined) return null;
  const { under_way, allowed } = sink.requests;
  return `${count(under_way)} of ${count(allowed)} ${allowed === 1 ? 'request' : 'requests'}`;
}

/** What a sink gets, where that is not every sample. */
export function rollups(sink: SinkStatus): string | null {
  if (sink.send !== 'rollups') return null;
  const late = sink.late ? `, ${samplesText(sink.late)} came late` : '';
  return `rollups of ${span(sink.rollup_window_s)}${late}`;
}

export const samplesText = (n: number | null | undefined): string => `${count(n)} ${n === 1 ? 'sample' : 'samples'}`;
export const lettersText = (n: number | null | undefined): string =>
  n === 0 ? 'no dead letters' : `${count(n)} dead ${n === 1 ? 'letter' : 'letters'}`;

const RESOURCES: Record<string, string> = {
  spool: 'the spool',
  spool_bytes: 'the spool',
  disk: 'free disk space',
  disk_free: 'free disk space',
  memory: 'memory',
  gate: 'the gate’s queue',
  gate_queue: 'the gate’s queue',
};

/** The tightest resource, as far as the daemon names it. */
export function tightest(status: Status): string | null {
  const name = status.pressure_of;
  return name == null || name === '' ? null : (RESOURCES[name] ?? name.replaceAll('_', ' '));
}

export function spoolFull(status: Status): string | null {
  const { full_in_s } = status.spool;
  return full_in_s == null ? null : `full in ${about(full_in_s)} at this rate`;
}

/** The parts whose sum must be what was accepted. */
export function ledgerParts(ledger: Ledger): [name: string, samples: number][] {
  return [
    ['stored', ledger.stored],
    ['spooled', ledger.spooled],
    ['dead-lettered', ledger.dead_lettered],
    ['shed', ledger.shed],
    ['live only', ledger.skipped],
  ];
}

/** Each sink whose own counts do not add up. */
export function imbalances(sinks: readonly SinkStatus[]): string[] {
  return sinks
    .filter((sink) => (sink.imbalance ?? 0) !== 0)
    .map((sink) => `${sink.name}: ${samplesText(Math.abs(sink.imbalance))} ${sink.imbalance > 0 ? 'too few' : 'too many'}`);
}

/** What an order is for: "3 dead letters", "all 120 dead letters of influx". `held`: the total where it is not counted. */
export function scope(which: Which, held: number): string {
  if ('ids' in which) return lettersText(which.ids.length);
  const all = held === 1 ? 'the only dead letter' : `all ${lettersText(held)}`;
  return 'sink' in which ? `${all} of ${which.sink}` : all;
}

/** What is held, and what became of the others. */
export function totalsText(totals: DeadLetters['totals']): string[] {
  const past = (['replayed', 'dropped', 'shed'] as const).filter((name) => totals[name] > 0);
  const held = `${lettersText(totals.letters)}, ${samplesText(totals.samples)}, ${bytes(totals.bytes)}`;
  return [
    ...(totals.letters > 0 ? [held] : []),
    ...past.map((name) => `${samplesText(totals[name])} ${name}`),
  ];
}
