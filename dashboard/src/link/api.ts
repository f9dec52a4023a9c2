// The plain HTTP questions of the page. All addresses are relative to the page's own.

import { widthText } from '../state/range';
import type { Buckets, DeviceInfo, MetricInfo, Status, Tags } from '../wire';

/** The daemon answered, but not with what was asked. The message is for people. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const address = (path: string): string => new URL(path, document.baseURI).href;

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
  query.set('to', 'now');
  query.set('bucket', widthText(question.bucket_ms));
  if (question.after !== null) query.set('after', question.after);
  query.set('time', 'ms');
  return query.toString();
}

async function get<Answer>(path: string, abort?: AbortSignal): Promise<Answer> {
  const response = await fetch(address(path), {
    headers: { Accept: 'application/json' },
    ...(abort === undefined ? {} : { signal: abort }),
  });
  if (response.ok) return (await response.json()) as Answer;
  throw new ApiError(response.status, await problem(response));
}

/** The detail of a problem document, or the bare status. */
async function problem(response: Response): Promise<string> {
  const plain = `${response.status} ${response.statusText}`.trim();
  if (!(response.headers.get('Content-Type') ?? '').includes('json')) return plain;
  const document = (await response.json()) as { title?: string; detail?: string };
  return document.detail ?? document.title ?? plain;
}
