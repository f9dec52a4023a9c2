import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DEFAULT_VIEW, deadLetterHash, deadLettersHash, parseRoute } from '../route';
import { DeadLettersFeed, outcomeText } from './dead_letters_feed';
import { exactClock, letterOf } from './readings';

const HEAD = '"id":7,"sink":"influx","device":"pump-1","metrics":["a"],"samples":3,"reason":"no","attempts":1,"replaying":false';
const letter = (readings: string) => letterOf(`{${HEAD},"readings":[${readings}]}`);

describe('the readings of a dead letter', () => {
  it('keep each number as it is written', () => {
    const { readings } = letter('{"device":"pump-1","time":"1","tags":{},"values":{"f":71.0,"i":71,"big":9007199254740993,"b":true,"t":"71","odd":"a\\\\\\" -1","e":-1.5e-7}}');
    expect(readings[0]!.values).toEqual({
      f: { plain: '71.0' }, i: { plain: '71' }, big: { plain: '9007199254740993' }, b: { plain: 'true' }, t: { text: '71' },
      odd: { text: 'a\\" -1' }, e: { plain: '-1.5e-7' },
    });
  });
  it('keep everything else', () => {
    const made = letter('{"device":"pump-1","time":"2","tags":{"site":"north"},"values":{}},{"device":"pump-1","time":"3","values":{}}');
    expect([made.id, made.attempts, made.reason]).toEqual([7, 1, 'no']);
    expect(made.readings.map(({ time, tags }) => [time, tags])).toEqual([['2', { site: 'north' }], ['3', {}]]);
  });
  it('have all nine digits of their second', () => {
    expect(exactClock('1763712000000000042')).toMatch(/^2025-11-2\d \d\d:\d\d:00\.000000042$/);
    expect(exactClock('1763712000999999999')).toMatch(/:00\.999999999$/);
    expect(exactClock('5')).toMatch(/:00\.000000005$/);
    expect(exactClock('soon')).toBe('soon');
  });
});

describe('the addresses of dead letters', () => {
  it('hold the sink and the place', () => {
    expect(parseRoute(deadLettersHash())).toEqual({ page: 'dead-letters', sink: null, after: null });
    expect(parseRoute(deadLettersHash('influx', 120))).toEqual({ page: 'dead-letters', sink: 'influx', after: 120 });
    expect(parseRoute(deadLetterHash(7, 'influx'))).toEqual({ page: 'dead-letter', id: 7, sink: 'influx' });
  });
  it('survive nonsense', () => {
    expect(parseRoute('#/dead-letters?after=-x')).toEqual({ page: 'dead-letters', sink: null, after: null });
    expect(parseRoute('#/dead-letters/seven')).toEqual({ page: 'fleet', view: DEFAULT_VIEW });
  });
});

describe('the list', () => {
  const totals = { letters: 2, samples: 2, bytes: 2, shed: 0, dropped: 0, replayed: 0 };
  let held: number[];
  let asked: [path: string, body: unknown][];
  let feed: DeadLettersFeed;
  const settled = () => vi.waitFor(() => expect(feed.page).not.toBeNull(), 30_000);

  beforeEach(() => {
    held = [1, 2];
    asked = [];
    // It asks when it is told to, however slow the test is.
    vi.stubGlobal('window', { setInterval: () => 0, clearInterval: () => undefined });
    vi.stubGlobal('document', { baseURI: 'http://here/', hidden: false });
    vi.stubGlobal('fetch', async (url: string, request: RequestInit) => {
      const { pathname, search } = new URL(url);
      if (request.method === 'POST') {
        const body = JSON.parse(String(request.body)) as { ids?: number[] };
        asked.push([pathname, body]);
        if (body.ids?.includes(13)) return Response.json({ title: 'no', detail: 'no such dead letter' }, { status: 404 });
        held = held.filter((id) => body.ids !== undefined && !body.ids.includes(id));
        return Response.json({ letters: 1 });
      }
      asked.push([pathname + search, null]);
      return Response.json({ letters: held.map((id) => ({ id })), totals, next: null });
    });
  });
  afterEach(() => {
    feed.close();
    vi.unstubAllGlobals();
  });

  it('asks for its sink behind its place', async () => {
    feed = new DeadLettersFeed('influx', 120, () => {});
    await settled();
    expect(asked[0]![0]).toBe('/api/v1/dead-letters?limit=50&sink=influx&after=120');
  });
  it('orders what is chosen, else all of what it shows', async () => {
    feed = new DeadLettersFeed('influx', null, () => {});
    await settled();
    expect(feed.which()).toEqual({ sink: 'influx' });
    feed.choose([2, 1], true);
    expect(feed.which()).toEqual({ ids: [1, 2] });
    feed.choose([1], false);
    await feed.order('drop', feed.which());
    expect(asked.find(([, body]) => body !== null)).toEqual(['/api/v1/dead-letters/drop', { ids: [2] }]);
    expect(feed.page!.letters.map(({ id }) => id)).toEqual([1]);
    expect([feed.chosen.size, feed.outcome]).toEqual([0, { ok: true, text: '1 dead letter dropped.' }]);
  });
  it('does not go on choosing what is no more', async () => {
    feed = new DeadLettersFeed(null, null, () => {});
    await settled();
    feed.choose([1, 99], true);
    await feed.order('replay', { ids: [13] });
    expect([...feed.chosen]).toEqual([1]);
    expect(feed.outcome).toEqual({ ok: false, text: 'Replay 1 dead letter: no such dead letter' });
    feed.choose([1], false);
    expect(feed.which()).toEqual({ all: true });
  });
  it('says what an order came to', () => {
    feed = new DeadLettersFeed(null, null, () => {});
    expect(outcomeText('replay', 2)).toContain('2 dead letters will be sent again');
  });
});
