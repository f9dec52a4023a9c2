// The alerts that are open: a fold over what the daemon lists and what it tells as they change. Pure.

import type { AlertFilter } from '../route';
import type { Alert, AlertCounts, AlertPage, AlertState, Severity } from '../wire_alerts';

export const SEVERITIES: readonly Severity[] = ['critical', 'warning', 'info'];
export const OPEN_STATES: readonly AlertState[] = ['firing', 'acknowledged', 'pending'];

export interface Badge {
  firing: number;
  /** How many of those are critical, as far as they are known. */
  critical: number;
}

export class Alerts {
  private readonly known = new Map<number, Alert>();
  /** Open alerts that there are beside those in `open`. */
  more = 0;
  /** True once it is known which ones are open. */
  filled = false;
  /** Grows with each change. */
  version = 0;
  /** What was told while a list was asked for: newer than the list may be. */
  private meanwhile: Alert[] | null = null;

  get open(): ReadonlyMap<number, Alert> {
    return this.known;
  }

  /** Alerts that changed. `all`: no others are open, but for `more`. */
  tell(alerts: readonly Alert[], all: boolean, more = 0): void {
    if (all) {
      this.known.clear();
      this.more = more;
      this.filled = true;
    }
    for (const alert of alerts) this.take(alert);
    this.meanwhile?.push(...alerts);
    this.version += 1;
  }

  /** A list is about to be asked for. */
  asking(): void {
    this.meanwhile = [];
  }

  /** The list that was asked for, newest first. */
  list(page: AlertPage): void {
    this.known.clear();
    for (const alert of page.alerts) this.take(alert);
    this.more = Math.max(0, total(page.counts) - page.alerts.length);
    for (const alert of this.meanwhile ?? []) this.take(alert);
    this.meanwhile = null;
    this.filled = true;
    this.version += 1;
  }

  /** The list did not come. */
  failed(): void {
    this.meanwhile = null;
  }

  badge(): Badge {
    let firing = 0;
    let critical = 0;
    for (const { state, severity } of this.known.values()) {
      if (state !== 'firing') continue;
      firing += 1;
      if (severity === 'critical') critical += 1;
    }
    return { firing, critical };
  }

  counts(): AlertCounts {
    const counts: AlertCounts = { pending: 0, firing: 0, acknowledged: 0 };
    for (const { state } of this.known.values()) if (state !== 'resolved') counts[state] += 1;
    return counts;
  }

  private take(alert: Alert): void {
    if (alert.state === 'resolved') this.known.delete(alert.id);
    else this.known.set(alert.id, alert);
  }
}

const total = (counts: AlertCounts): number => counts.pending + counts.firing + counts.acknowledged;

/** Those that fit, in the order in which somebody should look at them: what nobody has taken notice of, the worst first, the newest first. */
export function ordered(alerts: Iterable<Alert>, filter: AlertFilter): Alert[] {
  return [...alerts].filter((alert) => fits(alert, filter)).sort(urgency);
}

export function fits(alert: Alert, filter: AlertFilter): boolean {
  if (filter.severity !== null && alert.severity !== filter.severity) return false;
  if (filter.rule !== null && alert.rule !== filter.rule) return false;
  return filter.device === null || alert.device === filter.device;
}

function urgency(a: Alert, b: Alert): number {
  return (
    OPEN_STATES.indexOf(a.state) - OPEN_STATES.indexOf(b.state) ||
    SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) ||
    since(b) - since(a) ||
    b.id - a.id
  );
}

/** Since when it is in its state. */
export function since(alert: Alert): number {
  if (alert.state === 'resolved') return alert.resolved_at ?? alert.pending_at;
  if (alert.state === 'acknowledged') return alert.acknowledged?.at ?? alert.fired_at ?? alert.pending_at;
  return alert.state === 'firing' ? (alert.fired_at ?? alert.pending_at) : alert.pending_at;
}
