import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DEFAULT_VIEW, messageHash, notUnderstoodHash, parseRoute } from '../route';
import { NotUnderstoodFeed } from './not_understood_feed';

describe('the addresses of messages', () => {
  it('hold the bridge', () => {
    expect(parseRoute(notUnderstoodHash())).toEqual({ page: 'not-understood', bridge: null });
    expect(parseRoute(notUnderstoodHash('site'))).toEqual({ page: 'not-understood', bridge: 'site' });
    expect(parseRoute(messageHash(7, 'site'))).toEqual({ page: 'message', id: 7, bridge: 'site' });
    expect(parseRoute('#/not-understood/seven')).toEqual({ page: 'fleet', view: DEFAULT_VIEW });
  });
});

describe('the topics', () => {
  let asked: [path: string, body: unknown][];
  let feed: NotUnderstoodFeed;
  const settled = () => vi.waitFor(() => expect(feed.known).not.toBeNull(), 30_000);

  beforeEach(() => {
    asked = [];
    // It asks when it is told to, however slow the test is.
    vi.stubGlobal('window', { setInterval: () => 0, clearInterval: () => undefined });
    vi.stubGlobal('document', { baseURI: 'http://here/', hidden: false });
    vi.stubGlobal('fetch', async (url: string, request: RequestInit) => {
      const { pathname, search } = new URL(url);
      if (request.method === 'POST') {
        asked.push([pathname, JSON.parse(String(request.body))]);
        if (pathname.endsWith('/drop')) return Response.json({ detail: 'the disk is full' }, { status: 500 });
        return Response.json({ messages: 3, cut: 1 });
      }
      asked.push([pathname + search, null]);
      return Response.json({ topics: [], totals: { held: asked.length } });
    });
  });
  afterEach(() => {
    feed.close();
    vi.unstubAllGlobals();
  });

  it('are asked for of one bridge, and again after an order', async () => {
    feed = new NotUnderstoodFeed('site', () => {});
    await settled();
    expect(asked).toEqual([['/api/v1/quarantine/topics?limit=200&bridge=site', null]]);
    expect(feed.which()).toEqual({ bridge: 'site' });
    await feed.order('replay', { bridge: 'site', topic: 'a/b' }, 4);
    expect(asked.map(([path]) => path)).toEqual([asked[0]![0], '/api/v1/quarantine/replay', asked[0]![0]]);
    expect(asked[1]![1]).toEqual({ bridge: 'site', topic: 'a/b' });
    expect(feed.known!.totals.held).toBe(3);
    expect(feed.outcome).toEqual({
      ok: true,
      text: '3 messages will be tried again; what is understood leaves this list. 1 message cannot be: only the beginning is kept.',
    });
  });
  it('say why an order failed', async () => {
    feed = new NotUnderstoodFeed(null, () => {});
    await settled();
    expect(feed.which()).toEqual({ all: true });
    await feed.order('drop', feed.which(), 9);
    expect(feed.outcome).toEqual({ ok: false, text: 'Drop all 9 messages: the disk is full' });
  });
});
