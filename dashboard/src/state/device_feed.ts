// Feeds a device page. The order matters: first the live subscription, then history with the id of its first
// frame, so that history holds all that was in that frame and live holds all that came after it.

import { stir } from '../beat';
import * as api from '../link/api';
import type { Handle, Link } from '../link/link';
import type { DeviceInfo, DeviceRollups, Frame } from '../wire';
import { isText, seriesName } from '../wire';
import type { Plan, Range } from './range';
import { planFor, REFRESH_MS } from './range';
import { Trace } from './trace';
import type { Units } from './units';

/** Browsers open six connections to a host; some are left for everything else. */
const QUESTIONS_AT_ONCE = 4;
/** Late data comes in bursts; history is asked again so long after the first of one. */
const LATE_MS = 2000;

export type Lookup = 'asking' | 'known' | 'never seen';

export class DeviceFeed {
  readonly traces = new Map<string, Trace>();
  info: DeviceInfo | null = null;
  lookup: Lookup = 'asking';
  refusal: string | null = null;
  /** When a `rollups` frame last had this device in it, by the daemon's clock. */
  heard: number | null = null;
  private readonly plan: Plan;
  private handle: Handle | null = null;
  /** History was last asked for all up to this frame; what live told since lies over it. */
  private joinedAt: string | null = null;
  private lastFrame: string | null = null;
  private lateTimer = 0;
  private abort = new AbortController();
  private refreshTimer = 0;

  constructor(
    readonly id: string,
    readonly range: Range,
    windows: readonly string[],
    private readonly link: Link,
    private readonly units: Units,
  ) {
    this.plan = planFor(range, windows);
  }

  open(): void {
    this.handle = this.link.subscribe({ device: [globOf(this.id)], metric: ['*'], window: this.plan.window }, null, {
      frame: (frame) => this.receive(frame),
      refused: (message) => {
        this.refusal = message;
        stir();
      },
    });
    if (!this.plan.drawn) {
      this.refreshTimer = window.setInterval(() => {
        if (!document.hidden) void this.load(null);
      }, REFRESH_MS);
    }
  }

  close(): void {
    this.handle?.close();
    this.abort.abort();
    window.clearInterval(this.refreshTimer);
    window.clearTimeout(this.lateTimer);
  }

  /** Asks history again, after a failure. */
  retry(): void {
    void this.load(this.joinedAt);
  }

  /** Names in order of drawing: lines first, then states. */
  ordered(): Trace[] {
    return [...this.traces.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  private receive(frame: Frame): void {
    if (frame.type === 'snapshot') this.snapshot(frame.id, frame.data.devices, frame.data.resumed);
    else if (frame.type === 'rollups') this.rollups(frame.id, frame.data.devices, frame.time);
    else if (frame.type === 'device') this.inform(frame.data.devices);
    stir();
  }

  /** A snapshot that stands alone begins everything anew; one that resumes only goes on. */
  private snapshot(id: string, devices: DeviceRollups[], resumed: boolean): void {
    this.refusal = null;
    const whole = resumed && this.joinedAt !== null;
    if (!whole) for (const trace of this.traces.values()) trace.restart();
    this.apply(devices, null);
    this.lastFrame = id;
    if (whole) return;
    this.joinedAt = id;
    void this.load(id);
  }

  private rollups(id: string, devices: DeviceRollups[], time: number): void {
    this.apply(devices, time);
    this.lastFrame = id;
    const late = devices.some((device) => device.device === this.id && device.late === true);
    if (late && this.plan.drawn && this.lateTimer === 0) {
      this.lateTimer = window.setTimeout(() => this.askAnew(), LATE_MS);
    }
  }

  /** Late samples are in history alone, and live would hide them: all that it told so far is void. */
  private askAnew(): void {
    this.lateTimer = 0;
    for (const trace of this.traces.values()) trace.yieldToHistory();
    this.joinedAt = this.lastFrame;
    void this.load(this.joinedAt);
  }

  private inform(devices: DeviceInfo[]): void {
    const info = devices.find((device) => device.id === this.id);
    if (info !== undefined) this.info = { ...this.info, ...info };
  }

  private apply(devices: DeviceRollups[], heard: number | null): void {
    for (const device of devices) {
      if (device.device !== this.id) continue;
      if (device.units !== undefined) this.units.learn(this.id, device.units);
      if (heard !== null) this.heard = heard;
      for (const metric in device.rollups) this.push(metric, device);
    }
  }

  private push(metric: string, device: DeviceRollups): void {
    const rollups = device.rollups[metric]!;
    const name = seriesName(metric, device.tags);
    let trace = this.traces.get(name);
    if (trace === undefined) {
      const type = rollups.some(isText) ? 'text' : 'float';
      trace = new Trace(metric, device.tags ?? {}, { type, unit: null });
      this.traces.set(name, trace);
      // A series that appears while the page is open has no past that was asked for.
      if (this.lookup === 'known') void this.ask(trace, this.joinedAt);
    }
    trace.unit = this.units.of(this.id, metric) ?? trace.unit;
    for (const rollup of rollups) trace.push(rollup, this.plan.drawn);
    const now = this.link.daemonNow();
    if (now !== null) trace.trim(now - this.range.span_ms - 2 * this.range.bucket_ms);
  }

  /** Loads the past of every series, a few at a time. A later load makes an earlier one void. */
  private async load(after: string | null): Promise<void> {
    this.abort.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    await this.look(signal);
    const waiting = this.ordered();
    const work = async (): Promise<void> => {
      for (let trace = waiting.shift(); trace !== undefined && !signal.aborted; trace = waiting.shift()) {
        await this.ask(trace, after);
      }
    };
    await Promise.all(Array.from({ length: QUESTIONS_AT_ONCE }, work));
  }

  private async look(signal: AbortSignal): Promise<void> {
    try {
      const { metrics, ...info } = await api.device(this.id);
      if (signal.aborted) return;
      this.info = { ...info, ...this.info, ...(info.series === undefined ? {} : { series: info.series }) };
      for (const metric of metrics) {
        const name = seriesName(metric.metric, metric.tags);
        const known = this.traces.get(name);
        if (known === undefined) this.traces.set(name, new Trace(metric.metric, metric.tags ?? {}, metric));
        else known.describe(metric);
      }
      this.lookup = 'known';
    } catch (error) {
      if (error instanceof api.ApiError && error.status === 404) this.lookup = 'never seen';
    }
    stir();
  }

  private async ask(trace: Trace, after: string | null): Promise<void> {
    const { signal } = this.abort;
    const { span_ms, bucket_ms } = this.range;
    const now = this.link.daemonNow() ?? Date.now();
    const from = Math.floor((now - span_ms) / bucket_ms) * bucket_ms;
    try {
      const { metric, tags } = trace;
      trace.join(await api.buckets({ device: this.id, metric, tags, from, bucket_ms, after }, signal));
    } catch (error) {
      if (signal.aborted) return;
      trace.fail(error instanceof api.ApiError ? error.message : 'the daemon did not answer');
    }
    stir();
  }
}

/** An id may hold what a glob would take for a pattern. */
function globOf(id: string): string {
  return id.replace(/[\\*?[\]{}]/g, '\\$&');
}
