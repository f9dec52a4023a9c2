// The open alerts of one device, on its page.

import { alerts, alertsFeed } from '../app';
import { beat } from '../beat';
import { ALL_ALERTS, alertHash, alertHistoryHash } from '../route';
import { ordered, since } from '../state/alerts';
import { say } from '../text/say';
import { When } from './kit';
import { Severity, stateText } from './severity';

/** Charts wait for so long, so that the alerts above them do not push them down. */
const PATIENCE_MS = 3000;

export const alertsAreKnown = (): boolean => alertsFeed.at !== null || performance.now() > PATIENCE_MS;

export function DeviceAlerts({ id }: { id: string }) {
  beat.value;
  const own = ordered(alerts.open.values(), { ...ALL_ALERTS, device: id });
  if (own.length === 0) return null;
  return (
    <section class="device-alerts" aria-label={say('devices.alerts')}>
      <ul>
        {own.map((alert) => (
          <li key={alert.id} class={`${alert.severity} ${alert.state}`} data-alert={alert.id}>
            <Severity of={alert.severity} calm={alert.state !== 'firing'} />
            <a href={alertHash(alert.id)}>{alert.text || alert.rule}</a>
            <span class={`state ${alert.state}`}>{stateText(alert.state)}</span>
            <When at={since(alert)} />
          </li>
        ))}
      </ul>
      <a href={alertHistoryHash({ ...ALL_ALERTS, device: id })}>{say('alerts.device_history')}</a>
    </section>
  );
}
