// Numbers, ages and sizes as an operator reads them. Pure. What is not known is an en dash, never a zero.

import { language } from './language';
import { digitsFor } from './precision';

export const UNKNOWN = '–';
/** As wide as the digits, unlike the hyphen. */
const MINUS = '−';

/** Numbers with so many decimals, as the page's language writes them. */
export function grouped(digits: number): Intl.NumberFormat {
  return formats[language.value][digits]!;
}

const formatsOf = (tag: string): Intl.NumberFormat[] =>
  [0, 1, 2, 3, 4].map(
    (digits) =>
      new Intl.NumberFormat(tag, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: 'always' }),
  );
const formats = { en: formatsOf('en-US'), pt: formatsOf('pt-PT') };

/** A measured value with `digits` decimals; as many as fit its magnitude if that is not given. */
export function number(value: number | null | undefined, digits?: number): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return value.toExponential(2).replaceAll('-', MINUS);
  return grouped(digits ?? digitsFor(size)).format(value).replace('-', MINUS);
}

/** A count of things: 1,600. */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value) ? UNKNOWN : grouped(0).format(value);
}

/** Any value of a series. */
export function value(it: number | boolean | string | null | undefined, digits?: number): string {
  if (typeof it === 'string') return it === '' ? '“”' : it;
  if (typeof it === 'boolean') return it ? 'true' : 'false';
  return number(it, digits);
}

/** A share of 1 in percent; a share that is not nothing is never shown as 0 %. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return UNKNOWN;
  if (share > 0 && share < 0.01) return '< 1 %';
  return `${Math.round(share * 100)} %`;
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(size: number | null | undefined): string {
  if (size === null || size === undefined || !Number.isFinite(size)) return UNKNOWN;
  let unit = 0;
  let rest = size;
  while (rest >= 1024 && unit < BYTE_UNITS.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || rest >= 100 ? 0 : 1;
  return `${grouped(digits).format(rest)} ${BYTE_UNITS[unit]}`;
}

/** A span of time in its two largest units. Below a minute whole seconds, below one "< 1 s": a calm screen. */
export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return UNKNOWN;
  if (seconds < 1) return '< 1 s';
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), 'min', s % 60, 's', s < 600);
  if (s < 86_400) return two(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min', true);
  return two(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h', s < 10 * 86_400);
}

function two(big: number, bigUnit: string, small: number, smallUnit: string, both: boolean): string {
  return both && small > 0 ? `${big} ${bigUnit} ${small} ${smallUnit}` : `${big} ${bigUnit}`;
}

/** How far a follower is behind: finer than `span` where it matters. */
export function lag(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return UNKNOWN;
  return seconds < 9.95 ? `${grouped(1).format(Math.max(0, seconds))} s` : span(seconds);
}

const pad = (n: number): string => (n < 10 ? `0${n}` : String(n));

/** The viewer's own time of day, to the second; with the day if it is not `now`'s. */
export function clock(ms: number, now: number): string {
  const at = new Date(ms);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return at.toDateString() === new Date(now).toDateString() ? time : `${day(at)} ${time}`;
}

function day(at: Date): string {
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
}
