import { describe, expect, it } from 'vitest';
import type { Rule } from '../wire_alerts';
import { faultsOf } from './faults';
import { bodyOf, conditionOf, draftOf, fieldsOf, NotANumber, RULE_FIELDS } from './rule_draft';

const RULE: Rule = {
  ...{ name: 'motor hot', kind: 'threshold', device: ['pump-*', '!pump-9'], metric: ['motor.temperature'] },
  ...{ tags: { site: 'a' }, above: 80.5, hysteresis: 2, for: '30 s', severity: 'critical', text: '{device}: {value} {unit}' },
  ...{ notify: ['ops'], source: 'page', matching: 3, firing: 1, error: null },
};

describe('a rule that is typed', () => {
  it('comes back as it was', () => {
    const { name, source, matching, firing, error, ...body } = RULE;
    expect(bodyOf(draftOf(RULE))).toEqual(body);
  });

  it('sends only the fields of its kind', () => {
    expect(bodyOf({ ...draftOf(RULE), kind: 'offline' })).toEqual({
      ...{ kind: 'offline', device: ['pump-*', '!pump-9'], for: '30 s', severity: 'critical' },
      ...{ text: '{device}: {value} {unit}', notify: ['ops'] },
    });
    expect(fieldsOf({ name: '', kind: 'daemon', what: 'broker' })).not.toContain('above');
    expect(fieldsOf({ name: '', kind: 'daemon', what: 'spool' })).toContain('above');
    expect(bodyOf({ name: '', kind: 'daemon' })).toEqual({ kind: 'daemon', what: 'breaker_open' });
  });

  it('takes a decimal comma, and no number that is none', () => {
    expect(bodyOf({ name: '', kind: 'threshold', above: '80,5', below: '−3' })).toMatchObject({ above: 80.5, below: -3 });
    expect(() => bodyOf({ name: '', kind: 'threshold', above: 'hot' })).toThrow(NotANumber);
  });

  it('knows truth values from texts', () => {
    expect(bodyOf({ name: '', kind: 'text', equals: 'fault, true' })).toMatchObject({ equals: ['fault', true] });
  });

  it('has the faults that the daemon finds at their fields', () => {
    expect(faultsOf('above: a limit is missing; for: not a span', {}, RULE_FIELDS)).toEqual({ above: 'a limit is missing', for: 'not a span' });
    expect(faultsOf('for: not a span; a number and a unit; above: is no number: "x"', {}, RULE_FIELDS)).toEqual({
      ...{ for: 'not a span; a number and a unit', above: 'is no number: "x"' },
    });
    expect(faultsOf('the rule is the file’s', {}, RULE_FIELDS)).toEqual({ '': 'the rule is the file’s' });
    expect(faultsOf('whatever', { metric: 'no glob' }, RULE_FIELDS)).toEqual({ metric: 'no glob' });
  });

  it('says in short when it holds', () => {
    expect(conditionOf(RULE)).toBe('> 80.5');
    expect(conditionOf({ kind: 'text', equals: ['fault', false] })).toBe('“fault”, “false”');
  });
});
