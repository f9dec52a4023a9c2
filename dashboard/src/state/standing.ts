// Who is in front of this page, as the daemon says, and what they may do. What they may not is not offered; the daemon
// decides in any case.

import { signal } from '@preact/signals';
import { say } from '../text/say';
import type { Scope, Session } from '../wire_access';

export type Standing =
  /** Not asked yet, or there is no telling: the daemon is away, or older than logins. */
  | { kind: 'unknown' }
  | { kind: 'in'; session: Session }
  /** The daemon wants to know who this is. `was`: who it was before. */
  | { kind: 'out'; was: Session | null };

export const standing = signal<Standing>({ kind: 'unknown' });
/** How often somebody was let in: what was asked before that says nothing of who is here now. */
export const admissions = signal(0);

export function admitted(session: Session): void {
  const again = standing.peek().kind === 'out';
  standing.value = { kind: 'in', session };
  if (again) admissions.value += 1;
}

/** A question was not answered for want of a login; `asked`: the admissions when it was asked. */
export function turnedAway(asked: number): void {
  const now = standing.peek();
  if (now.kind === 'out' || asked !== admissions.peek()) return;
  standing.value = { kind: 'out', was: now.kind === 'in' ? now.session : null };
}

export const isOut = (): boolean => standing.value.kind === 'out';

/** Who is logged in by name; null where nobody is asked. */
export function known(): Session | null {
  const now = standing.value;
  return now.kind === 'in' && now.session.how !== 'anonymous' ? now.session : null;
}

export const hasScope = ({ scopes }: Session, scope: Scope): boolean => scopes.includes(scope) || scopes.includes('admin');

const reachesAll = ({ devices }: Session): boolean => devices.includes('*');

/** The same rights: what is on the screen is for both. */
export function sameRights(a: Session, b: Session): boolean {
  const list = (all: readonly string[]): string => [...all].sort().join('\n');
  return list(a.scopes) === list(b.scopes) && list(a.devices) === list(b.devices);
}

/** `all`: it is about all devices. */
export type About = 'some' | 'all';

/** Why this cannot be done by who is here, as a sentence; null if it can, or if nobody knows. */
export function whyNot(scope: Scope, about: About = 'some'): string | null {
  const now = standing.value;
  if (now.kind !== 'in') return null;
  const { session } = now;
  if (!hasScope(session, scope)) return say('access.lacks_scope', { name: session.name, scope });
  return about === 'all' ? outOfReach() : null;
}

/** Why pages about all devices are not for who is here. */
export function outOfReach(): string | null {
  const now = standing.value;
  if (now.kind !== 'in' || reachesAll(now.session)) return null;
  const { name, devices } = now.session;
  return say('access.lacks_reach', { name, devices: devices.join(', ') || say('common.none') });
}

/** What is pasted may have blanks around it, or the word that goes before it in a request. */
export const tidyToken = (pasted: string): string => pasted.trim().replace(/^Bearer\s+/i, '');
