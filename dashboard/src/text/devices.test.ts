import { afterEach, describe, expect, it } from 'vitest';
import { labelChanges, typedJson, typedLabels, typedObject, typedSeconds } from '../state/documents';
import type { DeviceInfo } from '../wire';
import type { Clock } from '../wire_devices';
import { clockText, newest } from './devices';
import { count, number } from './format';
import { language } from './language';

afterEach(() => {
  language.value = 'en';
});

const clock = (offset_ms: number, state: Clock['state'] = 'off'): Clock => ({ offset_ms, drift_ppm: null, state, policy: 'accept' });

describe('a device', () => {
  it('has a clock that is right, ahead or behind', () => {
    expect(clockText(clock(12, 'ok'))).toBe('as ours');
    expect(clockText(clock(1830))).toBe('1.8 s ahead');
    expect(clockText(clock(-420))).toBe('420 ms behind');
    expect(clockText(clock(-7_200_000))).toBe('2 h behind');
    expect(clockText(clock(0, 'unknown'))).toBe('not known yet');
  });

  it('is as it was told last, by whichever way', () => {
    const asked: DeviceInfo = { id: 'a', online: true, first_seen: 1, last_seen: 50, since: 10, reason: null, address: '10.0.0.7' };
    const live: DeviceInfo = { id: 'a', online: false, first_seen: 1, last_seen: 60, since: 70, reason: 'connection closed' };
    expect(newest(asked, live)).toMatchObject({ online: false, reason: 'connection closed', last_seen: 60, address: '10.0.0.7' });
    expect(newest({ ...asked, since: 90, last_seen: 95 }, live)).toMatchObject({ online: true, reason: null, last_seen: 95 });
    expect(newest(null, live)).toBe(live);
  });
});

describe('what is typed', () => {
  it('is JSON or says what is wrong', () => {
    expect(typedJson(' ')).toEqual({ ok: true, value: null });
    expect(typedJson('{"a":[1]}')).toEqual({ ok: true, value: { a: [1] } });
    expect(typedJson('{"a":')).toMatchObject({ ok: false });
    expect(typedObject('[1]')).toMatchObject({ ok: false });
    expect(typedObject('')).toMatchObject({ ok: false });
    expect(typedObject('{}')).toEqual({ ok: true, value: {} });
  });

  it('is labels and seconds', () => {
    expect(typedLabels('a=1\n\n b = x = y \n')).toEqual({ ok: true, value: { a: '1', b: 'x = y' } });
    expect(typedLabels('hall')).toMatchObject({ ok: false });
    expect(labelChanges({ a: '1', b: '2', c: '3' }, { a: '1', b: '5', d: '4' })).toEqual({ c: null, b: '5', d: '4' });
    expect([typedSeconds(''), typedSeconds('2,5'), typedSeconds('0'), typedSeconds('soon')]).toMatchObject([
      { ok: true, value: null },
      { ok: true, value: 2.5 },
      { ok: false },
      { ok: false },
    ]);
  });
});

it('writes numbers as the language does', () => {
  expect([count(1234567), number(-81.25, 2)]).toEqual(['1,234,567', '−81.25']);
  language.value = 'pt';
  expect([count(1234567).replace(/\s/g, ' '), number(-81.25, 2)]).toEqual(['1 234 567', '−81,25']);
});
