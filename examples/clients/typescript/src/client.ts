/** The conversation: docs/devices.md, rule by rule. */
import { WebSocket } from "ws";
import { BatchBuffer } from "./buffer.js";
import { type Downstream, type Reading, batch, downstream, hello, reported, result } from "./wire.js";

const SOFTWARE = "tidegate-client (typescript) 0.1.0";
const BACKOFF_FIRST_MS = 500;
const BACKOFF_MAX_MS = 30_000;
const CONNECT_MAX_MS = 20_000;
/** The daemon pings every 25 s: who hears nothing for longer has no connection. */
const SILENCE_MAX_MS = 60_000;
/** Commands whose answers are remembered. */
const DONE_MAX = 64;
/** Nanoseconds; a clock that went back further was set. */
const SAME_MOMENT = 1_000_000_000n;
/** Close codes after which coming back does not help. */
const FINAL = [1002, 1003, 1007, 1008, 4001, 4003];

/** What becomes of batches: kept on disk; refused for good, and why; given up, because the buffer was full. */
export interface Events {
  kept?(seq: number): void;
  refused?(seq: number, why: string): void;
  gaveUp?(seq: number): void;
}

export interface Options {
  /** ws://host:port/api/v1/ingest/ws */
  url: string;
  /** Its name, the same over all restarts. */
  name: string;
  /** The file of what is not settled yet. A second process that opens it is refused. */
  buffer: string;
  token?: string;
  /** Batches that are held; beyond, the oldest is given up. */
  heldMax?: number;
  on?: Events;
  /** Does what the operator wants; what it throws is the reason why not. A command that comes twice is done once. */
  onCommand?(device: string, name: string, argument: unknown): unknown;
  /** Takes what a device should be set to, and returns what it is set to. */
  onDesired?(device: string, document: unknown): unknown;
}

/** The daemon said not to come back. */
export class Closed extends Error {}

/** Sends readings to Tidegate. `send` keeps them on disk; what is kept is sent when it can be. */
export class Client {
  private buffer: BatchBuffer;
  private lastTime = 0n;
  private socket: WebSocket | undefined;
  private trouble: Closed | undefined;
  private stopped = false;
  private waiting: { resolve(): void; reject(error: Closed): void }[] = [];
  /** Answers to commands: one that may be done again comes again until it is answered. */
  private done = new Map<bigint, Buffer>();
  /** Connections in a row without a Welcome. */
  private failures = 0;
  private comeBackMs = 0;
  private coming: NodeJS.Timeout | undefined;
  // Of this connection:
  private welcome = false;
  private credit = { batches: 0, bytes: 0 };
  private sent = 0;
  private unanswered = new Map<number, number>();
  private intervalMs = 0;
  private lastSent = -Infinity;
  private notBefore = 0;
  private sending: NodeJS.Timeout | undefined;
  private silence: NodeJS.Timeout | undefined;

  constructor(private options: Options) {
    this.buffer = new BatchBuffer(options.buffer, options.heldMax ?? 100_000);
    this.connect();
  }

  /** Keeps rows as one batch. Returns its seq: by then it is on disk. */
  send(...rows: (Omit<Reading, "time"> & { time?: bigint })[]): number {
    if (this.trouble) throw this.trouble;
    // Milliseconds are coarse: two readings of the same one would be the same sample to a store.
    let now = BigInt(Date.now()) * 1_000_000n;
    if (now <= this.lastTime && this.lastTime - now < SAME_MOMENT) now = this.lastTime + 1000n;
    this.lastTime = now;
    const { seq, givenUp } = this.buffer.keep((seq) => batch(seq, rows.map((row) => ({ time: now, ...row }))));
    for (const old of givenUp) this.options.on?.gaveUp?.(old);
    this.options.on?.kept?.(seq);
    this.pump();
    return seq;
  }

  /** Resolves when all that is held is settled; rejects if the daemon said not to come back. */
  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.look();
    });
  }

  /** Ends the conversation. What is not settled stays in the buffer for the next time. */
  close(): void {
    this.stopped = true;
    clearTimeout(this.coming);
    clearTimeout(this.sending);
    clearTimeout(this.silence);
    this.socket?.close(1000);
    this.buffer.close();
  }

  private look(): void {
    const { trouble } = this;
    if (!trouble && this.buffer.size > 0) return;
    for (const { resolve, reject } of this.waiting.splice(0)) trouble ? reject(trouble) : resolve();
  }

  private connect(): void {
    const { url, token, name } = this.options;
    const socket = new WebSocket(url, ["tidegate.v1"], {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      handshakeTimeout: CONNECT_MAX_MS,
      maxPayload: 1 << 20,
      perMessageDeflate: false,
    });
    this.socket = socket;
    this.comeBackMs = 0;
    let refused = false;
    socket.on("open", () => {
      this.welcome = false;
      this.credit = { batches: 0, bytes: 0 };
      this.unanswered.clear();
      this.intervalMs = this.notBefore = 0;
      this.lastSent = -Infinity;
      socket.send(hello(name, this.buffer.session, this.buffer.lowest(), SOFTWARE));
      this.listen();
    });
    socket.on("message", (bytes: Buffer, binary) => {
      this.listen();
      if (this.stopped) return;
      let said: Downstream;
      try {
        said = binary ? downstream(bytes) : { kind: "unknown" };
      } catch {
        socket.terminate(); // not a message: nothing after it can be trusted either
        return;
      }
      this.hear(said);
    });
    socket.on("ping", () => this.listen());
    socket.on("unexpected-response", (request, response) => {
      refused = response.statusCode === 401 || response.statusCode === 403;
      if (refused) this.end(`the daemon does not let this client in (${response.statusCode})`);
      request.destroy();
      // ws leaves the rest to whoever listens here.
      this.gone(socket);
    });
    socket.on("error", () => {}); // "close" follows
    socket.on("close", (code, reason) => {
      if (FINAL.includes(code)) this.end(`the daemon closed with ${code}: ${reason}`);
      this.gone(socket);
    });
  }

  private end(why: string): void {
    this.trouble ??= new Closed(why);
    this.look();
  }

  /** Comes back, once for each connection. */
  private gone(socket: WebSocket): void {
    if (this.socket !== socket) return;
    this.socket = undefined;
    this.welcome = false;
    clearTimeout(this.sending);
    clearTimeout(this.silence);
    if (this.stopped || this.trouble) return;
    const longest = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.failures++);
    const delay = longest * (0.5 + Math.random() / 2);
    this.coming = setTimeout(() => this.connect(), Math.max(delay, this.comeBackMs));
  }

  /** From now on it may be silent for so long. */
  private listen(): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.socket?.terminate(), SILENCE_MAX_MS);
  }

  /** Sends what may be sent. */
  private pump(): void {
    clearTimeout(this.sending);
    while (this.welcome && this.socket?.readyState === WebSocket.OPEN) {
      const now = performance.now();
      const next = Math.max(this.notBefore, this.lastSent + this.intervalMs);
      if (now < next) {
        // Timers may be a millisecond early.
        this.sending = setTimeout(() => this.pump(), next - now + 1);
        return;
      }
      const found = this.following();
      if (!found) return;
      const [seq, message] = found;
      let bytes = 0;
      for (const size of this.unanswered.values()) bytes += size;
      const room = this.unanswered.size === 0 || bytes + message.length <= this.credit.bytes;
      if (this.unanswered.size >= this.credit.batches || !room) return;
      this.unanswered.set(seq, message.length);
      this.sent = seq;
      this.lastSent = now;
      this.socket.send(message);
    }
  }

  /** The first batch that was not sent on this connection. */
  private following(): [number, Buffer] | undefined {
    for (let seq = Math.max(this.sent + 1, this.buffer.lowest()); seq < this.buffer.next; seq++) {
      const message = this.buffer.get(seq);
      if (message) return [seq, message];
    }
    return undefined;
  }

  private hear(said: Downstream): void {
    switch (said.kind) {
      case "welcome":
        this.failures = 0;
        this.settle(said.lastSeq);
        this.sent = said.lastSeq;
        this.credit = said;
        this.welcome = true;
        break;
      case "ack":
        this.settle(said.seq);
        this.credit = said;
        break;
      case "refusal":
        this.refused(said.seq, said.laterAfterMs, said.why);
        break;
      case "throttle":
        this.credit = said;
        this.intervalMs = said.minIntervalMs;
        break;
      case "goodbye":
        this.comeBackMs = said.reconnectAfterMs;
        break;
      case "command":
        this.socket?.send(this.obey(said.id, said.device, said.name, said.payload));
        break;
      case "desired":
        if (this.options.onDesired) this.socket?.send(this.become(said.device, said.version, said.document));
        break;
      case "unknown":
        break;
    }
    this.pump();
  }

  private settle(last: number): void {
    this.buffer.settle(last);
    for (const seq of [...this.unanswered.keys()]) if (seq <= last) this.unanswered.delete(seq);
    this.look();
  }

  private refused(seq: number, laterAfterMs: number | undefined, why: string): void {
    if (laterAfterMs === undefined) {
      this.unanswered.delete(seq);
      if (this.buffer.drop(seq)) this.options.on?.refused?.(seq, why);
      this.look();
    } else {
      // All that is held is sent again, as after a reconnect.
      this.unanswered.clear();
      this.sent = 0;
      this.notBefore = Math.max(this.notBefore, performance.now() + laterAfterMs);
    }
  }

  private obey(id: bigint, device: string, name: string, payload: string): Buffer {
    let answer = this.done.get(id);
    if (!answer) {
      try {
        if (!this.options.onCommand) throw new Error("this client takes no commands");
        const gave = this.options.onCommand(device, name, payload ? JSON.parse(payload) : undefined);
        answer = result(id, true, "", gave === undefined ? "" : JSON.stringify(gave));
      } catch (error) {
        answer = result(id, false, String(error instanceof Error ? error.message : error), "");
      }
      this.done.set(id, answer);
      const [oldest] = this.done.keys();
      if (this.done.size > DONE_MAX && oldest !== undefined) this.done.delete(oldest);
    }
    return answer;
  }

  private become(device: string, version: bigint, document: string): Buffer {
    try {
      const now = this.options.onDesired?.(device, JSON.parse(document));
      return reported(device, version, true, "", JSON.stringify(now));
    } catch (error) {
      return reported(device, version, false, String(error instanceof Error ? error.message : error), "");
    }
  }
}
