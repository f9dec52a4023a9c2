import { describe, expect, it } from 'vitest';
import { ALL_ALERTS, alertHash, alertHistoryHash, alertsHash, parseRoute, rulesHash } from '../route';
import type { Alert } from '../wire_alerts';
import { Alerts, fits, ordered, since } from './alerts';

/** As docs/http.md has it. */
const ALERT: Alert = {
  ...{ id: 7, rule: 'motor hot', severity: 'warning', device: 'pump-7', metric: 'motor.temperature', tags: {} },
  ...{ subject: '', state: 'firing', value: 81.2, unit: '°C', text: 'pump-7 is hot', runbook: '', silenced: false },
  ...{ pending_at: 1000, fired_at: 2000, acknowledged: null, resolved_at: null },
};
const alert = (id: number, change: Partial<Alert> = {}): Alert => ({ ...ALERT, id, ...change });
const over = (id: number): Alert => alert(id, { state: 'resolved', resolved_at: 9000 });
const page = (alerts: Alert[], firing = alerts.length) => ({ alerts, next: null, counts: { pending: 0, firing, acknowledged: 0 } });
const ids = (alerts: Alerts): number[] => [...alerts.open.keys()].sort();

describe('the open alerts', () => {
  it('are what was told last of each', () => {
    const alerts = new Alerts();
    alerts.tell([alert(1), alert(2)], false);
    alerts.tell([over(1), alert(3, { state: 'pending', fired_at: null })], false);
    expect(ids(alerts)).toEqual([2, 3]);
    expect(alerts.counts()).toEqual({ pending: 1, firing: 1, acknowledged: 0 });
    expect(alerts.filled).toBe(false);
  });

  it('are exactly those that are told when all are', () => {
    const alerts = new Alerts();
    alerts.tell([alert(1), alert(2)], false);
    alerts.tell([alert(3)], true, 40);
    expect([ids(alerts), alerts.more, alerts.filled]).toEqual([[3], 40, true]);
  });

  it('are not taken back by a list that is older than what was told meanwhile', () => {
    const alerts = new Alerts();
    alerts.asking();
    alerts.tell([over(1), alert(4)], false);
    alerts.list(page([alert(1), alert(2)]));
    expect(ids(alerts)).toEqual([2, 4]);
    // What was told before the question is in the answer.
    alerts.tell([alert(5)], false);
    alerts.asking();
    alerts.list(page([alert(2)], 3));
    expect([ids(alerts), alerts.more]).toEqual([[2], 2]);
    alerts.asking();
    alerts.failed();
    expect(ids(alerts)).toEqual([2]);
  });

  it('count in the badge while they fire', () => {
    const alerts = new Alerts();
    alerts.tell([alert(1, { severity: 'critical' }), alert(2), alert(3, { state: 'acknowledged', severity: 'critical' })], true);
    expect(alerts.badge()).toEqual({ firing: 2, critical: 1 });
  });
});

describe('the list of alerts', () => {
  it('has first what nobody has taken notice of, then the worst, then the newest', () => {
    const taken = { by: 'ana', note: '', at: 5000 };
    const list = [
      alert(1),
      alert(2, { severity: 'critical', state: 'acknowledged', acknowledged: taken }),
      alert(3, { fired_at: 3000 }),
      alert(4, { severity: 'critical' }),
      alert(5, { state: 'pending', severity: 'critical', fired_at: null }),
      alert(6, { severity: 'info' }),
    ];
    expect(ordered(list, ALL_ALERTS).map(({ id }) => id)).toEqual([4, 3, 1, 6, 2, 5]);
  });

  it('is narrowed down by the address', () => {
    const filter = { severity: 'warning', rule: 'motor hot', device: 'pump 7/a' };
    expect(parseRoute(alertsHash(filter))).toEqual({ page: 'alerts', filter });
    expect(parseRoute(alertHistoryHash(filter, 12))).toEqual({ page: 'alert-history', filter, before: 12 });
    expect(parseRoute(alertHash(7))).toEqual({ page: 'alert', id: 7 });
    expect(parseRoute(rulesHash('a & b'))).toEqual({ page: 'rules', edit: 'a & b' });
    expect(parseRoute(rulesHash(''))).toEqual({ page: 'rules', edit: '' });
    expect(parseRoute(rulesHash())).toEqual({ page: 'rules', edit: null });
    expect(fits(ALERT, { ...ALL_ALERTS, device: 'pump-7' })).toBe(true);
    expect(fits(ALERT, { ...ALL_ALERTS, severity: 'critical' })).toBe(false);
    expect(fits(alert(1, { device: null }), { ...ALL_ALERTS, device: 'pump-7' })).toBe(false);
  });

  it('knows since when each is in its state', () => {
    expect(since(ALERT)).toBe(2000);
    expect(since(alert(1, { state: 'pending', fired_at: null }))).toBe(1000);
    expect(since(alert(1, { state: 'acknowledged', acknowledged: { by: 'ana', note: '', at: 7000 } }))).toBe(7000);
    expect(since(over(1))).toBe(9000);
  });
});
