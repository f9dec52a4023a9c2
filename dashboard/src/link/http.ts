// Plain HTTP questions and orders: addresses relative to the page's own, answers in JSON, refusals in words.

import { signal } from '@preact/signals';
import { admissions, isOut, turnedAway } from '../state/standing';
import { say } from '../text/say';

/** Where sessions begin and end: the one address that is asked while nobody is logged in. */
export const SESSION = 'api/v1/session';

/** The daemon answered, but not with what was asked. The message is for people. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** What is wrong with single fields of what was sent, by their names. */
    readonly fields: Readonly<Record<string, string>> = {},
    /** When it may be asked again, if the daemon says so. */
    readonly retry_s: number | null = null,
  ) {
    super(message);
  }
}

/** True while the daemon does not let this viewer see what it asks for. */
export const denied = signal(false);

export const address = (path: string): string => new URL(path, document.baseURI).href;

export async function get<Answer>(path: string, abort?: AbortSignal): Promise<Answer> {
  return (await (await asked(path, abort === undefined ? {} : { signal: abort })).json()) as Answer;
}

export const post = <Answer>(path: string, body: object): Promise<Answer> => order<Answer>('POST', path, body);
export const put = <Answer>(path: string, body: object): Promise<Answer> => order<Answer>('PUT', path, body);
export const patch = <Answer>(path: string, body: object): Promise<Answer> => order<Answer>('PATCH', path, body);

export async function remove(path: string): Promise<void> {
  await asked(path, { method: 'DELETE' });
}

async function order<Answer>(method: string, path: string, body: object): Promise<Answer> {
  const request = { method, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } };
  const answer = await (await asked(path, request)).text();
  return (answer === '' ? null : JSON.parse(answer)) as Answer;
}

export async function asked(path: string, request: RequestInit): Promise<Response> {
  // Who is not logged in is told so without being asked for: each question would count as a failure.
  if (path !== SESSION && isOut()) throw new ApiError(401, say('access.no_login'));
  const admission = admissions.peek();
  const headers = { Accept: 'application/json', ...request.headers };
  const response = await reached(address(path), { ...request, headers });
  const looks = request.method === undefined;
  if (response.ok) {
    if (looks && path !== SESSION) denied.value = false;
    return response;
  }
  const { status } = response;
  const { message, fields } = await problem(response);
  if (path === SESSION) throw new ApiError(status, message, fields, retryAfter(response));
  if (status === 401) turnedAway(admission);
  if (status === 403 && looks) denied.value = true;
  throw new ApiError(status, refusal(status, message), fields, retryAfter(response));
}

/** Browsers say that nobody answered in words of their own, each in others. */
async function reached(url: string, request: RequestInit): Promise<Response> {
  try {
    return await fetch(url, request);
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error;
    throw new ApiError(0, say('page.no_answer'));
  }
}

/** Puts a refusal to this viewer into words. */
function refusal(status: number, message: string): string {
  if (status === 401) return say('access.no_login');
  return status === 403 ? say('access.no_right', { why: message }) : message;
}

/** In seconds; null where there is none that can be read. */
function retryAfter(response: Response): number | null {
  const seconds = Number(response.headers.get('Retry-After') ?? NaN);
  return Number.isFinite(seconds) ? seconds : null;
}

interface Problem {
  title?: string;
  detail?: string;
  /** Each with the name of a field and what is wrong with it. */
  errors?: { field?: string; detail?: string }[];
}

/** The detail of a problem document, or the bare status. */
async function problem(response: Response): Promise<{ message: string; fields: Record<string, string> }> {
  const plain = `${response.status} ${response.statusText}`.trim();
  if (!(response.headers.get('Content-Type') ?? '').includes('json')) return { message: plain, fields: {} };
  const document = (await response.json()) as Problem;
  const fields: Record<string, string> = {};
  for (const { field, detail } of document.errors ?? []) if (field && detail) fields[field] = detail;
  return { message: document.detail ?? document.title ?? plain, fields };
}
