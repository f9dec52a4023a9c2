// The one sentence an operator wants first: is all well, and if not, what is worst. Pure.

import type { BrokerStatus, SinkStatus, Status } from '../wire';
import { bytes, percent, span } from '../text/format';
import { type PlainKey, say } from '../text/say';
import { about, breakerState, type BreakerState, hasBacklog, imbalances, lettersText, tightest } from '../text/sinks';

export type Level = 'well' | 'watch' | 'bad';
export interface Verdict {
  level: Level;
  text: string;
}
/** Something that is not as it should be, and what can be done. */
export interface Trouble extends Verdict {
  advice: string | null;
  /** What part of the pipeline it is in: `spool`, `live`, `intake`, `sink NAME`, `broker NAME`, `ledger`. */
  place: string;
}

const PRESSURE_WATCH = 0.6;
const PRESSURE_BAD = 0.9;
const SPOOL_WATCH = 0.7;
const SPOOL_BAD = 0.9;
const SINK_LAG_WATCH_S = 30;
const SINK_LAG_BAD_S = 300;
const LIVE_LAG_WATCH_S = 5;
const CONNECTING_WATCH_S = 10;
const AWAY_BAD_S = 30;
const FULL_WATCH_S = 6 * 3600;
const FULL_BAD_S = 15 * 60;

export function pressureLevel(pressure: number): Level {
  return grade(pressure, PRESSURE_WATCH, PRESSURE_BAD);
}
export function spoolLevel(status: Status): Level {
  return worse(spoolFillLevel(status), spoolFullLevel(status));
}
export function spoolFillLevel(status: Status): Level {
  return grade(spoolFill(status) ?? 0, SPOOL_WATCH, SPOOL_BAD);
}
function spoolFullLevel(status: Status): Level {
  const { full_in_s } = status.spool;
  return full_in_s == null ? 'well' : full_in_s <= FULL_BAD_S ? 'bad' : full_in_s <= FULL_WATCH_S ? 'watch' : 'well';
}
export function sinkLagLevel(lag_s: number | null): Level {
  return grade(lag_s ?? 0, SINK_LAG_WATCH_S, SINK_LAG_BAD_S);
}
export function liveLagLevel(lag_s: number): Level {
  return grade(lag_s, LIVE_LAG_WATCH_S, Infinity);
}
export function breakerLevel(breaker: BreakerState): Level {
  return breaker === 'closed' ? 'well' : breaker === 'open' ? 'bad' : 'watch';
}
/** Old data that is on its way is worth a look; what comes late now is worse. */
function lagLevel(sink: SinkStatus): Level {
  return isDraining(sink) ? worse('watch', sinkLagLevel(sink.live_lag_s)) : sinkLagLevel(sink.lag_s);
}
const isDraining = (sink: SinkStatus): boolean => hasBacklog(sink) && sink.drain_eta_s != null;
/** Of all that a sink tells of itself. */
export function sinkLevel(sink: SinkStatus): Level {
  const left: Level = (sink.dead_letters?.letters ?? 0) > 0 ? 'watch' : 'well';
  const off: Level = (sink.imbalance ?? 0) === 0 ? 'well' : 'bad';
  return [breakerLevel(breakerState(sink)), lagLevel(sink), left, off].reduce(worse);
}
/** A broker that goes for a moment is worth a look; one that stays away keeps what is published from us. */
export function brokerLevel(broker: BrokerStatus): Level {
  switch (broker.state) {
    case 'connected':
      return 'well';
    case 'connecting':
      return broker.state_s >= CONNECTING_WATCH_S ? 'watch' : 'well';
    case 'away':
      return broker.state_s >= AWAY_BAD_S ? 'bad' : 'watch';
    case 'refused':
      return 'bad';
    default:
      return 'watch';
  }
}
export function worse(a: Level, b: Level): Level {
  return a === 'bad' || b === 'bad' ? 'bad' : a === 'watch' || b === 'watch' ? 'watch' : 'well';
}

/** Share of the spool's room that is taken; null where it has no limit. */
export function spoolFill(status: Status): number | null {
  return status.spool.bytes_max > 0 ? status.spool.bytes / status.spool.bytes_max : null;
}

function grade(value: number, watch: number, bad: number): Level {
  return value >= bad ? 'bad' : value >= watch ? 'watch' : 'well';
}

/** Everything that is not as it should be, worst first. */
export function troubles(status: Status): Trouble[] {
  const found: Trouble[] = [];
  const add = (level: Level, place: string, text: string, advice: PlainKey | null): void => {
    if (level !== 'well') found.push({ level, text, place, advice: advice === null ? null : say(advice) });
  };
  if (status.trouble != null) add('bad', 'intake', say('verdict.no_batch', { why: status.trouble }), 'verdict.no_batch_do');
  if (status.ledger?.balanced === false) add('bad', 'ledger', say('verdict.ledger'), 'verdict.ledger_do');
  for (const off of imbalances(status.sinks)) add('bad', 'ledger', say('verdict.ledger_of', { off }), 'verdict.ledger_do');
  for (const sink of status.sinks) {
    const state = breakerState(sink);
    if (state !== 'closed') add(worse(breakerLevel(state), lagLevel(sink)), `sink ${sink.name}`, cutOff(sink, state), `verdict.cut_${state}_do`);
  }
  for (const broker of status.intake?.mqtt ?? []) {
    add(brokerLevel(broker), `broker ${broker.name}`, brokerText(broker), brokerAdvice(broker));
  }
  add(pressureLevel(status.pressure), 'intake', throttledText(status), 'verdict.throttled_do');
  add(spoolLevel(status), 'spool', spoolText(status), 'verdict.spool_do');
  for (const sink of status.sinks) {
    if (isCutOff(sink)) continue;
    const advice = isDraining(sink) ? 'verdict.draining_do' : 'verdict.behind_do';
    add(lagLevel(sink), `sink ${sink.name}`, behindText(sink), advice);
  }
  add(liveLagLevel(status.live.lag_s), 'live', say('verdict.live', { span: span(status.live.lag_s) }), 'verdict.live_do');
  for (const sink of status.sinks) {
    const letters = sink.dead_letters?.letters ?? 0;
    if (letters === 0) continue;
    const text = say('verdict.letters', { sink: sink.name, letters: lettersText(letters) });
    add('watch', `sink ${sink.name}`, text, 'verdict.letters_do');
  }
  const told = status.sinks.reduce((sum, sink) => sum + (sink.dead_letters === undefined ? 0 : (sink.dead_lettered ?? 0)), 0);
  const refused = status.ledger?.dead_lettered ?? 0;
  if (refused > told) add('watch', 'ledger', say('verdict.letters_other', { n: refused - told }), null);
  return found.sort((a, b) => Number(b.level === 'bad') - Number(a.level === 'bad'));
}

const isCutOff = (sink: SinkStatus): boolean => breakerState(sink) !== 'closed';

/** Its lag is a consequence, so it is told along, not on its own. */
function cutOff(sink: SinkStatus, state: Exclude<BreakerState, 'closed'>): string {
  const cause = sink.cause == null || sink.held ? '' : say('verdict.cut_cause', { cause: sink.cause });
  const lag = sinkLagLevel(sink.lag_s) === 'well' ? '' : say('verdict.cut_lag', { span: span(sink.lag_s) });
  return say(`verdict.cut_${state}`, { sink: sink.name, more: lag + cause });
}

const BROKER_STATES = ['connecting', 'away', 'holding', 'refused'] as const;

function brokerText(broker: BrokerStatus): string {
  const known = BROKER_STATES.find((state) => state === broker.state);
  const state = known === undefined ? say('verdict.broker_other', { state: broker.state }) : say(`verdict.broker_${known}`);
  const more = broker.cause === null ? '' : say('verdict.cut_cause', { cause: broker.cause });
  return say('verdict.broker', { name: broker.name, state, more });
}

function brokerAdvice({ state }: BrokerStatus): PlainKey | null {
  if (state === 'holding' || state === 'refused') return `verdict.broker_${state}_do`;
  return state === 'away' || state === 'connecting' ? 'verdict.broker_away_do' : null;
}

function throttledText(status: Status): string {
  const of = tightest(status);
  const told = of === null ? '' : say('verdict.of', { of });
  return say('verdict.throttled', { percent: percent(status.pressure), of: told });
}

function spoolText(status: Status): string {
  const soon = spoolFullLevel(status) === 'well' ? '' : say('verdict.spool_soon', { span: about(status.spool.full_in_s) });
  return say('verdict.spool', { percent: percent(spoolFill(status)), bytes: bytes(status.spool.bytes), soon });
}

function behindText(sink: SinkStatus): string {
  const told = { sink: sink.name, span: span(sink.lag_s) };
  if (!isDraining(sink)) return say('verdict.behind', told);
  return say('verdict.draining', { ...told, eta: about(sink.drain_eta_s) });
}

/** What rules found. The daemon's own troubles come before it: they say why. */
function alertsVerdict({ alerts }: Status): Verdict {
  const { critical = 0, firing = 0 } = alerts ?? {};
  if (critical > 0) return { level: 'bad', text: say('verdict.critical', { n: critical }) };
  if (firing > 0) return { level: 'watch', text: say('verdict.firing', { n: firing }) };
  return { level: 'well', text: say('verdict.well') };
}

/** `lost_s`: for how long there has been no link, null while there is one. */
export function verdict(status: Status | null, lost_s: number | null): Verdict {
  if (lost_s !== null) return { level: 'bad', text: say('verdict.no_link', { span: span(lost_s) }) };
  if (status === null) return { level: 'watch', text: say('verdict.waiting') };
  const [worst, ...others] = troubles(status);
  const alerts = alertsVerdict(status);
  if (worst === undefined) return alerts;
  if (worst.level !== 'bad' && alerts.level === 'bad') return alerts;
  return others.length === 0 ? { level: worst.level, text: worst.text } : { level: worst.level, text: say('verdict.more', { text: worst.text, n: others.length }) };
}
