import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import * as api from '../link/alerts_api';
import type { AlertPage } from '../wire_alerts';
import { Alerts } from './alerts';
import { AlertsFeed } from './alerts_feed';

const NONE = { firing: 0, pending: 0, acknowledged: 0 };
let asked: number;
let page: AlertPage;
let feed: AlertsFeed;

beforeEach(() => {
  vi.useFakeTimers();
  asked = 0;
  page = { alerts: [], counts: NONE, next: null } as unknown as AlertPage;
  vi.spyOn(api, 'alerts').mockImplementation(async () => {
    asked += 1;
    return page;
  });
  feed = new AlertsFeed(new Alerts(), () => undefined);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const after = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

it('asks for the list when the daemon counts others than are known, at most once a second', async () => {
  await feed.ask();
  expect(asked).toBe(1);
  await after(2000);
  feed.count(NONE);
  expect(asked).toBe(1);
  feed.count({ ...NONE, firing: 1 });
  feed.count({ ...NONE, firing: 1 });
  await after(0);
  expect(asked).toBe(2);
  feed.count({ ...NONE, firing: 1 });
  await after(0);
  expect(asked, 'not twice in a second').toBe(2);
  await after(1000);
  feed.count({ ...NONE, firing: 1 });
  await after(0);
  expect(asked).toBe(3);
});

it('asks for nothing where a subscription tells of all', async () => {
  feed.receive({ type: 'alert', id: 'e-1', time: 0, data: { alerts: [], all: true } }, true);
  await after(5000);
  feed.count({ ...NONE, firing: 1 });
  expect(asked).toBe(0);
  feed.uncovered();
  feed.count({ ...NONE, firing: 1 });
  expect(asked).toBe(1);
});
