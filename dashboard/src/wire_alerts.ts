// The shapes of alerts, rules, silences and notifications that docs/http.md promises.

import type { Scalar, Tags } from './wire';

export type Severity = 'info' | 'warning' | 'critical';
export type AlertState = 'pending' | 'firing' | 'acknowledged' | 'resolved';

export interface Alert {
  id: number;
  rule: string;
  severity: Severity;
  /** Null: it is about the daemon, and `subject` says about which part. */
  device: string | null;
  metric: string | null;
  tags: Tags;
  subject: string;
  state: AlertState;
  value: Scalar | string;
  unit: string;
  text: string;
  runbook: string;
  pending_at: number;
  fired_at: number | null;
  acknowledged: { by: string; note: string; at: number } | null;
  resolved_at: number | null;
  /** Nobody is notified of it, because a silence says so. */
  silenced: boolean;
}

export interface AlertEvent {
  id: number;
  at: number;
  kind: 'fired' | 'acknowledged' | 'resolved';
  by?: string | null;
  note?: string | null;
  value?: Scalar | string;
}

export type FullAlert = Alert & { events: AlertEvent[] };

export interface AlertCounts {
  pending: number;
  firing: number;
  acknowledged: number;
}

export interface AlertPage {
  alerts: Alert[];
  next: number | null;
  counts: AlertCounts;
}

export interface Acknowledged {
  acknowledged: number[];
  not: { id: number; why: string }[];
}

export type RuleKind = 'threshold' | 'change' | 'absence' | 'flatline' | 'text' | 'offline' | 'daemon';
export type DaemonTrouble = 'breaker_open' | 'spool' | 'refusals' | 'broker' | 'disk';

/** What a rule says; what is not said has the daemon's default. Spans are texts: `30 s`. */
export interface RuleBody {
  kind: RuleKind;
  device?: string[];
  metric?: string[];
  tags?: Tags;
  severity?: Severity;
  for?: string;
  text?: string;
  runbook?: string;
  notify?: string[];
  above?: number | null;
  below?: number | null;
  hysteresis?: number;
  per?: string;
  over?: string;
  after?: string;
  tolerance?: number;
  equals?: (string | boolean)[];
  what?: DaemonTrouble;
}

export interface Rule extends RuleBody {
  name: string;
  source: 'file' | 'page' | 'built-in';
  matching: number;
  firing: number;
  error: string | null;
}

/** Keeps notifications back, until it ends. */
export interface Silence {
  id: number;
  rule: string[];
  device: string[];
  severity: Severity[];
  from: number;
  until: number;
  by: string;
  note: string;
}

export interface Channel {
  name: string;
  kind: 'webhook' | 'email' | 'mqtt';
  state: 'idle' | 'waiting' | 'failing';
  sent: number;
  failed: number;
  pending_events: number;
  dead_letters: number;
  last_error: string | null;
  last_sent_at: number | null;
  next_try_at: number | null;
}

/** A message that could not be delivered. */
export interface LostMessage {
  id: number | string;
  channel: string;
  at: number;
  reason: string;
  summary: string;
  attempts: number;
}

export interface Notifications {
  channels: Channel[];
  dead_letters: LostMessage[];
}
