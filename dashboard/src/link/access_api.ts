// Questions and orders about who may come: logging in and out, keys, the trail.

import { admissions, admitted, turnedAway } from '../state/standing';
import type { Key, Session, Trail } from '../wire_access';
import { ApiError, get, post, remove, SESSION } from './http';

/** Asks who the daemon takes this page for. It stays as it was if there is no telling. */
export async function lookWhoIsHere(): Promise<void> {
  const asked = admissions.peek();
  try {
    admitted(await get<Session>(SESSION));
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) turnedAway(asked);
  }
}

/** Shows a key or token; from then on a cookie stands for it, which this page cannot read. */
export async function logIn(token: string): Promise<void> {
  admitted(await post<Session>(SESSION, { token }));
}

export const logOut = (): Promise<void> => remove(SESSION);

export const keys = async (): Promise<Key[]> => (await get<{ keys: Key[] }>('api/v1/keys')).keys;

export const trail = (before: number | null, limit: number): Promise<Trail> =>
  get(`api/v1/trail?limit=${limit}${before === null ? '' : `&before=${before}`}`);
