// Keeps the open alerts known: what the live subscriptions tell, and the list where those do not tell of all.
//
// A subscription to all devices tells everything. On a page whose subscription is to one device, the daemon's status says
// every second how many are open: if that is not what is known here, the list is asked for.

import type { AlertFrame } from '../wire';
import type { AlertCounts } from '../wire_alerts';
import { ALL_ALERTS } from '../route';
import * as api from '../link/alerts_api';
import type { Alerts } from './alerts';
import { isOut } from './standing';

/** How often the list is asked for: while nothing tells of changes; while something does; and of a daemon without alerts. */
const ALONE_MS = 5000;
const BESIDE_MS = 60_000;
const ABSENT_MS = 300_000;
/** It is not asked for more often than this, however often counts differ. */
const AT_MOST_MS = 1000;
/** How much of the list is asked for. */
const LIST_MAX = 500;

export class AlertsFeed {
  /** When all alerts were last listed, on the page's own clock. */
  at: number | null = null;
  fault: string | null = null;
  /** The daemon has no alerts at all: it is older than the page. */
  absent = false;
  /** A subscription tells of every change. */
  whole = false;
  /** The daemon's status tells how many are open. */
  private counted = false;
  private asking = false;

  constructor(
    private readonly alerts: Alerts,
    private readonly changed: () => void,
  ) {}

  start(): void {
    window.setInterval(() => this.due() && void this.ask(), 1000);
    void this.ask();
  }

  /** `whole`: the subscription is to all devices. */
  receive(frame: AlertFrame, whole: boolean): void {
    const { alerts, all, more } = frame.data;
    this.alerts.tell(alerts, whole && all === true, more ?? 0);
    if (whole && all === true) {
      this.whole = true;
      this.at = performance.now();
    }
    this.changed();
  }

  /** How many are open, as the daemon's status tells; older daemons tell nothing. */
  count(told: AlertCounts | undefined): void {
    if (told === undefined) return;
    this.counted = true;
    const { firing, pending, acknowledged } = this.alerts.counts();
    const same = firing === told.firing && pending === told.pending && acknowledged === told.acknowledged;
    // Where the list holds not all of them, its counts are others anyway.
    if (same || this.whole || this.alerts.more > 0 || isOut()) return;
    if (performance.now() - (this.at ?? -Infinity) >= AT_MOST_MS) void this.ask();
  }

  /** The subscription to all devices ended. */
  uncovered(): void {
    this.whole = false;
  }

  async ask(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    this.alerts.asking();
    try {
      this.alerts.list(await api.alerts('open', ALL_ALERTS, null, LIST_MAX));
      this.fault = null;
      this.absent = false;
    } catch (error) {
      this.alerts.failed();
      // Want of a login is told over the whole page.
      this.fault = isOut() ? null : (error as Error).message;
      this.absent = (error as { status?: number }).status === 404;
    }
    this.at = performance.now();
    this.asking = false;
    this.changed();
  }

  private due(): boolean {
    const age = performance.now() - (this.at ?? -Infinity);
    return !document.hidden && !isOut() && age > (this.absent ? ABSENT_MS : this.whole || (this.counted && this.alerts.more === 0) ? BESIDE_MS : ALONE_MS);
  }
}
