// The questions of the page, answered as a daemon answers who may not ask.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Asking } from '../state/asking';
import { admissions, standing, turnedAway } from '../state/standing';
import { logIn, lookWhoIsHere } from './access_api';
import { ApiError, denied, get, post } from './http';

const ANA = { name: 'ana', scopes: ['view'], devices: ['*'], how: 'session', expires_at: null };

const said = (status: number, body: object, headers: Record<string, string> = {}): Response =>
  new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/problem+json', ...headers } });

/** Lets one token in; `open` is whether its cookie is good. */
const daemon = {
  open: false,
  waits: null as number | null,
  asked: [] as string[],
  /** What is asked waits for it. */
  held: Promise.resolve(),

  async answer(url: string, { method = 'GET', body }: { method?: string; body?: string } = {}): Promise<Response> {
    const { pathname } = new URL(url);
    this.asked.push(`${method} ${pathname}`);
    if (pathname === '/api/v1/session' && method === 'POST') {
      if (this.waits !== null) return said(429, { status: 429, detail: 'later' }, { 'Retry-After': String(this.waits) });
      this.open = (JSON.parse(body ?? '') as { token: string }).token === 'good';
      return this.open ? said(200, ANA) : said(401, { status: 401, detail: 'the token is not known here' });
    }
    const { open } = this;
    await this.held;
    if (!open) return said(401, { status: 401, detail: 'a token is asked for here' });
    if (pathname === '/api/v1/session') return said(200, ANA);
    if (pathname === '/api/v1/rules') return said(403, { status: 403, detail: 'ana has no scope' });
    return said(200, { path: pathname });
  },
};

beforeAll(() => {
  vi.stubGlobal('document', { baseURI: 'http://daemon.example/', hidden: false });
  vi.stubGlobal('window', globalThis);
  vi.stubGlobal('fetch', (url: string, request: { method?: string; body?: string }) => daemon.answer(url, request));
});
afterAll(() => {
  vi.unstubAllGlobals();
});

beforeEach(() => {
  Object.assign(daemon, { open: false, waits: null, asked: [], held: Promise.resolve() });
  standing.value = { kind: 'unknown' };
});
afterEach(() => {
  denied.value = false;
});

const fault = async (work: Promise<unknown>): Promise<ApiError> => {
  const error = await work.then(() => null, (error: unknown) => error);
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
};

describe('somebody who is not logged in', () => {
  it('is asked to by the first 401, and nothing more is asked until they are', async () => {
    expect((await fault(get('api/v1/status'))).status).toBe(401);
    expect(standing.value.kind).toBe('out');
    expect((await fault(get('api/v1/devices'))).status).toBe(401);
    expect((await fault(post('api/v1/alerts/acknowledge', {}))).status).toBe(401);
    expect(daemon.asked).toEqual(['GET /api/v1/status']);
    expect((await fault(logIn('bad'))).status).toBe(401);
    expect(standing.value.kind).toBe('out');
    await logIn('good');
    expect(standing.value).toEqual({ kind: 'in', session: ANA });
    expect(await get('api/v1/devices')).toEqual({ path: '/api/v1/devices' });
  });

  it('is told how long to wait', async () => {
    daemon.waits = 7;
    const error = await fault(logIn('good'));
    expect([error.status, error.retry_s]).toEqual([429, 7]);
  });

  it('is known by the cookie of another tab', async () => {
    await lookWhoIsHere();
    expect(standing.value.kind).toBe('out');
    daemon.open = true;
    await lookWhoIsHere();
    expect(standing.value.kind).toBe('in');
  });
});

it('a question that was under way when somebody logged in does not log them out', async () => {
  let release = (): void => undefined;
  daemon.held = new Promise((done) => (release = done));
  const late = fault(get('api/v1/devices'));
  turnedAway(admissions.value);
  await logIn('good');
  release();
  expect((await late).status).toBe(401);
  expect(standing.value.kind).toBe('in');
});

it('a right that is missing is no want of a login', async () => {
  daemon.open = true;
  await lookWhoIsHere();
  const { status, message } = await fault(get('api/v1/rules'));
  expect([status, message]).toEqual([403, 'you are not allowed to do this: ana has no scope']);
  expect([standing.value.kind, denied.value]).toEqual(['in', true]);
  await get('api/v1/devices');
  expect(denied.value).toBe(false);
});

it('a page asks again at once when somebody is let in', async () => {
  daemon.open = true;
  await lookWhoIsHere();
  const answers: string[] = [];
  const once = (): Promise<void> => get<{ path: string }>('api/v1/boards').then(({ path }) => void answers.push(path), () => void answers.push('none'));
  // So seldom that only the login can be why it asks again.
  const asking = new Asking(once, () => undefined, 3_600_000);
  await vi.waitFor(() => expect(answers).toEqual(['/api/v1/boards']), 30_000);
  daemon.open = false;
  await asking.ask();
  expect(answers.at(-1)).toBe('none');
  const before = admissions.value;
  await logIn('good');
  expect(admissions.value).toBe(before + 1);
  await vi.waitFor(() => expect(answers.at(-1)).toBe('/api/v1/boards'), 30_000);
  asking.close();
  await logIn('good');
  expect(answers).toHaveLength(3);
});
