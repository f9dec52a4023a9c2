// Questions and orders about alerts, rules, silences and notifications.

import type {
  Acknowledged,
  AlertPage,
  FullAlert,
  LostMessage,
  Notifications,
  Rule,
  RuleBody,
  Silence,
} from '../wire_alerts';
import type { AlertFilter } from '../route';
import { get, post, put, remove } from './http';

/** Alerts that one answer may have. */
export const PAGE_ALERTS = 100;

export async function alerts(state: string, filter: AlertFilter, before: number | null, limit = PAGE_ALERTS): Promise<AlertPage> {
  const query = new URLSearchParams({ state, limit: String(limit) });
  for (const [key, text] of Object.entries({ ...filter, before })) if (text !== null) query.set(key, String(text));
  return get(`api/v1/alerts?${query.toString()}`);
}

export const alert = (id: number): Promise<FullAlert> => get(`api/v1/alerts/${id}`);

export const acknowledge = (ids: readonly number[], by: string, note: string): Promise<Acknowledged> =>
  post('api/v1/alerts/acknowledge', { ids, by, note });

export const rules = async (): Promise<Rule[]> => (await get<{ rules: Rule[] }>('api/v1/rules')).rules;

export const putRule = (name: string, body: RuleBody): Promise<Rule> => put(rulePath(name), body);

export const deleteRule = (name: string): Promise<void> => remove(rulePath(name));

const rulePath = (name: string): string => `api/v1/rules/${encodeURIComponent(name)}`;

export const silences = async (): Promise<Silence[]> =>
  (await get<{ silences: Silence[] }>('api/v1/silences')).silences;

export const makeSilence = (wanted: Omit<Silence, 'id'>): Promise<Silence> => post('api/v1/silences', wanted);

export const endSilence = (id: number): Promise<void> => remove(`api/v1/silences/${id}`);

export const notifications = (): Promise<Notifications> => get('api/v1/notifications');

export const testChannel = (name: string): Promise<{ ok: boolean; error?: string }> =>
  post(`api/v1/notifications/${encodeURIComponent(name)}/test`, {});

export const orderMessages = (order: 'retry' | 'drop', ids: LostMessage['id'][]): Promise<unknown> =>
  post(`api/v1/notifications/dead-letters/${order}`, { ids });
