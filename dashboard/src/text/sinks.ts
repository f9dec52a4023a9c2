// What a sink, the spool and the ledger have to say, in words. Pure.

import type { BreakerAction, DeadLetters, Ledger, SinkStatus, Status, Which } from '../wire';
import { bytes, count, lag, span, UNKNOWN } from './format';
import { type PlainKey, say } from './say';

export type BreakerState = SinkStatus['breaker'] | 'held';

/** A held breaker is open too, but by an operator's will. */
export function breakerState(sink: SinkStatus): BreakerState {
  return sink.held ? 'held' : sink.breaker;
}

export const breakerWord = (state: BreakerState): string => say(`sinks.state_${state}`);

/** What that means for the data, as a sentence without its full stop; nothing while all is well. */
export function breakerMeaning(sink: SinkStatus): string | null {
  const state = breakerState(sink);
  return state === 'closed' ? null : say(`sinks.means_${state}`);
}

/** `age_s`: how long ago the status was told; the time to a probe passes without another word. */
export function nextProbe(sink: SinkStatus, age_s: number): string | null {
  if (sink.next_probe_s == null || sink.held || sink.breaker !== 'open') return null;
  const left = Math.ceil(sink.next_probe_s - age_s);
  return left > 0 ? say('sinks.probe_in', { span: span(left) }) : say('sinks.probe_now');
}

/** The actions that would change something, and what each does. */
export function actionsOf(sink: SinkStatus): BreakerAction[] {
  if (sink.requests === undefined) return [];
  const state = breakerState(sink);
  if (state === 'held') return ['release'];
  return state === 'open' ? ['probe', 'hold'] : ['hold'];
}

export const actionWord = (action: BreakerAction): string => say(`sinks.action_${action}`);
export const actionDoes = (action: BreakerAction): string => say(`sinks.does_${action}`);

/** What a hold costs, for whoever is about to do it. */
export function holdConsequence(status: Status): string {
  const { full_in_s, bytes: used, bytes_max } = status.spool;
  const free = bytes(Math.max(0, bytes_max - used));
  const room = bytes_max > 0 ? say('sinks.hold_free', { bytes: free }) : say('sinks.hold_endless');
  const when = full_in_s == null ? '' : say('sinks.hold_when', { span: about(full_in_s) });
  return say('sinks.hold_room', { room, when, full: say('sinks.hold_full') });
}

/** How far behind: one figure, or the live lag where a backlog is told of on its own. */
export function behind(sink: SinkStatus): string {
  if (hasBacklog(sink)) return say('sinks.live_behind', { lag: lag(sink.live_lag_s) });
  const samples = sink.lag_samples == null || sink.lag_samples === 0 ? '' : `, ${samplesText(sink.lag_samples)}`;
  return say('sinks.behind', { lag: lag(sink.lag_s), samples });
}

export function hasBacklog(sink: SinkStatus): boolean {
  return (sink.backlog_samples ?? 0) > 0;
}

/** The backlog with its age and when it will be drained; null where there is none. */
export function backlog(sink: SinkStatus): string | null {
  if (!hasBacklog(sink)) return null;
  const samples = samplesText(sink.backlog_samples);
  return say('sinks.backlog', { samples, span: span(sink.lag_s), drained: drained(sink) });
}

function drained(sink: SinkStatus): string {
  if (sink.drain_eta_s != null) return say('sinks.drained_in', { span: about(sink.drain_eta_s) });
  return breakerState(sink) === 'closed' ? say('sinks.not_shrinking') : say('sinks.waits_for_breaker');
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
  return say('sinks.requests', { under_way, n: allowed });
}

/** What a sink gets, where that is not every sample. */
export function rollups(sink: SinkStatus): string | null {
  if (sink.send !== 'rollups') return null;
  const late = sink.late ? say('sinks.rollups_late', { samples: samplesText(sink.late) }) : '';
  return say('sinks.rollups', { span: span(sink.rollup_window_s), late });
}

export const samplesText = (n: number | null | undefined): string =>
  n == null ? say('common.samples', { n: UNKNOWN }) : say('common.samples', { n });
export const lettersText = (n: number | null | undefined): string =>
  n === 0 ? say('sinks.letters_none') : say('sinks.letters', { n: n ?? UNKNOWN });

const RESOURCES: Record<string, PlainKey> = {
  spool: 'sinks.resource_spool',
  spool_bytes: 'sinks.resource_spool',
  disk: 'sinks.resource_disk',
  disk_free: 'sinks.resource_disk',
  memory: 'sinks.resource_memory',
  memory_high: 'sinks.resource_memory',
  gate: 'sinks.resource_gate',
  gate_queue: 'sinks.resource_gate',
};

/** The tightest resource, as far as the daemon names it. */
export function tightest(status: Status): string | null {
  const name = status.pressure_of;
  if (name == null || name === '') return null;
  const known = RESOURCES[name];
  return known === undefined ? name.replaceAll('_', ' ') : say(known);
}

export function spoolFull(status: Status): string | null {
  const { full_in_s } = status.spool;
  return full_in_s == null ? null : say('sinks.full_in', { span: about(full_in_s) });
}

/** The parts whose sum must be what was accepted. */
export function ledgerParts(ledger: Ledger): [name: string, samples: number][] {
  return [
    [say('sinks.ledger_stored'), ledger.stored],
    [say('sinks.ledger_spooled'), ledger.spooled],
    [say('sinks.ledger_dead_lettered'), ledger.dead_lettered],
    [say('sinks.ledger_shed'), ledger.shed],
    [say('sinks.ledger_skipped'), ledger.skipped],
  ];
}

/** Each sink whose own counts do not add up. */
export function imbalances(sinks: readonly SinkStatus[]): string[] {
  return sinks
    .map(({ name, imbalance = 0 }) => ({ name, imbalance }))
    .filter(({ imbalance }) => imbalance !== 0)
    .map(({ name, imbalance }) => {
      const told = { sink: name, samples: samplesText(Math.abs(imbalance)) };
      return imbalance > 0 ? say('sinks.too_few', told) : say('sinks.too_many', told);
    });
}

/** What an order is for: "3 dead letters", "all 120 dead letters of influx". `held`: the total where it is not counted. */
export function scope(which: Which, held: number): string {
  if ('ids' in which) return lettersText(which.ids.length);
  const all = held === 1 ? say('sinks.scope_only') : say('sinks.scope_all', { letters: lettersText(held) });
  return 'sink' in which ? say('sinks.scope_of', { all, sink: which.sink }) : all;
}

/** What is held, and what became of the others. */
export function totalsText(totals: DeadLetters['totals']): string[] {
  const past = (['replayed', 'dropped', 'shed'] as const).filter((name) => totals[name] > 0);
  const held = `${lettersText(totals.letters)}, ${samplesText(totals.samples)}, ${bytes(totals.bytes)}`;
  return [
    ...(totals.letters > 0 ? [held] : []),
    ...past.map((name) => say(`sinks.past_${name}`, { samples: samplesText(totals[name]) })),
  ];
}
