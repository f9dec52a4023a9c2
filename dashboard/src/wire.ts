// The shapes that docs/http.md promises. Nothing here does anything: parsing is `JSON.parse`, and what the
// page does not know is told apart by `type` in `link/link.ts`.

import type { Alert } from './wire_alerts';
import type { DeviceFacts } from './wire_devices';

/** `[start_ms, count, min, max, sum, first, last]`; for booleans `first` and `last` are booleans. */
export type NumberRollup = [number, number, number | null, number | null, number | null, Scalar, Scalar];
/** `[start_ms, count, changes, last]`. */
export type TextRollup = [number, number, number, string];
export type Rollup = NumberRollup | TextRollup;
export type Scalar = number | boolean | null;

export type Tags = Record<string, string>;

/** The live state of one device under one set of tags. */
export interface DeviceRollups {
  device: string;
  tags?: Tags;
  units?: Record<string, string>;
  /** Samples came too late for any rollup; history has them. */
  late?: true;
  rollups: Record<string, Rollup[]>;
}

export interface DeviceInfo extends Partial<DeviceFacts> {
  id: string;
  online: boolean;
  first_seen: number;
  last_seen: number;
  labels?: Record<string, string>;
  software?: string | null;
  /** Only `/api/v1/devices` tells it. */
  series?: number;
}

export interface MetricInfo {
  metric: string;
  tags?: Tags;
  type: 'float' | 'int' | 'bool' | 'text';
  unit: string | null;
}

/** Counts of samples, requests and dead letters are told to who reaches all devices only. */
export interface SinkStatus {
  name: string;
  kind: 'history' | 'influx';
  /** What it gets; absent for the history. */
  send?: 'raw' | 'rollups';
  /** Width of its windows, if it gets rollups. */
  rollup_window_s?: number;
  breaker: 'closed' | 'open' | 'half_open';
  /** An operator holds the breaker open. */
  held: boolean;
  cause: string | null;
  next_probe_s: number | null;
  lag_samples?: number | null;
  /** Age of the oldest batch that it has not. */
  lag_s: number | null;
  /** The same of the newest data alone; equal to `lag_s` while there is no backlog. */
  live_lag_s: number | null;
  backlog_samples?: number;
  drain_eta_s: number | null;
  samples_per_s?: number;
  /** Absent for the history, as `dead_letters` is. */
  requests?: { under_way: number; allowed: number; sent: number; failed: number };
  written?: number;
  dead_lettered?: number;
  skipped?: number;
  /** Came when their window was closed; only of rollups. */
  late?: number;
  /** What is held now. */
  dead_letters?: { letters: number; samples: number; bytes: number };
  imbalance?: number;
}

export type BreakerAction = 'hold' | 'probe' | 'release';

/** What the daemon tells of itself. What is optional is about all devices, and told to who reaches all of them. */
export interface Status {
  version: string;
  time: number;
  uptime_s: number;
  tick_ms: number;
  windows: string[];
  pressure: number;
  /** What is so full, if anything; later daemons may know more resources. */
  pressure_of?: string | null;
  /** Why no batch would be accepted now, if so. */
  trouble?: string | null;
  spool: { bytes: number; bytes_max: number; oldest_s: number | null; durability: string; full_in_s?: number | null };
  sinks: SinkStatus[];
  live: { lag_s: number; series?: number; devices?: number; late_samples?: number };
  intake?: {
    connections: number;
    samples_per_s: number;
    batches_per_s: number;
    /** One for each bridge to a broker; absent in a daemon that was built without. */
    mqtt?: BrokerStatus[];
  };
  /** Open alerts; `critical`: those of them that fire and that nobody has taken notice of. */
  alerts?: { firing: number; pending: number; acknowledged: number; critical: number };
  viewers?: { sse: number; ws: number; degraded: number };
  ledger?: Ledger;
}

/** The status as it is told to who reaches all devices. */
export type WholeStatus = Status & Required<Pick<Status, 'intake' | 'viewers' | 'ledger'>> & { live: Required<Status['live']> };

/** A bridge to an MQTT broker. */
export interface BrokerStatus {
  name: string;
  /** Its address. */
  broker: string;
  /** Later daemons may know more. */
  state: 'connecting' | 'connected' | 'holding' | 'away' | 'refused' | 'stopped';
  cause: string | null;
  since: number;
  state_s: number;
  messages: number;
  messages_per_s: number;
  /** Messages that no route takes, that are too long, and of QoS 0 that there was no room for. */
  unrouted: number;
  too_long: number;
  no_room: number;
  /** Messages that the broker waits for our word on. */
  unacked: number;
  in_flight_bytes: number;
  routes: RouteStatus[];
}

export interface RouteStatus {
  topic: string;
  decoder: string;
  messages: number;
  samples: number;
  /** Messages that it did not understand. */
  refused: number;
  last_error: string | null;
  last_error_at: number | null;
}

/** A message that no route understood. */
export interface Quarantined {
  id: number;
  bridge: string;
  topic: string;
  received_at: number;
  /** Of the payload as it came, and of what is kept of it. */
  bytes: number;
  kept: number;
  /** The beginning of the payload; null if that is no text. */
  excerpt: string | null;
  excerpt_hex: string;
  qos: number;
  retained: boolean;
  content_type: string | null;
  properties: [key: string, value: string][];
  reason: string;
  code: string;
  attempts: number;
  /** Marked to be tried again, and not tried yet. */
  replaying: boolean;
}

/** The same with its payload in every way that it can be shown. */
export interface FullQuarantined extends Quarantined {
  text: string | null;
  json: string | null;
  protobuf: string | null;
  hex: string;
  suggestion: string;
}

/** A topic on which came what no route understood. */
export interface PuzzlingTopic {
  bridge: string;
  topic: string;
  /** Messages that came, and how many of them are kept. */
  count: number;
  held: number;
  first_seen: number;
  last_seen: number;
  reason: string;
  code: string;
  example: Quarantined | null;
  /** A route that would take the example, for the configuration. */
  suggestion: string | null;
}

export interface PuzzlingTopics {
  topics: PuzzlingTopic[];
  /** Messages that came, are held, and what became of the others; and topics that are known. */
  totals: {
    came: number;
    held: number;
    bytes: number;
    missed: number;
    shed: number;
    dropped: number;
    understood: number;
    topics: number;
  };
}

/** Which messages a replay or a drop is for; a topic may be a filter. */
export type WhichMessages = { ids: number[] } | { bridge: string; topic?: string } | { all: true };

export interface Ledger {
  accepted: number;
  stored: number;
  spooled: number;
  dead_lettered: number;
  shed: number;
  /** Not for stores, as their senders chose. */
  skipped: number;
  duplicates: number;
  refused: number;
  balanced: boolean;
}

/** What a sink refused for good, and its words for it. */
export interface DeadLetter {
  id: number;
  sink: string;
  refused_at: number;
  received_at: number;
  client: string;
  protocol: string;
  device: string;
  metrics: string[];
  samples: number;
  reason: string;
  attempts: number;
  /** Marked to be sent again, and not sent yet. */
  replaying: boolean;
}

export interface DeadLetters {
  letters: DeadLetter[];
  /** Held now; and of all time the samples shed, dropped and replayed. */
  totals: { letters: number; samples: number; bytes: number; shed: number; dropped: number; replayed: number };
  next: number | null;
}

/** Which dead letters a replay or a drop is for. */
export type Which = { ids: number[] } | { sink: string } | { all: true };

interface FrameHead {
  sub?: number;
  /** Where in the daemon's log the frame tells up to; `status` and `degraded` tell of no such place. */
  id: string;
  time: number;
}
export type SnapshotFrame = FrameHead & {
  type: 'snapshot';
  data: { window: string; resumed: boolean; tick_ms: number; devices: DeviceRollups[] };
};
export type RollupsFrame = FrameHead & {
  type: 'rollups';
  data: { window: string; devices: DeviceRollups[] };
};
export type DeviceFrame = FrameHead & { type: 'device'; data: { devices: DeviceInfo[] } };
export type StatusFrame = FrameHead & { type: 'status'; data: Status };
export type DegradedFrame = FrameHead & { type: 'degraded'; data: { factor: number; merged: number; age_ms: number; window: string } };
/** `all`: these are all that are open, but for `more`. */
export type AlertFrame = FrameHead & { type: 'alert'; data: { alerts: Alert[]; all?: boolean; more?: number } };
export type Frame = SnapshotFrame | RollupsFrame | DeviceFrame | StatusFrame | DegradedFrame | AlertFrame;

/** What `/api/v1/query` answers to a bucketed question; `min` to `avg` are absent for text. */
export interface Buckets {
  unit: string | null;
  type: MetricInfo['type'];
  time: number[];
  count: number[];
  min?: (number | null)[];
  max?: (number | null)[];
  avg?: (number | null)[];
  last: (number | boolean | string | null)[];
}

/** Text rollups are the short ones. */
export function isText(rollup: Rollup): rollup is TextRollup {
  return rollup.length === 4;
}

/** One name for (metric, tags): `motor.temperature` or `motor.temperature{site=a}`. */
export function seriesName(metric: string, tags: Tags | undefined): string {
  if (tags === undefined) return metric;
  const pairs = Object.keys(tags).sort().map((key) => `${key}=${tags[key]}`);
  return pairs.length === 0 ? metric : `${metric}{${pairs.join(',')}}`;
}
