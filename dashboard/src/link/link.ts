// The one WebSocket to the daemon: opening it, noticing that it died, opening it again, and resuming each
// subscription where its last frame left off. Knows nothing of what the frames mean.
//
// A subscription outlives connections. Its cursor is the id of its last frame; the daemon answers a cursor with
// what was missed or with a fresh snapshot, and never with a part of it.

import { signal } from '@preact/signals';
import type { Frame, Tags } from '../wire';
import { backoff } from './backoff';

export type LinkState =
  | { kind: 'connecting' }
  | { kind: 'live' }
  /** Lost; the next attempt is at `retryAt` on the page's own clock. */
  | { kind: 'waiting'; retryAt: number }
  /** The tab has been hidden for long; the link is closed until somebody looks. */
  | { kind: 'asleep' }
  /** Nobody is logged in: it is closed until somebody is. */
  | { kind: 'barred' };

export interface Subscription {
  device: string[];
  metric: string[];
  tags?: Tags;
  window: string;
}

export interface Listener {
  frame(frame: Frame): void;
  /** The daemon does not serve this subscription, and says why. */
  refused(message: string): void;
}

export interface Handle {
  /** Asks for something else under the same listener; starts over with a snapshot. */
  change(subscription: Subscription): void;
  /** Stops; returns the cursor with which it can be taken up later. */
  close(): string | null;
}

interface Open {
  number: number;
  subscription: Subscription;
  cursor: string | null;
  listener: Listener;
}

const PROTOCOL = 'tidegate.live.v1';
/** A socket that has not opened by then is given up. */
const OPEN_TIMEOUT_MS = 5000;
/** `status` comes every second. After this long without a word the link may be open, but what is shown is stale. */
export const STALE_S = 3;
/** The daemon closes with this code what a viewer may not see any longer. */
const POLICY = 1008;
/** It is not asked again soon after that: whether anybody is logged in is found out meanwhile. */
const UNWELCOME_MS = 5000;
/** A silence this long means a dead connection that nobody closed; or a message so long that it is still under way. */
const SILENCE_MAX_MS = 10_000;
/** So each connection that was given up for its silence gives the next ones twice the time, up to so many times; */
const PATIENCE_MAX = 8;
/** for so long. Otherwise a slow network would never bring a whole message. */
const PATIENCE_LASTS_MS = 120_000;
/** No two clocks run as fast as each other; by so much the daemon's may be slower than what is known of it. */
const CLOCK_DRIFT = 2e-4;
const KNOWN = new Set(['snapshot', 'rollups', 'device', 'status', 'degraded', 'alert']);

export class Link {
  readonly state = signal<LinkState>({ kind: 'connecting' });
  /** A message of a type this page has never heard of: the daemon is newer than the page. */
  readonly outdated = signal<string | null>(null);
  /** When the last frame came, on the page's own clock; null before the first. */
  lastFrameAt: number | null = null;
  /** The daemon's clock minus the page's, by the least delayed frame of this connection. */
  private clockOffset: number | null = null;
  /** How much longer the last frame was on its way than the quickest one, in ms. */
  private delay = 0;
  private patience = 1;
  private lostPatienceAt = 0;
  private socket: WebSocket | null = null;
  private attempt = 0;
  private timer = 0;
  private lastNumber = 0;
  private readonly open = new Map<number, Open>();

  /**
   * `everywhere` is told the frames that are about the daemon or the connection, not about a subscription; and those
   * about alerts, whatever page is shown. `whole`: the subscription that it came for is to all devices.
   */
  constructor(
    private readonly url: string,
    private readonly everywhere: (frame: Frame, whole: boolean) => void,
  ) {}

  start(): void {
    this.connect();
    window.setInterval(() => this.checkSilence(), 1000);
    addEventListener('online', () => this.retryNow());
  }

  subscribe(subscription: Subscription, cursor: string | null, listener: Listener): Handle {
    const open: Open = { number: ++this.lastNumber, subscription, cursor, listener };
    this.open.set(open.number, open);
    this.ask(open);
    return {
      change: (wanted) => {
        this.drop(open);
        open.number = ++this.lastNumber;
        open.subscription = wanted;
        open.cursor = null;
        this.open.set(open.number, open);
        this.ask(open);
      },
      close: () => {
        this.drop(open);
        return open.cursor;
      },
    };
  }

  /** Whether this subscription is open still. */
  has(sub: number): boolean {
    return this.open.has(sub);
  }

  /** The daemon's time now, in ms since 1970; null before its first frame. */
  daemonNow(): number | null {
    return this.clockOffset === null ? null : this.clockOffset + performance.now();
  }

  /** Seconds since the last frame; null before the first. */
  silence_s(): number | null {
    return this.lastFrameAt === null ? null : (performance.now() - this.lastFrameAt) / 1000;
  }

  /** The age of what was told last: since it came, and what it waited on a slow way before; null before the first. */
  age_s(): number | null {
    const silence = this.silence_s();
    return silence === null ? null : silence + this.delay / 1000;
  }

  /** For how many seconds there has been no link worth the name; null while all is fresh, or before the first frame. */
  lost_s(): number | null {
    const silence = this.silence_s();
    return silence !== null && this.state.value.kind === 'live' && silence < STALE_S ? null : silence;
  }

  retryNow(): void {
    if (this.state.value.kind !== 'waiting') return;
    window.clearTimeout(this.timer);
    this.connect();
  }

  sleep(): void {
    const { kind } = this.state.value;
    if (kind === 'asleep' || kind === 'barred') return;
    this.state.value = { kind: 'asleep' };
    this.abandon();
  }

  wake(): void {
    if (this.state.value.kind === 'asleep') this.connect();
  }

  /** Nobody is logged in: each attempt would only be refused. */
  bar(): void {
    if (this.state.value.kind === 'barred') return;
    this.state.value = { kind: 'barred' };
    this.abandon();
  }

  unbar(): void {
    if (this.state.value.kind === 'barred') this.connect();
  }

  private connect(): void {
    this.abandon();
    this.state.value = { kind: 'connecting' };
    const socket = new WebSocket(this.url, PROTOCOL);
    this.socket = socket;
    this.timer = window.setTimeout(() => this.lost(socket), OPEN_TIMEOUT_MS * this.patience);
    socket.onopen = () => {
      window.clearTimeout(this.timer);
      // What was quick before tells how slow a slow way is now; otherwise the daemon's clock may be another one.
      if (this.patience === 1) this.clockOffset = null;
      this.lastFrameAt ??= performance.now();
      for (const open of this.open.values()) this.ask(open);
    };
    socket.onmessage = (event) => this.receive(socket, String(event.data));
    socket.onclose = ({ code }) => this.lost(socket, code);
  }

  private lost(socket: WebSocket, code = 0): void {
    if (socket !== this.socket) return;
    this.abandon();
    const wait = code === POLICY ? UNWELCOME_MS : backoff(this.attempt, Math.random());
    this.attempt += 1;
    this.state.value = { kind: 'waiting', retryAt: performance.now() + wait };
    this.timer = window.setTimeout(() => this.connect(), wait);
  }

  /** Lets go of the socket without waiting for its farewell. */
  private abandon(): void {
    window.clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private checkSilence(): void {
    const socket = this.socket;
    if (socket === null || this.state.value.kind !== 'live') return;
    if ((this.silence_s() ?? 0) * 1000 <= SILENCE_MAX_MS * this.patience) return;
    this.patience = Math.min(PATIENCE_MAX, this.patience * 2);
    this.lostPatienceAt = performance.now();
    this.lost(socket);
  }

  private ask(open: Open): void {
    const { number, subscription, cursor } = open;
    this.send({ type: 'subscribe', sub: number, ...subscription, ...(cursor === null ? {} : { cursor }) });
  }

  private drop(open: Open): void {
    this.open.delete(open.number);
    this.send({ type: 'unsubscribe', sub: open.number });
  }

  private send(message: unknown): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private receive(socket: WebSocket, text: string): void {
    if (socket !== this.socket) return;
    const message = parse(text);
    if (message.type === 'pong' || message.type === 'echo') return;
    if (message.type === 'error') {
      this.open.get(message.sub ?? 0)?.listener.refused(message.message ?? 'no reason given');
      return;
    }
    if (!KNOWN.has(message.type)) {
      this.outdated.value = message.type;
      return;
    }
    this.arrived(message as unknown as Frame);
  }

  private arrived(frame: Frame): void {
    const now = performance.now();
    const known = this.clockOffset === null ? -Infinity : this.clockOffset - (now - (this.lastFrameAt ?? now)) * CLOCK_DRIFT;
    this.lastFrameAt = now;
    this.clockOffset = Math.max(known, frame.time - now);
    this.delay = this.clockOffset + now - frame.time;
    this.attempt = 0;
    if (now - this.lostPatienceAt > PATIENCE_LASTS_MS) this.patience = 1;
    if (this.state.value.kind !== 'live') this.state.value = { kind: 'live' };
    if (frame.type === 'status' || frame.type === 'degraded') {
      this.everywhere(frame, true);
      return;
    }
    const open = this.open.get(frame.sub ?? 0);
    if (open === undefined) return;
    if (frame.type === 'alert') {
      this.everywhere(frame, open.subscription.device.includes('*'));
      return;
    }
    if (frame.type === 'snapshot' || frame.type === 'rollups') open.cursor = frame.id;
    open.listener.frame(frame);
  }
}

interface Message {
  type: string;
  sub?: number;
  message?: string;
}

/** What is not JSON, or has no type, is as foreign as an unknown type. */
function parse(text: string): Message {
  try {
    const message: unknown = JSON.parse(text);
    if (typeof message === 'object' && message !== null && 'type' in message && typeof message.type === 'string') {
      return message as Message;
    }
  } catch {
    // Falls through to the answer for everything that cannot be understood.
  }
  return { type: 'something that is no message' };
}
