// The shapes that docs/http.md promises. Nothing here does anything: parsing is `JSON.parse`, and what the
// page does not know is told apart by `type` in `link/link.ts`.

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

export interface DeviceInfo {
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

export interface SinkStatus {
  name: string;
  breaker: 'closed' | 'open' | 'half_open';
  cause: string | null;
  lag_samples: number | null;
  lag_s: number | null;
  next_probe_s: number | null;
}

export interface Status {
  version: string;
  time: number;
  uptime_s: number;
  tick_ms: number;
  windows: string[];
  pressure: number;
  /** What is so full, if anything. */
  pressure_of?: "spool" | "disk" | "memory" | "queue" | "trouble" | null;
  /** Why no batch would be accepted now, if so. */
  trouble?: string | null;
  spool: { bytes: number; bytes_max: number; oldest_s: number | null; durability: string };
  sinks: SinkStatus[];
  live: { lag_s: number; series: number; devices: number; late_samples: number };
  intake: { connections: number; samples_per_s: number; batches_per_s: number };
  viewers: { sse: number; ws: number; degraded: number };
  ledger: {
    accepted: number;
    stored: number;
    spooled: number;
    dead_lettered: number;
    shed: number;
    duplicates: number;
    refused: number;
    balanced: boolean;
  };
}

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
export type DegradedFrame = FrameHead & { type: 'degraded'; data: { factor: number; skipped: number } };
export type Frame = SnapshotFrame | RollupsFrame | DeviceFrame | StatusFrame | DegradedFrame;

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
