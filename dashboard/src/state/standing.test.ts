import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { actor, rename } from './me';
import { admissions, admitted, known, outOfReach, sameRights, standing, tidyToken, turnedAway, whyNot } from './standing';
import type { Session } from '../wire_access';

const ana: Session = { name: 'ana', scopes: ['view', 'command'], devices: ['*'], how: 'session', expires_at: null };

beforeEach(() => {
  standing.value = { kind: 'unknown' };
  rename('rui');
});
afterEach(() => rename(''));

describe('who is here', () => {
  it('is nobody in particular where nobody is asked', () => {
    expect([known(), actor(), whyNot('admin', 'all'), outOfReach()]).toEqual([null, 'rui', null, null]);
    admitted({ ...ana, name: 'anonymous', scopes: ['admin'], how: 'anonymous' });
    expect([known(), actor(), whyNot('admin', 'all')]).toEqual([null, 'rui', null]);
    expect(admissions.value).toBe(0);
  });

  it('acts under the name that the daemon knows, whatever was typed', () => {
    admitted(ana);
    expect([known()?.name, actor()]).toEqual(['ana', 'ana']);
  });

  it('is out from the first question that says so, until somebody is let in', () => {
    admitted(ana);
    const asked = admissions.value;
    turnedAway(asked);
    expect(standing.value).toEqual({ kind: 'out', was: ana });
    turnedAway(asked);
    expect(standing.value).toEqual({ kind: 'out', was: ana });
    admitted(ana);
    expect(admissions.value).toBe(asked + 1);
    // What was asked before the login and is answered after it says nothing.
    turnedAway(asked);
    expect(standing.value.kind).toBe('in');
  });
});

describe('rights', () => {
  it('are scopes, of which admin is all', () => {
    admitted(ana);
    expect(whyNot('command')).toBeNull();
    expect(whyNot('admin')).toBe('The token of ana has no scope “admin”.');
    admitted({ ...ana, scopes: ['admin'] });
    expect([whyNot('view'), whyNot('command', 'all'), whyNot('admin', 'all')]).toEqual([null, null, null]);
  });

  it('end where the reach ends', () => {
    admitted({ ...ana, scopes: ['admin'], devices: ['pump-*', 'fan-1'] });
    expect(whyNot('command')).toBeNull();
    expect(whyNot('command', 'all')).toBe('This is about all devices, and ana reaches only pump-*, fan-1.');
    expect(outOfReach()).toBe('This is about all devices, and ana reaches only pump-*, fan-1.');
  });

  it('are the same in any order', () => {
    expect(sameRights(ana, { ...ana, name: 'rui', scopes: ['command', 'view'] })).toBe(true);
    expect(sameRights(ana, { ...ana, scopes: ['view'] })).toBe(false);
    expect(sameRights(ana, { ...ana, devices: ['pump-*'] })).toBe(false);
  });
});

it('a token may be pasted with what stood around it', () => {
  expect(['  tgk_a_b\n', 'Bearer tgk_a_b', 'bearer  tgk_a_b', 'tgk_a_b'].map(tidyToken)).toEqual(Array(4).fill('tgk_a_b'));
});
