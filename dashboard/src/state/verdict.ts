// The one sentence an operator wants first: is all well, and if not, what is worst. Pure.

import type { BrokerStatus, SinkStatus, Status } from '../wire';
import { bytes, count, percent, span } from '../text/format';
import { about, breakerState, type BreakerState, hasBacklog, imbalances, lettersText, tightest } from '../text/sinks';

export type Level = 'well' | 'watch' | 'bad';
export interface Verdict {
  level: Level;
  text: string;
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
export function troubles(status: Status): Verdict[] {
  const found: Verdict[] = [];
  const add = (level: Level, text: string): void => {
    if (level !== 'well') found.push({ level, text });
  };
  if (status.trouble != null) add('bad', `No batch is accepted: ${status.trouble}`);
  if (!status.ledger.balanced) add('bad', 'The ledger does not balance');
  for (const off of imbalances(status.sinks)) add('bad', `The ledger of ${off}`);
  for (const sink of status.sinks) if (isCutOff(sink)) add(worse(breakerLevel(breakerState(sink)), lagLevel(sink)), cutOff(sink));
  for (const broker of status.intake.mqtt ?? []) add(brokerLevel(broker), brokerText(broker));
  const of = tightest(status);
  add(pressureLevel(status.pressure), `Intake is throttled, pressure ${percent(status.pressure)}${of === null ? '' : ` of ${of}`}`);
  add(spoolLevel(status), spoolText(status));
  for (const sink of status.sinks) if (!isCutOff(sink)) add(lagLevel(sink), behindText(sink));
  add(liveLagLevel(status.live.lag_s), `Live is ${span(status.live.lag_s)} behind`);
  for (const sink of status.sinks) {
    const letters = sink.dead_letters?.letters ?? 0;
    if (letters > 0) add('watch', `${sink.name} has ${lettersText(letters)}`);
  }
  const told = status.sinks.reduce((sum, sink) => sum + (sink.dead_letters === undefined ? 0 : sink.dead_lettered), 0);
  if (status.ledger.dead_lettered > told) {
    add('watch', `${count(status.ledger.dead_lettered - told)} samples in dead letters`);
  }
  return found.sort((a, b) => Number(b.level === 'bad') - Number(a.level === 'bad'));
}

const isCutOff = (sink: SinkStatus): boolean => breakerState(sink) !== 'closed';

/** Its lag is a consequence, so it is told along, not on its own. */
function cutOff(sink: SinkStatus): string {
  const cause = sink.cause == null || sink.held ? '' : `: ${sink.cause}`;
  const lag = sinkLagLevel(sink.lag_s) === 'well' ? '' : `, ${span(sink.lag_s)} behind`;
  const state = { held: 'is held by an operator', half_open: 'is being probed', open: 'is cut off', closed: '' };
  return `${sink.name} ${state[breakerState(sink)]}${lag}${cause}`;
}

function brokerText(broker: BrokerStatus): string {
  const states = { connecting: 'is not connected yet', away: 'is away', holding: 'has to wait', refused: 'refuses us' };
  const state = states[broker.state as keyof typeof states] ?? `is ${broker.state}`;
  return `Broker ${broker.name} ${state}${broker.cause === null ? '' : `: ${broker.cause}`}`;
}

function spoolText(status: Status): string {
  const soon = spoolFullLevel(status) === 'well' ? '' : `, full in ${about(status.spool.full_in_s)}`;
  return `Spool ${percent(spoolFill(status))} full, ${bytes(status.spool.bytes)}${soon}`;
}

function behindText(sink: SinkStatus): string {
  if (!isDraining(sink)) return `${sink.name} is ${span(sink.lag_s)} behind`;
  return `${sink.name} drains a backlog of ${span(sink.lag_s)}, done in ${about(sink.drain_eta_s)}`;
}

/** `lost_s`: for how long there has been no link, null while there is one. */
export function verdict(status: Status | null, lost_s: number | null): Verdict {
  if (lost_s !== null) return { level: 'bad', text: `No link: what you see is ${span(lost_s)} old` };
  if (status === null) return { level: 'watch', text: 'Waiting for the daemon’s first word' };
  const [worst, ...others] = troubles(status);
  if (worst === undefined) return { level: 'well', text: 'All well' };
  return others.length === 0 ? worst : { level: worst.level, text: `${worst.text} (+${others.length} more)` };
}
