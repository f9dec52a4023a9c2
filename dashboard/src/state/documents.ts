// JSON and lists as people type them, with what is wrong said in words. Pure.

import { say } from '../text/say';

/** A document as it may be. */
export const EXAMPLE = '{"interval_s": 5}';

export type Typed<T> = { ok: true; value: T } | { ok: false; fault: string };

/** JSON of any kind; nothing is `null`. */
export function typedJson(text: string): Typed<unknown> {
  if (text.trim() === '') return { ok: true, value: null };
  try {
    return { ok: true, value: JSON.parse(text) as unknown };
  } catch (error) {
    return { ok: false, fault: say('devices.bad_json', { why: (error as Error).message }) };
  }
}

/** A JSON object and nothing else. */
export function typedObject(text: string): Typed<Record<string, unknown>> {
  const typed = typedJson(text);
  if (!typed.ok) return typed;
  const { value } = typed;
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return { ok: true, value: value as Record<string, unknown> };
  }
  return { ok: false, fault: say('devices.not_object', { example: EXAMPLE }) };
}

/** A line for each `key=value`. */
export function typedLabels(text: string): Typed<Record<string, string>> {
  const labels: Record<string, string> = {};
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const at = line.indexOf('=');
    const key = line.slice(0, Math.max(0, at)).trim();
    if (key === '') return { ok: false, fault: say('devices.labels_wrong') };
    labels[key] = line.slice(at + 1).trim();
  }
  return { ok: true, value: labels };
}

/** What makes the one of the other: null removes a label. */
export function labelChanges(before: Record<string, string>, after: Record<string, string>): Record<string, string | null> {
  const gone = Object.keys(before).filter((key) => !(key in after));
  const set = Object.entries(after).filter(([key, text]) => before[key] !== text);
  return Object.fromEntries([...gone.map((key) => [key, null] as const), ...set]);
}

/** A number of seconds; nothing is `null`. */
export function typedSeconds(text: string): Typed<number | null> {
  const trimmed = text.trim().replace(',', '.');
  if (trimmed === '') return { ok: true, value: null };
  const seconds = Number(trimmed);
  return seconds > 0 && Number.isFinite(seconds)
    ? { ok: true, value: seconds }
    : { ok: false, fault: say('devices.expected_wrong') };
}
