// What is seen, as CSV: a row for each point of each series that is drawn within the span. Pure. RFC 4180: a head,
// CRLF, quotes where needed and where a spreadsheet may part a cell (at semicolons, in many countries; at tabs). Times are
// UTC. A point of one sample is that sample; of more, count, min, max and avg tell what the point stands for. Names and texts come from devices: none of them is a formula to a spreadsheet.

import type { Value } from './fleet';
import type { Span } from './span';
import { shared } from './span';
import type { Columns } from './trace';
import type { Tags } from '../wire';

export interface Drawn {
  device: string;
  metric: string;
  tags: Tags;
  unit: string | null;
  joined: Columns;
  bucket_ms: number;
}

const HEAD = ['time', 'device', 'metric', 'tags', 'unit', 'seconds', 'samples', 'min', 'max', 'avg', 'last'];

export function csvOf(drawn: readonly Drawn[], span: Span): string {
  const rows = [HEAD.join(',')];
  for (const { device, metric, tags, unit, joined, bucket_ms } of drawn) {
    const tagText = Object.keys(tags).sort().map((key) => `${key}=${tags[key]}`).join(';');
    const who = [...[device, metric, tagText, unit ?? ''].map(written), bucket_ms / 1000].join(',');
    for (let i = 0; i < joined.start.length; i++) {
      const start = joined.start[i]!;
      if (shared([start, start + bucket_ms], span) === null) continue;
      const numbers = [joined.min[i]!, joined.max[i]!, joined.avg[i]!].map(plain);
      const last = joined.last[i];
      rows.push([new Date(start).toISOString(), who, joined.count[i], ...numbers, valueCell(last ?? null)].join(','));
    }
  }
  return rows.join('\r\n') + '\r\n';
}

const plain = (value: number): string => (Number.isFinite(value) ? String(value) : '');

/** A text is written as one; numbers stay numbers, whatever sign they begin with. */
const valueCell = (value: Value): string => (typeof value === 'string' ? written(value) : String(value ?? ''));

/** What a spreadsheet would calculate begins with one of these, as in the daemon's own CSV. */
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;

/** What somebody else wrote: an apostrophe before it makes a spreadsheet take it as the text that it is. */
const written = (text: string): string => cell(FORMULA.test(text) ? `'${text}` : text);

function cell(text: string): string {
  return /[",;\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** `pump-7 2026-11-21 14.30.csv`, without what file systems do not take. */
export function fileName(name: string, span: Span, kind: string): string {
  const at = new Date(span[0]);
  const pad = (n: number): string => String(n).padStart(2, '0');
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  const plainName = name.replace(/[^\p{L}\p{N}._ -]/gu, '_').slice(0, 80);
  return `${plainName} ${day} ${pad(at.getHours())}.${pad(at.getMinutes())}.${kind}`;
}
