import { describe, expect, it } from 'vitest';
import type { SinkStatus, WholeStatus } from '../wire';
import { narrowLayout, pictureOf, wideLayout } from './pipeline';

const history = { name: 'history', kind: 'history', breaker: 'closed', held: false, lag_s: 0.1, written: 1000 } as unknown as SinkStatus;
const influx = {
  ...{ name: 'influx', kind: 'influx', breaker: 'open', held: false, lag_s: 40, live_lag_s: 40, samples_per_s: 0, written: 5 },
  ...{ cause: 'connection refused', dead_letters: { letters: 2, samples: 3, bytes: 9 }, backlog_samples: 0, imbalance: 0 },
} as unknown as SinkStatus;
const status = {
  ...{ time: 10_000, uptime_s: 60, tick_ms: 250, pressure: 0.95, pressure_of: 'spool' },
  spool: { bytes: 512, bytes_max: 1024, oldest_s: 75, durability: 'batch' },
  sinks: [history, influx],
  live: { lag_s: 0.2, series: 384, devices: 40, late_samples: 0 },
  intake: {
    ...{ connections: 41, samples_per_s: 402.4, batches_per_s: 42 },
    mqtt: [{ name: 'site', state: 'away', state_s: 60, messages_per_s: 0, routes: [] }],
  },
  viewers: { ws: 1, sse: 0, degraded: 1 },
  ledger: { accepted: 10, refused: 30 },
} as unknown as WholeStatus;
const before = { ...status, time: 8000, ledger: { ...status.ledger, refused: 10 }, sinks: [{ ...history, written: 200 }, influx] };

describe('the picture of the pipeline', () => {
  const { parts, flows } = pictureOf(status, before);
  const part = (id: string) => parts.find((one) => one.id === id);
  const flow = (from: string, to: string) => flows.find((one) => one.from === from && one.to === to);

  it('says how much flows, and what is only counted by the difference', () => {
    expect(flow('clients', 'intake')?.text).toBe('42 batches/s');
    expect(flow('intake', 'spool')?.text).toBe('402 samples/s, 10 refused/s');
    expect(flow('spool', 'sink history')?.text).toBe('400 samples/s');
    expect(pictureOf(status, null).flows.find(({ to }) => to === 'spool')?.text).toBe('402 samples/s');
    expect(pictureOf({ ...status, uptime_s: 1 }, before).flows.find(({ to }) => to === 'spool')?.text).toBe('402 samples/s');
  });

  it('shows how full each queue is, and each breaker', () => {
    expect(part('intake')).toMatchObject({ fill: 0.95, level: 'bad', lines: ['pressure 95 %', 'tightest: the spool'] });
    expect(part('spool')).toMatchObject({ fill: 0.5, lines: ['512 B of 1.0 KiB', 'oldest 1 min 15 s'] });
    expect(part('sink influx')).toMatchObject({ breaker: 'open', level: 'bad', lines: ['breaker open', '40 s behind', '2 dead letters'] });
    expect(part('broker site')).toMatchObject({ level: 'bad' });
  });

  it('lets nothing move where nothing flows', () => {
    expect(flow('spool', 'sink influx')).toMatchObject({ moving: false, level: 'bad' });
    expect(flow('broker site', 'intake')).toMatchObject({ moving: false });
  });

  it('has a place for every part that no other part takes, on wide screens and phones', () => {
    for (const layout of [wideLayout(parts), narrowLayout(parts)]) {
      const boxes = [...layout.boxes.values()];
      expect(layout.boxes.size).toBe(parts.length);
      for (const { x, y, width, height } of boxes) {
        expect(x >= 0 && y >= 0 && x + width <= layout.width && y + height <= layout.height).toBe(true);
      }
      boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
        const apart = a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
        expect(apart).toBe(true);
      }));
    }
  });
});
