// The shapes of what is known of devices, and of what is sent to them, that docs/http.md promises.

export interface DeviceFacts {
  /** Why it is in its state, and since when. */
  reason: string | null;
  since: number;
  /** How often it usually sends, learned; and how often it should, as an operator says. */
  interval_s: number | null;
  expected_s: number | null;
  client: string | null;
  protocol: 'ws' | 'http' | 'mqtt' | null;
  /** Only where all facts of one device are asked for, as `last_refusals` and `arrivals` are. */
  address: string | null;
  /** False: nobody has accepted it yet. */
  known: boolean;
  /** The labels that an operator gave, which count more than the client's. */
  operator_labels: Record<string, string>;
  clock: Clock | null;
  refused: number;
  last_refusals: { at: number; code: string; message: string }[];
  /** Readings per minute, oldest first. */
  arrivals: number[];
}

export interface Clock {
  offset_ms: number;
  drift_ppm: number | null;
  state: 'ok' | 'off' | 'unknown';
  policy: 'accept' | 'correct' | 'quarantine';
}

export interface DevicePatch {
  known?: boolean;
  expected_s?: number | null;
  /** Only what changes; null removes one. */
  labels?: Record<string, string | null>;
}

export type Delivery = 'at_most_once' | 'at_least_once';
export type CommandState = 'queued' | 'sent' | 'acknowledged' | 'failed' | 'expired' | 'cancelled';

export interface Command {
  id: number;
  device: string;
  name: string;
  arguments: unknown;
  delivery: Delivery;
  state: CommandState;
  by: string;
  created_at: number;
  expires_at: number;
  sent_at: number | null;
  finished_at: number | null;
  attempts: number;
  via: 'ws' | 'sparkplug' | 'mqtt' | null;
  message: string;
  result: unknown;
}

export interface NewCommand {
  name: string;
  arguments: unknown;
  ttl_s: number;
  delivery: Delivery;
  by: string;
}

export interface Commands {
  commands: Command[];
  next: number | null;
}

/** The configuration that a device is to have, and what it said to it. */
export interface Desired {
  version: number;
  document: Record<string, unknown>;
  by: string;
  at: number;
  reported: {
    version: number;
    ok: boolean;
    message: string;
    document: Record<string, unknown> | null;
    at: number;
  } | null;
}
