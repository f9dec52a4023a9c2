// A rule as it is typed: every field a text, and which fields each kind has. Pure.

import type { Rule, RuleBody, RuleKind } from '../wire_alerts';

export const KINDS: readonly RuleKind[] = ['threshold', 'change', 'absence', 'flatline', 'text', 'offline', 'daemon'];
export const TROUBLES = ['breaker_open', 'spool', 'refusals', 'broker', 'disk'] as const;
/** Troubles of the daemon that are a matter of degree. */
const GRADED: readonly string[] = ['spool', 'refusals'];

/** `span`: `30 s`; `list`: parted by commas; `tags`: `key=value` parted by commas. */
type Shape = 'text' | 'number' | 'span' | 'list' | 'tags' | 'severity' | 'trouble';

export const SHAPES = {
  what: 'trouble',
  device: 'list',
  metric: 'list',
  tags: 'tags',
  above: 'number',
  below: 'number',
  hysteresis: 'number',
  per: 'span',
  over: 'span',
  after: 'span',
  tolerance: 'number',
  equals: 'list',
  for: 'span',
  severity: 'severity',
  text: 'text',
  runbook: 'text',
  notify: 'list',
} as const satisfies Record<string, Shape>;

export type FieldName = keyof typeof SHAPES;

/** Everything that the daemon may find wrong with a rule. */
export const RULE_FIELDS: readonly string[] = [...Object.keys(SHAPES), 'name', 'kind'];

const OF_KIND: Record<RuleKind, readonly FieldName[]> = {
  threshold: ['device', 'metric', 'tags', 'above', 'below', 'hysteresis', 'for'],
  change: ['device', 'metric', 'tags', 'above', 'below', 'per', 'over', 'for'],
  absence: ['device', 'metric', 'tags', 'after'],
  flatline: ['device', 'metric', 'tags', 'over', 'tolerance'],
  text: ['device', 'metric', 'tags', 'equals', 'for'],
  offline: ['device', 'for'],
  daemon: ['what', 'above', 'for'],
};
const OF_ALL: readonly FieldName[] = ['severity', 'text', 'runbook', 'notify'];

export type Draft = { name: string; kind: RuleKind } & Partial<Record<FieldName, string>>;

/** The fields of a rule, in the order in which they are asked for. */
export function fieldsOf(draft: Draft): FieldName[] {
  const own = OF_KIND[draft.kind].filter(
    (field) => draft.kind !== 'daemon' || field !== 'above' || GRADED.includes(draft.what ?? ''),
  );
  return [...own, ...OF_ALL];
}

export function draftOf(rule: Rule): Draft {
  const draft: Draft = { name: rule.name, kind: rule.kind };
  for (const field of Object.keys(SHAPES) as FieldName[]) {
    const value = rule[field];
    if (value != null) draft[field] = typed(value);
  }
  return draft;
}

function typed(value: unknown): string {
  if (Array.isArray(value)) return value.join(', ');
  if (typeof value !== 'object') return String(value);
  return Object.entries(value as object).map(([key, text]) => `${key}=${String(text)}`).join(', ');
}

/** Thrown by `bodyOf`: a number that is none. */
export class NotANumber extends Error {
  constructor(readonly field: FieldName) {
    super(field);
  }
}

/** What is sent: the fields of its kind that hold something. */
export function bodyOf(draft: Draft): RuleBody {
  const body: Record<string, unknown> = { kind: draft.kind };
  for (const field of fieldsOf(draft)) {
    const text = draft[field]?.trim() ?? '';
    if (text !== '') body[field] = sent(field, text);
  }
  if (draft.kind === 'daemon') body['what'] ??= TROUBLES[0];
  return body as unknown as RuleBody;
}

function sent(field: FieldName, text: string): unknown {
  const shape: Shape = SHAPES[field];
  if (shape === 'number') {
    const number = Number(text.replace('−', '-').replace(',', '.'));
    if (!Number.isFinite(number)) throw new NotANumber(field);
    return number;
  }
  if (shape === 'tags') return Object.fromEntries(parts(text).map((pair) => pair.split(/\s*=\s*(.*)/s, 2)));
  if (shape !== 'list') return text;
  return field === 'equals' ? parts(text).map(truth) : parts(text);
}

const parts = (text: string): string[] => text.split(',').map((part) => part.trim()).filter((part) => part !== '');

const truth = (text: string): string | boolean => (text === 'true' ? true : text === 'false' ? false : text);

/** What it watches and when it holds, in short, as the list shows it. */
export function conditionOf(rule: RuleBody): string {
  const limits = [
    ...(rule.above == null ? [] : [`> ${rule.above}`]),
    ...(rule.below == null ? [] : [`< ${rule.below}`]),
  ].join(', ');
  switch (rule.kind) {
    case 'threshold':
      return limits;
    case 'change':
      return `${limits} / ${rule.per ?? '1 m'}`;
    case 'absence':
      return rule.after ?? '';
    case 'flatline':
      return rule.over ?? '';
    case 'text':
      return (rule.equals ?? []).map((text) => `“${String(text)}”`).join(', ');
    case 'offline':
      return '';
    case 'daemon':
      return limits;
  }
}
