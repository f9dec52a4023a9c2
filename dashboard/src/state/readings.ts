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

interface Source {
  source?: string;
}

/** A reading of `GET /api/v1/dead-letters/{id}` as text. */
export function letterOf(answer: string): FullLetter {
  const letter = JSON.parse(answer) as DeadLetter & { readings: { time: string; tags?: Tags; values: object }[] };
  const exact = (JSON.parse as (text: string, reviver: (key: string, value: unknown, from?: Source) => unknown) => unknown)(
    answer,
    (_, value, from) => (typeof value === 'number' ? new Plain(from?.source ?? String(value)) : value),
  ) as { readings: { values: Record<string, unknown> }[] };
  const readings = letter.readings.map((reading, i) => ({
    time: String(reading.time),
    tags: reading.tags ?? {},
    values: Object.fromEntries(Object.entries(exact.readings[i]!.values).map(([metric, it]) => [metric, written(it)])),
  }));
  return { ...letter, readings };
}

class Plain {
  constructor(readonly source: string) {}
}

function written(it: unknown): Written {
  if (it instanceof Plain) return { plain: it.source };
  return typeof it === 'string' ? { text: it } : { plain: String(it) };
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
