// Plain HTTP questions and orders: addresses relative to the page's own, answers in JSON, refusals in words.

import { signal } from '@preact/signals';
import { say } from '../text/say';

/** The daemon answered, but not with what was asked. The message is for people. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** What is wrong with single fields of what was sent, by their names. */
    readonly fields: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

export type Denial = 'login' | 'right';
/** Set while the daemon does not tell this viewer what it asks for: `login`: it does not know who asks. */
export const denied = signal<Denial | null>(null);

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
  const headers = { Accept: 'application/json', ...request.headers };
  const response = await reached(address(path), { ...request, headers });
  if (response.ok) {
    if (denied.peek() === 'login' || request.method === undefined) denied.value = null;
    return response;
  }
  const { message, fields } = await problem(response);
  throw new ApiError(response.status, denial(response.status, request.method, message), fields);
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

/** Puts a refusal to this viewer into words; that it may not even look concerns the whole page. */
function denial(status: number, method: string | undefined, message: string): string {
  if (status === 401) {
    denied.value = 'login';
    return say('page.no_login');
  }
  if (status !== 403) return message;
  if (method === undefined) denied.value = 'right';
  return say('page.no_right', { why: message });
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
