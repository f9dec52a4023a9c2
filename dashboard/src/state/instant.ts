// Reads a time as people type it at night: `14:30`, `yesterday 14:30`, `2026-11-20 14:30:05`, `-2h`, or two of them
// with "to" between. In the viewer's own time zone unless one is written. Pure.

import type { Span } from './span';

export type When = { at: number } | { span: Span };

const TIME = /^(\d{1,2})[:h](\d{2})(?::(\d{2})(?:[.,](\d{1,3}))?)?$/;
const DATE = /^(\d{4})-(\d{1,2})-(\d{1,2})$/;
const RELATIVE = /^-\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d)$/;
const UNIT_MS: Record<string, number> = { s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };
const BETWEEN = /\s+(?:to|until|até|a)\s+|\s*(?:–|—|\.\.\.?)\s*|\s+-\s+/;
/** How many days before today each word means. */
const DAYS: Record<string, number> = { today: 0, hoje: 0, yesterday: 1, ontem: 1 };

/** Null: not understood, or not a time that exists. */
export function parseWhen(text: string, now: number): When | null {
  const parts = text.trim().toLowerCase().split(BETWEEN);
  if (parts.length === 2) {
    const from = instant(parts[0]!, now, null);
    if (from === null) return null;
    const to = instant(parts[1]!, now, from.day ? null : from.at);
    const end = to === null ? null : to.day ? to.at + UNIT_MS['d']! : to.at;
    return end === null || end <= from.at ? null : { span: [from.at, end] };
  }
  if (parts.length !== 1) return null;
  const one = instant(parts[0]!, now, null);
  if (one === null) return null;
  return one.day ? { span: [one.at, new Date(one.at).setHours(24, 0, 0, 0)] } : { at: one.at };
}

interface Instant {
  at: number;
  /** Only a day was named. */
  day: boolean;
}

/** `base`: the instant whose day a bare time belongs to; null: the latest such time that is not after now. */
function instant(text: string, now: number, base: number | null): Instant | null {
  const it = text.trim();
  if (it === 'now' || it === 'agora') return { at: now, day: false };
  const relative = RELATIVE.exec(it);
  if (relative !== null) return { at: now - Number(relative[1]) * UNIT_MS[relative[2]!]!, day: false };
  if (/^\d{10}$/.test(it)) return { at: Number(it) * 1000, day: false };
  if (/^\d{13}$/.test(it)) return { at: Number(it), day: false };
  if (/^\d{19}$/.test(it)) return { at: Number(it.slice(0, 13)), day: false };
  if (/^\d{4}-.*\d(z|[+-]\d{2}:?\d{2})$/.test(it) && it.includes(':')) return absolute(it);
  const [first, second, ...rest] = it.split(/\s+|(?<=\d)t(?=\d)/);
  if (first === undefined || rest.length > 0) return null;
  if (second === undefined) {
    const time = clockOf(first);
    if (time !== null) return { at: bareTime(time, now, base), day: false };
  }
  const midnight = dayOf(first, now);
  if (midnight === null) return null;
  if (second === undefined) return { at: midnight, day: true };
  const time = clockOf(second);
  return time === null ? null : { at: onDay(midnight, time), day: false };
}

function absolute(text: string): Instant | null {
  const at = Date.parse(text.toUpperCase().replace(' ', 'T'));
  return Number.isNaN(at) ? null : { at, day: false };
}

type Clock = [hour: number, minute: number, second: number, ms: number];

function clockOf(text: string): Clock | null {
  const match = TIME.exec(text);
  if (match === null) return null;
  const [hour, minute, second] = [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
  if (hour > 24 || minute > 59 || second > 59) return null;
  return [hour, minute, second, Number((match[4] ?? '').padEnd(3, '0'))];
}

function dayOf(text: string, now: number): number | null {
  const back = Object.hasOwn(DAYS, text) ? DAYS[text]! : null;
  if (back !== null) {
    const today = new Date(now);
    return new Date(today.getFullYear(), today.getMonth(), today.getDate() - back).getTime();
  }
  const match = DATE.exec(text);
  if (match === null) return null;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const made = new Date(year, month - 1, day);
  // The thirtieth of February is made a day of March.
  return made.getMonth() === month - 1 && made.getDate() === day ? made.getTime() : null;
}

const onDay = (midnight: number, time: Clock): number => new Date(midnight).setHours(...time);

function bareTime(time: Clock, now: number, base: number | null): number {
  if (base !== null) {
    const same = onDay(base, time);
    return same > base ? same : onDay(new Date(base).setDate(new Date(base).getDate() + 1), time);
  }
  const today = onDay(now, time);
  return today <= now ? today : onDay(new Date(now).setDate(new Date(now).getDate() - 1), time);
}
