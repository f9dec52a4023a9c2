// What a feed asks, and in which order: live and history joined, the past standing still, older questions void.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Question } from '../link/api';
import * as api from '../link/api';
import type { Link, Listener, Subscription } from '../link/link';
import type { Buckets, NumberRollup } from '../wire';
import { ChartFeed } from './chart_feed';
import { Units } from './units';
import { type ChartView, DEFAULT_CHARTS } from './view';

const NOW = 1_800_000_000_000;
const HOUR = 3_600_000;

interface Asked extends Question {
  signal: AbortSignal;
  answer: (value: number) => Promise<void>;
}
let asked: Asked[];
let listener: Listener;
let subscriptions: Subscription[];
let feed: ChartFeed;

/** A point at each bucket of the last ten before the end of the question. */
function buckets({ from, to, bucket_ms }: Question, value: number): Buckets {
  const end = to ?? NOW;
  const time: number[] = [];
  for (let at = Math.max(from, end - 10 * bucket_ms); at + bucket_ms <= end; at += bucket_ms) time.push(at);
  const all = time.map(() => value);
  return { unit: 'A', type: 'float', time, count: time.map(() => 1), min: all, max: all, avg: all, last: all };
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await vi.advanceTimersByTimeAsync(0);
};

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('window', globalThis);
  vi.stubGlobal('document', { hidden: false });
  vi.stubGlobal('requestAnimationFrame', () => 0);
  asked = [];
  subscriptions = [];
  vi.spyOn(api, 'buckets').mockImplementation(
    (question, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')));
        const answer = async (value: number): Promise<void> => {
          resolve(buckets(question, value));
          await settle();
        };
        asked.push({ ...question, signal, answer });
      }),
  );
  const link = {
    daemonNow: () => NOW,
    subscribe: (subscription: Subscription, _: null, it: Listener) => {
      subscriptions.push(subscription);
      listener = it;
      return { change: (other: Subscription) => void subscriptions.push(other), close: () => null };
    },
  } as unknown as Link;
  const topic = {
    devices: ['d'],
    metrics: ['m'],
    wants: (device: string, metric: string) => device === 'd' && metric === 'm',
    describe: async () => [{ device: 'd', metric: 'm', type: 'float' as const, unit: 'A' }],
  };
  feed = new ChartFeed(topic, ['1s', '10s', '1m'], link, new Units());
});

afterEach(() => {
  feed.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const rollup = (start: number, value: number): NumberRollup => [start, 1, value, value, value, value, value];
const frame = (id: string, type: 'snapshot' | 'rollups', rollups: NumberRollup[], more: object = {}) =>
  listener.frame({
    type,
    id,
    time: NOW,
    data: { window: '1s', resumed: false, tick_ms: 500, devices: [{ device: 'd', rollups: { m: rollups } }], ...more },
  } as never);
const trace = () => feed.traces.get('d:m')!;
const live: ChartView = DEFAULT_CHARTS;
const past: ChartView = { ...live, past: [NOW - 10 * HOUR, NOW - 9 * HOUR] };

/** Live, with the first question answered. */
async function joined(): Promise<void> {
  feed.open(live, 640);
  frame('e-1', 'snapshot', [rollup(NOW - 1000, 1)]);
  await settle();
  await asked[0]!.answer(5);
}

describe('a feed', () => {
  it('draws coarser points while a slow viewer gets coarser windows, and finer ones again after it', async () => {
    await joined();
    const at = Math.floor(NOW / 10_000) * 10_000;
    frame('e-2', 'snapshot', [rollup(at, 3)], { window: '10s' });
    await settle();
    expect(asked.at(-1)).toMatchObject({ after: 'e-2', bucket_ms: 10_000 });
    await asked.at(-1)!.answer(5);
    expect(feed.bucket_ms).toBe(10_000);
    expect(trace().joined.start.slice(-2)).toEqual([at - 10_000, at]);
    expect(trace().joined.avg.slice(-2)).toEqual([5, 3]);
    frame('e-3', 'snapshot', [rollup(NOW - 1000, 4)], { window: '1s' });
    await settle();
    expect(asked.at(-1)).toMatchObject({ after: 'e-3', bucket_ms: 1000 });
    await asked.at(-1)!.answer(6);
    expect(trace().joined.start.slice(-2)).toEqual([NOW - 2000, NOW - 1000]);
  });

  it('asks for history by the id of the first frame, and lays live over it', async () => {
    feed.open(live, 640);
    await settle();
    expect(asked, 'nothing before there is something to join').toHaveLength(0);
    frame('e-1', 'snapshot', [rollup(NOW - 1000, 1)]);
    await settle();
    expect(asked[0]).toMatchObject({ after: 'e-1', to: null, bucket_ms: 1000 });
    frame('e-2', 'rollups', [rollup(NOW, 2)]);
    await asked[0]!.answer(5);
    expect(trace().joined.start.slice(-3)).toEqual([NOW - 2000, NOW - 1000, NOW]);
    expect(trace().joined.avg.slice(-3)).toEqual([5, 1, 2]);
  });

  it('keeps the past still while live goes on', async () => {
    await joined();
    feed.look(past, 640);
    await vi.advanceTimersByTimeAsync(200);
    const [, question] = asked;
    expect(question).toMatchObject({ after: null, bucket_ms: 10_000 });
    expect(question!.from).toBeLessThan(past.past![0]);
    expect(question!.to).toBeGreaterThan(past.past![1]);
    await question!.answer(7);
    const { start } = trace().joined;
    const before = [...start];
    frame('e-3', 'rollups', [rollup(NOW + 1000, 9)]);
    frame('e-4', 'rollups', [rollup(NOW + 2000, 9)], { devices: [{ device: 'd', late: true, rollups: {} }] });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(trace().joined.start).toEqual(before);
    expect(asked, 'and asks nothing').toHaveLength(2);
    expect(trace().value, 'though it knows the value of now').toBe(9);
  });

  it('stands still over a lost connection, too', async () => {
    await joined();
    feed.look(past, 640);
    await vi.advanceTimersByTimeAsync(200);
    await asked[1]!.answer(7);
    const before = [...trace().joined.start];
    frame('f-1', 'snapshot', [rollup(NOW + 5000, 9)]);
    await settle();
    expect([trace().joined.start, trace().history]).toEqual([before, 'joined']);
    expect(asked).toHaveLength(2);
  });

  it('comes back to live without a hole: what came meanwhile is asked for', async () => {
    await joined();
    feed.look(past, 640);
    await vi.advanceTimersByTimeAsync(200);
    await asked[1]!.answer(7);
    frame('e-9', 'rollups', [rollup(NOW - 1000, 3)]);
    feed.look(live, 640);
    await settle();
    expect(asked[2]).toMatchObject({ after: 'e-9', to: null, bucket_ms: 1000 });
    expect(subscriptions, 'the same window goes on').toHaveLength(1);
    frame('e-10', 'rollups', [rollup(NOW, 4)]);
    expect(trace().joined.start, 'other points are not mixed in').not.toContain(NOW);
    await asked[2]!.answer(5);
    expect(trace().joined.avg.slice(-2)).toEqual([5, 4]);
  });

  it('makes the older question void', async () => {
    await joined();
    feed.look(past, 640);
    await vi.advanceTimersByTimeAsync(200);
    const zoomed: ChartView = { ...live, past: [NOW - 10 * HOUR, NOW - 10 * HOUR + 60_000] };
    feed.look(zoomed, 640);
    await vi.advanceTimersByTimeAsync(500);
    expect(asked[1]!.signal.aborted).toBe(true);
    expect(asked[2]).toMatchObject({ bucket_ms: 100 });
    await asked[2]!.answer(8);
    await asked[1]!.answer(1);
    expect(trace().joined.avg.at(-1)).toBe(8);
    expect(trace().bucket_ms).toBe(100);
  });

  it('asks once for a wheel that turns many times, and not at all while what is there suffices', async () => {
    await joined();
    for (let i = 0; i < 20; i++) {
      feed.look({ ...live, past: [NOW - 10 * HOUR + i, NOW - 9 * HOUR + i] }, 640);
      await vi.advanceTimersByTimeAsync(20);
    }
    await vi.advanceTimersByTimeAsync(500);
    expect(asked.length - 1).toBeLessThanOrEqual(2);
    await asked.at(-1)!.answer(7);
    const many = asked.length;
    feed.look({ ...live, past: [NOW - 10 * HOUR + 60_000, NOW - 9 * HOUR + 60_000] }, 640);
    await vi.advanceTimersByTimeAsync(500);
    expect(asked).toHaveLength(many);
  });

  it('subscribes to another window where a range needs one', async () => {
    await joined();
    feed.look({ ...live, range: '6h' }, 640);
    expect(subscriptions.at(-1)).toMatchObject({ window: '10s', device: ['d'], metric: ['m'] });
    frame('e-7', 'snapshot', [rollup(NOW - 10_000, 3)]);
    await settle();
    expect(asked.at(-1)).toMatchObject({ bucket_ms: 10_000, after: 'e-7' });
  });

  it('asks for yesterday, and again before it runs out', async () => {
    await joined();
    feed.look({ ...live, compare: 'day' }, 640);
    await vi.advanceTimersByTimeAsync(200);
    await asked[1]!.answer(5);
    const DAY = 24 * HOUR;
    expect(asked[2]!.from).toBe(asked[1]!.from - DAY);
    expect(asked[2]!.to! + DAY, 'it reaches beyond now').toBeGreaterThan(NOW);
    await asked[2]!.answer(6);
    expect(trace().ghost?.start[0]).toBeGreaterThan(NOW - HOUR);
    feed.look(live, 640);
    expect(trace().ghost).toBeNull();
  });

  it('says so when history fails, and asks again when told to', async () => {
    feed.open(past, 640);
    await settle();
    vi.spyOn(api, 'buckets').mockRejectedValueOnce(new api.ApiError(503, 'busy'));
    feed.retry();
    await settle();
    expect([trace().history, trace().failure]).toEqual(['failed', 'busy']);
    feed.retry();
    await settle();
    await asked.at(-1)!.answer(2);
    expect(trace().history).toBe('joined');
  });

  it('asks again by itself when the daemon says later, but not for ever', async () => {
    const later = new api.ApiError(503, 'the history has not read that far', {}, 2);
    vi.spyOn(api, 'buckets').mockRejectedValueOnce(later);
    feed.open(live, 640);
    frame('e-1', 'snapshot', [rollup(NOW - 1000, 1)]);
    await settle();
    expect([trace().history, asked.length]).toEqual(['loading', 0]);
    await vi.advanceTimersByTimeAsync(1999);
    expect(asked).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked[0]).toMatchObject({ after: 'e-1' });
    await asked[0]!.answer(5);
    expect(trace().history).toBe('joined');
    const never = vi.spyOn(api, 'buckets').mockRejectedValue(later);
    never.mockClear();
    feed.retry();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([trace().history, never.mock.calls.length]).toEqual(['failed', 5]);
  });

  it('takes no part in what it does not want', async () => {
    await joined();
    frame('e-2', 'rollups', [], { devices: [{ device: 'x', rollups: { m: [rollup(NOW, 1)] } }, { device: 'd', rollups: { other: [rollup(NOW, 1)] } }] });
    expect([...feed.traces.keys()]).toEqual(['d:m']);
  });
});
