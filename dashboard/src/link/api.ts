// The plain HTTP questions and orders of the page. All addresses are relative to the page's own.

import { widthText } from '../state/range';
import { address, asked, get, post } from './http';
import type {
  BreakerAction,
  Buckets,
  DeadLetters,
  DeviceInfo,
  FullQuarantined,
  MetricInfo,
  PuzzlingTopics,
  SinkStatus,
  Status,
  Tags,
  Which,
  WhichMessages,
} from '../wire';

export { ApiError } from './http';

export function liveAddress(): string {
  return address('api/v1/live/ws').replace(/^http/, 'ws');
}

export async function status(): Promise<Status> {
  return get<Status>('api/v1/status');
}

export async function devices(): Promise<DeviceInfo[]> {
  return (await get<{ devices: DeviceInfo[] }>('api/v1/devices')).devices;
}

export async function device(id: string): Promise<DeviceInfo & { metrics: MetricInfo[] }> {
  return get(`api/v1/devices/${encodeURIComponent(id)}`);
}

export interface Question {
  device: string;
  metric: string;
  tags: Tags;
  /** In ms since 1970. */
  from: number;
  /** Null: up to now. */
  to?: number | null;
  bucket_ms: number;
  /** Id of a live frame: the answer holds all that was in it. */
  after: string | null;
}

export async function buckets(question: Question, abort: AbortSignal): Promise<Buckets> {
  return get<Buckets>(`api/v1/query?${queryText(question)}`, abort);
}

/** Times go as nanoseconds, written as text because they do not fit a double. */
export function queryText(question: Question): string {
  const query = new URLSearchParams({ device: question.device, metric: question.metric });
  for (const key in question.tags) query.set(`tag.${key}`, question.tags[key]!);
  query.set('from', `${Math.floor(question.from)}000000`);
  query.set('to', question.to == null ? 'now' : `${Math.floor(question.to)}000000`);
  query.set('bucket', widthText(question.bucket_ms));
  if (question.after !== null) query.set('after', question.after);
  query.set('time', 'ms');
  return query.toString();
}

/** Tells the breaker of a sink what to do; answers how the sink stands then. */
export async function breaker(sink: string, action: BreakerAction): Promise<SinkStatus> {
  return post(`api/v1/sinks/${encodeURIComponent(sink)}/breaker`, { action });
}

export async function deadLetters(sink: string | null, after: number | null, limit: number): Promise<DeadLetters> {
  const query = new URLSearchParams({ limit: String(limit) });
  if (sink !== null) query.set('sink', sink);
  if (after !== null) query.set('after', String(after));
  return get(`api/v1/dead-letters?${query.toString()}`);
}

/** One dead letter with its readings, as text: its numbers must not be rounded on the way. */
export async function deadLetterText(id: number): Promise<string> {
  return (await asked(`api/v1/dead-letters/${id}`, {})).text();
}

export async function replayOrDrop(order: 'replay' | 'drop', which: Which): Promise<{ letters: number }> {
  return post(`api/v1/dead-letters/${order}`, which);
}

export async function puzzlingTopics(bridge: string | null, limit: number): Promise<PuzzlingTopics> {
  const query = new URLSearchParams({ limit: String(limit) });
  if (bridge !== null) query.set('bridge', bridge);
  return get(`api/v1/quarantine/topics?${query.toString()}`);
}

export async function quarantined(id: number): Promise<FullQuarantined> {
  return get(`api/v1/quarantine/${id}`);
}

/** `cut`: messages that cannot be tried again, because only the beginning of them is kept. */
export async function replayOrDropMessages(
  order: 'replay' | 'drop',
  which: WhichMessages,
): Promise<{ messages: number; cut?: number }> {
  return post(`api/v1/quarantine/${order}`, which);
}

/** The series of some devices and metrics, given as globs. */
export async function series(devices: readonly string[], metrics: readonly string[]): Promise<(MetricInfo & { device: string })[]> {
  const query = new URLSearchParams();
  for (const device of devices) query.append('device', device);
  for (const metric of metrics) query.append('metric', metric);
  return (await get<{ series: (MetricInfo & { device: string })[] }>(`api/v1/series?${query.toString()}`)).series;
}
