// Feeds the charts of a page: live and history of some series, for whatever time is looked at.
//
// Live: first the subscription, then history with the id of its first frame, so that history holds all that was in
// that frame and live holds all that came after it. The past: history alone; live goes on, but draws nothing, so
// that nothing moves. Each new question makes the one before void.

import { stir } from '../beat';
import * as api from '../link/api';
import type { Handle, Link } from '../link/link';
import type { DeviceInfo, DeviceRollups, Frame, MetricInfo, SnapshotFrame, Tags } from '../wire';
import { isText, seriesName } from '../wire';
import { say } from '../text/say';
import { keyOf } from './board';
import { bucketFor, liveBucket, type Plan, planFor, rangeNamed, refreshOf, windowWidth } from './range';
import { lacks, questionFor, type Span, widthOf } from './span';
import { isOut } from './standing';
import { Trace } from './trace';
import type { Units } from './units';
import { type ChartView, COMPARED_MS, DEFAULT_CHARTS, spanAt } from './view';

/** Browsers open six connections to a host; some are left for everything else. */
const QUESTIONS_AT_ONCE = 4;
/** Late data comes in bursts; history is asked again so long after the first of one. */
const LATE_MS = 2000;
/** How often the daemon may say "later" to one question: the history may be some moments behind live. */
const LATER_MAX = 5;
/** A wheel turns many times: the daemon is asked when it rests. */
const REST_MS = 120;
const TICK_MS = 5000;

export type Lookup = 'asking' | 'known' | 'never seen';
export type Described = MetricInfo & { device: string };

/** What a feed is about. */
export interface Topic {
  /** At most as many as a subscription takes. */
  devices: readonly string[];
  /** Null: all. */
  metrics: readonly string[] | null;
  wants(device: string, metric: string, tags: Tags): boolean;
  /** Asks which series there are. */
  describe(): Promise<Described[]>;
}

export class ChartFeed {
  /** By key. */
  readonly traces = new Map<string, Trace>();
  lookup: Lookup = 'asking';
  refusal: string | null = null;
  /** When a `rollups` frame last had one of its devices in it, by the daemon's clock. */
  heard: number | null = null;
  /** Width of the points that are asked for. */
  bucket_ms = 1000;
  protected view: ChartView = DEFAULT_CHARTS;
  private pixels = 800;
  private plan: Plan;
  /** Width of the windows that live tells, if they are coarser than those that were asked for: this viewer is slow. */
  private coarse_ms = 0;
  private handle: Handle | null = null;
  /** History was last asked for all up to this frame; what live told since lies over it. */
  private joinedAt: string | null = null;
  private lastFrame: string | null = null;
  private abort = new AbortController();
  private lateTimer = 0;
  private restTimer = 0;
  private tickTimer = 0;
  private changedAt = -Infinity;
  private askedAt = -Infinity;
  /** What of the past was last asked for; null: nothing that is still worth anything. */
  private asked: { question: Span; bucket_ms: number; compare: ChartView['compare'] } | null = null;
  /** How far the ghosts of a live view reach. */
  private hauntedUntil = 0;

  constructor(
    readonly topic: Topic,
    protected readonly windows: readonly string[],
    protected readonly link: Link,
    protected readonly units: Units,
  ) {
    this.plan = planFor(rangeNamed(this.view.range), windows);
  }

  open(view: ChartView, pixels: number): void {
    this.view = view;
    this.pixels = pixels;
    this.plan = planFor(rangeNamed(view.range), this.windows);
    this.handle = this.link.subscribe(this.subscription(), null, {
      frame: (frame) => this.receive(frame),
      refused: (message) => {
        this.refusal = message;
        stir();
      },
    });
    this.tickTimer = window.setInterval(() => document.hidden || isOut() || this.tick(), TICK_MS);
    if (view.past !== null) void this.load(null);
  }

  close(): void {
    this.handle?.close();
    this.abort.abort();
    window.clearInterval(this.tickTimer);
    window.clearTimeout(this.lateTimer);
    window.clearTimeout(this.restTimer);
  }

  /** Looks at another time, or compares with another, or has other pixels to fill. */
  look(view: ChartView, pixels: number): void {
    const before = this.view;
    const wider = pixels !== this.pixels;
    this.view = view;
    this.pixels = pixels;
    if (view.compare === null) for (const trace of this.traces.values()) trace.exorcise();
    // What live told has no place in the past, whose points are others.
    if (view.past !== null && before.past === null) for (const trace of this.traces.values()) trace.yieldToHistory();
    if (view.past !== null) this.lookBack(view.past);
    else if (before.past !== null || before.range !== view.range) this.goLive();
    // Before the first frame has come nothing was asked for: it will be asked for as it is wanted then.
    else if (this.joinedAt === null) return;
    else if (wider && !this.plan.drawn) this.rest();
    else if (before.compare !== view.compare) this.rest();
  }

  /** Asks history again, after a failure. */
  retry(): void {
    void this.load(this.view.past === null ? this.joinedAt : null);
  }

  /** Asks for what could not be had while nobody was logged in. */
  mend(): void {
    const failed = this.ordered().some((trace) => trace.history === 'failed');
    if (failed || this.lookup === 'asking') this.retry();
  }

  ordered(): Trace[] {
    return [...this.traces.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  protected inform(_devices: DeviceInfo[]): void {
    // Whoever shows what is known of a device listens.
  }

  private get drawn(): boolean {
    return this.view.past === null && this.plan.drawn;
  }

  private subscription(): { device: string[]; metric: string[]; window: string } {
    const { devices, metrics } = this.topic;
    return { device: devices.map(globOf), metric: metrics === null ? ['*'] : metrics.map(globOf), window: this.plan.window };
  }

  private liveWidth(): number {
    const wanted = liveBucket(rangeNamed(this.view.range), this.plan, this.pixels);
    return this.plan.drawn ? Math.max(wanted, this.coarse_ms) : wanted;
  }

  private lookBack(past: Span): void {
    const { asked } = this;
    const bucket_ms = bucketFor(widthOf(past), this.pixels);
    const same = asked !== null && asked.bucket_ms === bucket_ms && asked.compare === this.view.compare;
    if (!same || lacks(asked.question, past, this.now())) this.rest();
  }

  private goLive(): void {
    window.clearTimeout(this.restTimer);
    this.abort.abort();
    this.asked = null;
    const range = rangeNamed(this.view.range);
    const plan = planFor(range, this.windows);
    const same = plan.window === this.plan.window;
    this.plan = plan;
    if (!same) this.coarse_ms = 0;
    this.bucket_ms = this.liveWidth();
    for (const trace of this.traces.values()) {
      trace.expect(this.bucket_ms);
      trace.loaded = null;
    }
    // Another window begins with a snapshot, which asks for the past itself.
    if (!same) this.handle?.change(this.subscription());
    else this.askAnew();
  }

  /** Asks as soon as nothing has changed for a moment; at once if that is long ago. */
  private rest(): void {
    const now = performance.now();
    const busy = now - this.changedAt < 2 * REST_MS;
    this.changedAt = now;
    window.clearTimeout(this.restTimer);
    this.restTimer = window.setTimeout(() => this.retry(), busy ? REST_MS : 0);
  }

  private tick(): void {
    if (this.view.past !== null || this.joinedAt === null) return;
    const due = performance.now() - this.askedAt >= refreshOf(this.bucket_ms);
    if (!this.plan.drawn && due) void this.load(null);
    else if (this.view.compare !== null && this.hauntedUntil < this.now()) void this.load(this.askLive());
  }

  private receive(frame: Frame): void {
    if (frame.type === 'snapshot') this.snapshot(frame.id, frame.data);
    else if (frame.type === 'rollups') this.rollups(frame.id, frame.data.devices, frame.time);
    else if (frame.type === 'device') this.inform(frame.data.devices);
    stir();
  }

  /** A snapshot that stands alone begins everything anew; one that resumes only goes on. */
  private snapshot(id: string, { devices, resumed, window }: SnapshotFrame['data']): void {
    this.refusal = null;
    const coarse_ms = window === this.plan.window ? 0 : windowWidth(window);
    // Windows of another width are other points: all of them are asked for anew, as wide as they come now.
    const whole = resumed && this.joinedAt !== null && coarse_ms === this.coarse_ms;
    this.coarse_ms = coarse_ms;
    const past = this.view.past !== null;
    if (!whole && !past) for (const trace of this.traces.values()) trace.restart();
    this.apply(devices, null);
    this.lastFrame = id;
    if (whole) return;
    this.joinedAt = id;
    if (!past) void this.load(id);
  }

  private rollups(id: string, devices: DeviceRollups[], time: number): void {
    this.apply(devices, time);
    this.lastFrame = id;
    const late = devices.some((device) => this.topic.devices.includes(device.device) && device.late === true);
    if (late && this.drawn && this.lateTimer === 0) {
      this.lateTimer = window.setTimeout(() => {
        this.lateTimer = 0;
        if (this.drawn) this.askAnew();
      }, LATE_MS);
    }
  }

  /** Late samples are in history alone, and live would hide them: all that it told so far is void. */
  private askAnew(): void {
    void this.load(this.askLive());
  }

  private askLive(): string | null {
    for (const trace of this.traces.values()) trace.yieldToHistory();
    this.joinedAt = this.lastFrame;
    return this.joinedAt;
  }

  private apply(devices: DeviceRollups[], heard: number | null): void {
    for (const device of devices) {
      if (!this.topic.devices.includes(device.device)) continue;
      if (device.units !== undefined) this.units.learn(device.device, device.units);
      if (heard !== null) this.heard = heard;
      for (const metric in device.rollups) {
        if (this.topic.wants(device.device, metric, device.tags ?? {})) this.push(metric, device);
      }
    }
  }

  private push(metric: string, device: DeviceRollups): void {
    const rollups = device.rollups[metric]!;
    const key = keyOf(device.device, seriesName(metric, device.tags));
    let trace = this.traces.get(key);
    if (trace === undefined) {
      const type = rollups.some(isText) ? 'text' : 'float';
      trace = new Trace(metric, device.tags ?? {}, { type, unit: null }, device.device);
      this.traces.set(key, trace);
      // A series that appears while the page is open has no past that was asked for.
      if (this.lookup === 'known') void this.ask(trace, this.view.past === null ? this.joinedAt : null);
    }
    trace.unit = this.units.of(device.device, metric) ?? trace.unit;
    for (const rollup of rollups) trace.push(rollup, this.drawn);
    const now = this.link.daemonNow();
    if (now === null || this.view.past !== null) return;
    trace.trim(now - rangeNamed(this.view.range).span_ms - 2 * this.bucket_ms);
  }

  /** Loads the past of every series, a few at a time, those on the screen first. */
  private async load(after: string | null): Promise<void> {
    this.abort.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    const { past } = this.view;
    this.bucket_ms = past === null ? this.liveWidth() : bucketFor(widthOf(past), this.pixels);
    this.askedAt = performance.now();
    this.asked = past === null ? null : { question: this.question(), bucket_ms: this.bucket_ms, compare: this.view.compare };
    if (this.lookup !== 'known') await this.lookUp(signal);
    for (const trace of this.traces.values()) trace.expect(this.bucket_ms);
    const waiting = this.ordered().sort((a, b) => Number(b.seen) - Number(a.seen));
    const work = async (): Promise<void> => {
      for (let trace = waiting.shift(); trace !== undefined && !signal.aborted; trace = waiting.shift()) {
        await this.ask(trace, after);
      }
    };
    await Promise.all(Array.from({ length: QUESTIONS_AT_ONCE }, work));
  }

  private async lookUp(signal: AbortSignal): Promise<void> {
    try {
      for (const it of await this.topic.describe()) {
        if (!this.topic.wants(it.device, it.metric, it.tags ?? {})) continue;
        const key = keyOf(it.device, seriesName(it.metric, it.tags));
        const known = this.traces.get(key);
        if (known === undefined) this.traces.set(key, new Trace(it.metric, it.tags ?? {}, it, it.device));
        else known.describe(it);
      }
      this.lookup = 'known';
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof api.ApiError && error.status === 404) this.lookup = 'never seen';
    }
    stir();
  }

  private async ask(trace: Trace, after: string | null): Promise<void> {
    const { signal } = this.abort;
    const { past } = this.view;
    const { bucket_ms } = this;
    const [from, to] = this.question();
    const { device, metric, tags } = trace;
    // A live view goes on behind what was asked for, so it is asked without an end.
    const end = past === null ? null : to;
    try {
      const answer = await patiently(() => api.buckets({ device, metric, tags, bucket_ms, from, to: end, after }, signal), signal);
      trace.join(answer, bucket_ms, [from, end ?? Infinity]);
    } catch (error) {
      if (signal.aborted) return;
      trace.fail(error instanceof api.ApiError ? error.message : say('charts.no_answer'));
    }
    stir();
    await this.haunt(trace, [from, to], signal);
  }

  private question(): Span {
    const now = this.now();
    return questionFor(spanAt(this.view, now), this.bucket_ms, now);
  }

  /** Asks for the same at the time that is compared with. */
  private async haunt(trace: Trace, [from, to]: Span, signal: AbortSignal): Promise<void> {
    const { past, compare } = this.view;
    if (compare === null || trace.kind === 'text' || trace.history === 'failed') return;
    const { device, metric, tags } = trace;
    const { bucket_ms } = this;
    const shift = COMPARED_MS[compare];
    // Yesterday's future is known: a live view has some of it in store.
    const ahead = past === null ? Math.max(60_000, (to - from) / 8) : 0;
    const then = { from: from - shift, to: to - shift + ahead, after: null };
    try {
      const answer = await api.buckets({ device, metric, tags, bucket_ms, ...then }, signal);
      if (signal.aborted) return;
      trace.haunt(answer, shift, bucket_ms);
      this.hauntedUntil = to + ahead;
    } catch {
      // The comparison is missing then, which its legend says; the chart itself is whole.
      if (!signal.aborted) trace.exorcise();
    }
    stir();
  }

  private now(): number {
    return this.link.daemonNow() ?? Date.now();
  }
}

/** Asks again when the daemon, which says "later", says that it can answer. */
async function patiently<Answer>(ask: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask();
    } catch (error) {
      const wait_s = error instanceof api.ApiError && error.status === 503 ? error.retry_s : null;
      if (wait_s === null || tries >= LATER_MAX) throw error;
      await new Promise((done) => window.setTimeout(done, wait_s * 1000));
      signal.throwIfAborted();
    }
  }
}

/** A name may hold what a glob would take for a pattern. */
export function globOf(id: string): string {
  return id.replace(/[\\*?[\]{}]/g, '\\$&');
}
