// The link over sockets that the test plays: when it lets go, when it comes back, and how old what it tells is.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Link } from './link';

class Socket {
  static readonly OPEN = 1;
  static all: Socket[] = [];
  readyState = 0;
  sent: string[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;

  constructor() {
    Socket.all.push(this);
  }

  open(): void {
    this.readyState = Socket.OPEN;
    this.onopen?.();
  }

  /** A frame that was made so many ms ago. */
  frame(ago_ms = 0): void {
    this.onmessage?.({ data: JSON.stringify({ type: 'status', id: '', time: 1_800_000_000_000 + performance.now() - ago_ms, data: {} }) });
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.readyState = 3;
  }
}

let link: Link;
const last = (): Socket => Socket.all.at(-1)!;
const after = (s: number): void => void vi.advanceTimersByTime(s * 1000);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
  Socket.all = [];
  vi.stubGlobal('WebSocket', Socket);
  vi.stubGlobal('window', globalThis);
  vi.stubGlobal('addEventListener', () => undefined);
  link = new Link('ws://daemon.example', () => undefined);
  link.start();
  last().open();
  last().frame();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it('does not knock again at once where it was sent away, and not at all while nobody is logged in', () => {
  last().onclose?.({ code: 1008 });
  after(4.9);
  expect([link.state.value.kind, Socket.all.length]).toEqual(['waiting', 1]);
  link.bar();
  after(60);
  link.retryNow();
  link.sleep();
  link.wake();
  expect([link.state.value.kind, Socket.all.length]).toEqual(['barred', 1]);
  link.unbar();
  expect(Socket.all.length).toBe(2);
  last().open();
  last().frame();
  expect(link.state.value.kind).toBe('live');
  last().onclose?.({ code: 1006 });
  after(0.5);
  expect(Socket.all.length, 'an ordinary end is soon tried again').toBe(3);
});

it('takes up what it was asked for where it was, after a login as after a loss', () => {
  link.subscribe({ device: ['*'], metric: ['*'], window: '1s' }, 'e-7', { frame: () => undefined, refused: () => undefined });
  link.bar();
  link.unbar();
  last().open();
  expect(JSON.parse(last().sent[0]!)).toMatchObject({ type: 'subscribe', cursor: 'e-7' });
});

it('tells how old it is what waited on the way', () => {
  after(1);
  last().frame();
  expect(link.age_s()).toBeCloseTo(0, 1);
  after(1);
  last().frame(8000);
  expect(link.silence_s()).toBe(0);
  expect(link.age_s()).toBeCloseTo(8, 1);
  after(2);
  expect(link.age_s()).toBeCloseTo(10, 1);
  last().frame();
  expect(link.age_s()).toBeCloseTo(0, 1);
});

it('gives up who is silent, and the next one later: a long message may be under way', () => {
  const silence = (): number => {
    const { length } = Socket.all;
    let s = 0;
    for (; Socket.all.length === length && s < 200; s += 1) after(1);
    return s;
  };
  const lasted: number[] = [];
  for (let times = 0; times < 5; times += 1) {
    lasted.push(silence());
    last().open();
    last().frame();
  }
  expect(lasted.map((s) => Math.floor((s - 1) / 10) * 10)).toEqual([10, 20, 40, 80, 80]);
  // When all has been well for long, as at first.
  for (let s = 0; s < 130; s += 1) {
    after(1);
    last().frame();
  }
  expect(Math.floor((silence() - 1) / 10) * 10).toBe(10);
});
