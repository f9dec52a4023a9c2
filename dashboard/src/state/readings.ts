// The readings of a dead letter, exactly as the daemon wrote them. Pure. A number is kept as it is written: `71`
// and `71.0` are two types, which is what a store may have refused them for, and 2^53 + 1 is not 2^53.

import { clock } from '../text/format';
import type { DeadLetter, Tags } from '../wire';

export interface Reading {
  /** In ns since 1970. */
  time: string;
  tags: Tags;
  values: Record<string, Written>;
}
/** A number or truth value as it is written, or a text. */
export type Written = { plain: string } | { text: string };
export type FullLetter = DeadLetter & { readings: Reading[] };

/** The answer of `GET /api/v1/dead-letters/{id}`. */
export function letterOf(answer: string): FullLetter {
  const letter = JSON.parse(answer) as DeadLetter & { readings: { time: string; tags?: Tags }[] };
  const exact = JSON.parse(numbersAsWritten(answer)) as { readings: { values: Record<string, unknown> }[] };
  const readings = letter.readings.map((reading, i) => ({
    time: reading.time,
    tags: reading.tags ?? {},
    values: Object.fromEntries(Object.entries(exact.readings[i]!.values).map(([metric, it]) => [metric, written(it)])),
  }));
  return { ...letter, readings };
}

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** JSON in which each number stands as `{"plain":"71.0"}`: values are never objects, so nothing else looks like it. */
function numbersAsWritten(json: string): string {
  return json.replace(STRING_OR_NUMBER, (token) => (token.startsWith('"') ? token : `{"plain":"${token}"}`));
}

function written(it: unknown): Written {
  if (typeof it === 'string') return { text: it };
  return typeof it === 'object' && it !== null ? (it as Written) : { plain: String(it) };
}

/** The viewer's own day and time with all nine digits of the second. */
export function exactClock(ns: string): string {
  const digits = /^\d+$/.test(ns) ? ns.padStart(10, '0') : '';
  if (digits === '') return ns;
  const ms = Number(digits.slice(0, -6));
  return `${clock(ms, NEVER)}.${digits.slice(-9)}`;
}

/** A day that no reading is of: the day is always written. */
const NEVER = -8.64e15;
