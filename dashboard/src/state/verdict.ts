// The one sentence an operator wants first: is all well, and if not, what is worst. Pure.

import type { Status } from '../wire';
import { bytes, count, percent, span } from '../text/format';

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

export function pressureLevel(pressure: number): Level {
  return grade(pressure, PRESSURE_WATCH, PRESSURE_BAD);
}
export function spoolLevel(status: Status): Level {
  return grade(spoolFill(status) ?? 0, SPOOL_WATCH, SPOOL_BAD);
}
export function sinkLagLevel(lag_s: number | null): Level {
  return grade(lag_s ?? 0, SINK_LAG_WATCH_S, SINK_LAG_BAD_S);
}
export function liveLagLevel(lag_s: number): Level {
  return grade(lag_s, LIVE_LAG_WATCH_S, Infinity);
}
export function breakerLevel(breaker: string): Level {
  return breaker === 'closed' ? 'well' : breaker === 'half_open' ? 'watch' : 'bad';
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
  for (const sink of status.sinks) {
    const cause = sink.cause === null ? '' : `: ${sink.cause}`;
    if (sink.breaker === 'half_open') add('watch', `${sink.name} is being probed${cause}`);
    else add(breakerLevel(sink.breaker), `${sink.name} is cut off${cause}`);
  }
  add(pressureLevel(status.pressure), `Intake is throttled, pressure ${percent(status.pressure)}`);
  add(spoolLevel(status), `Spool ${percent(spoolFill(status))} full, ${bytes(status.spool.bytes)}`);
  for (const sink of status.sinks) add(sinkLagLevel(sink.lag_s), `${sink.name} is ${span(sink.lag_s)} behind`);
  add(liveLagLevel(status.live.lag_s), `Live is ${span(status.live.lag_s)} behind`);
  if (status.ledger.dead_lettered > 0) add('watch', `${count(status.ledger.dead_lettered)} samples in dead letters`);
  return found.sort((a, b) => Number(b.level === 'bad') - Number(a.level === 'bad'));
}

/** `lost_s`: for how long there has been no link, null while there is one. */
export function verdict(status: Status | null, lost_s: number | null): Verdict {
  if (lost_s !== null) return { level: 'bad', text: `No link: what you see is ${span(lost_s)} old` };
  if (status === null) return { level: 'watch', text: 'Waiting for the daemon’s first word' };
  const [worst, ...others] = troubles(status);
  if (worst === undefined) return { level: 'well', text: 'All well' };
  return others.length === 0 ? worst : { level: worst.level, text: `${worst.text} (+${others.length} more)` };
}
