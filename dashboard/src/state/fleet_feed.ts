// Keeps the fleet fed: the list of devices over HTTP, everything else from one live subscription that is held
// while the overview is shown, and taken up again by its cursor when somebody comes back to it.

import { stir } from '../beat';
import * as api from '../link/api';
import type { Handle, Link } from '../link/link';
import type { Frame } from '../wire';
import type { Fleet } from './fleet';
import { windowWidth } from './range';

/** Beyond this many live series only the metrics that the table shows are asked for. */
const SERIES_FOR_ALL_METRICS = 16_000;
/** The daemon takes no more patterns than this in one subscription. */
const PATTERNS_MAX = 32;
/** A device that nobody listed makes the list be asked again, but not more often than this. */
const LIST_EVERY_MS = 10_000;

export class FleetFeed {
  /** Why the daemon refuses the subscription, if it does. */
  refusal: string | null = null;
  /** True once the first snapshot is in. */
  filled = false;
  private handle: Handle | null = null;
  private cursor: string | null = null;
  private narrowed: string[] | null = null;
  private listTimer = 0;
  private listedAt = -Infinity;

  constructor(
    private readonly fleet: Fleet,
    private readonly link: Link,
    private readonly window: string,
  ) {}

  open(): void {
    if (this.handle !== null) return;
    this.handle = this.link.subscribe(this.subscription(), this.cursor, {
      frame: (frame) => this.receive(frame),
      refused: (message) => {
        this.refusal = message;
        stir();
      },
    });
    this.listSoon();
  }

  close(): void {
    this.cursor = this.handle?.close() ?? this.cursor;
    this.handle = null;
  }

  /** A metric was chosen that the narrowed subscription may lack. */
  need(metric: string | null): void {
    if (metric === null || this.narrowed === null || this.narrowed.includes(metric)) return;
    this.narrowed = this.narrowed.length < PATTERNS_MAX ? [...this.narrowed, metric] : null;
    this.handle?.change(this.subscription());
  }

  private subscription(): { device: string[]; metric: string[]; window: string } {
    return { device: ['*'], metric: this.narrowed ?? ['*'], window: this.window };
  }

  private receive(frame: Frame): void {
    if (frame.type === 'snapshot') {
      this.refusal = null;
      this.filled = true;
      // Windows of another width, because this viewer is slow or is so no longer, make another curve.
      const width = windowWidth(frame.data.window);
      if (!frame.data.resumed || width !== this.fleet.window_ms) this.fleet.forget();
      this.fleet.window_ms = width;
      this.fleet.apply(frame.data.devices, null);
      this.listSoon();
      this.narrow();
    } else if (frame.type === 'rollups') {
      this.fleet.apply(frame.data.devices, frame.time);
    } else if (frame.type === 'device') {
      if (this.fleet.inform(frame.data.devices)) {
        this.widen();
        this.listSoon();
      }
    }
    stir();
  }

  /** A big fleet is asked only for what the table shows: it is the viewer, not the daemon, that would drown. */
  private narrow(): void {
    if (this.narrowed !== null) return;
    const shown = new Set<string>();
    let series = 0;
    for (const row of this.fleet.rows.values()) {
      series += row.cells.size;
      for (const cell of row.keys) shown.add(cell.metric);
      if (row.word !== null) shown.add(row.word.metric);
    }
    if (this.fleet.chosen !== null) shown.add(this.fleet.chosen);
    if (series <= SERIES_FOR_ALL_METRICS || shown.size >= this.fleet.metrics.size) return;
    if (shown.size > PATTERNS_MAX) return;
    this.narrowed = [...shown].sort();
    this.handle?.change(this.subscription());
  }

  /** A new device may have metrics that were never seen; only a snapshot of everything tells them. */
  private widen(): void {
    if (this.narrowed === null || !this.mayList()) return;
    this.narrowed = null;
    this.handle?.change(this.subscription());
  }

  private mayList(): boolean {
    return performance.now() - this.listedAt >= LIST_EVERY_MS;
  }

  private listSoon(): void {
    if (this.listTimer !== 0) return;
    const wait = this.mayList() ? 0 : LIST_EVERY_MS;
    this.listTimer = window.setTimeout(() => void this.list(), wait);
  }

  private async list(): Promise<void> {
    this.listTimer = 0;
    this.listedAt = performance.now();
    try {
      this.fleet.list(await api.devices());
      stir();
    } catch {
      // The link shows that the daemon is away; the next snapshot asks again.
    }
  }
}
