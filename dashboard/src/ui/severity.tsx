// How bad an alert is and where it stands: each a shape, a colour and a word.

import type { Level } from '../state/verdict';
import { isKey, say } from '../text/say';
import { digitsOf } from '../text/precision';
import type { Alert, AlertState, Severity as Kind } from '../wire_alerts';
import { Lamp, Quantity } from './instruments';

export const LEVELS: Record<Kind, Level> = { critical: 'bad', warning: 'watch', info: 'well' };

export const severityText = (severity: string): string => {
  const key = `alerts.severity_${severity}`;
  return isKey(key) ? say(key as 'alerts.severity_info') : severity;
};

export const stateText = (state: AlertState): string => say(`alerts.state_${state}`);

export function Severity({ of, calm }: { of: Kind; calm?: boolean }) {
  return (
    <span class={`severity ${of} ${calm === true ? 'calm' : ''}`}>
      {of === 'info' ? <InfoLamp /> : <Lamp level={LEVELS[of]} />}
      {severityText(of)}
    </span>
  );
}

/** A ring with its dot: neither well nor a trouble. */
function InfoLamp() {
  return (
    <svg class="lamp info" viewBox="0 0 16 16" aria-hidden="true">
      <path fill-rule="evenodd" d="M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13Zm0 1.8a4.7 4.7 0 1 0 0 9.4 4.7 4.7 0 0 0 0-9.4ZM8 6a2 2 0 1 1 0 4 2 2 0 0 1 0-4Z" />
    </svg>
  );
}

export const alertName = (alert: { device: string | null; subject: string; metric: string | null }): string =>
  [alert.device ?? (alert.subject || say('alerts.daemon')), alert.metric].filter((part) => part !== null).join(' · ');

/** The value of an alert, with the decimals that it came with. */
export function Measure({ of }: { of: Alert }) {
  const { value, unit } = of;
  return typeof value === 'number' ? <Quantity it={value} unit={unit} digits={digitsOf(value)} /> : <Quantity it={value} unit={unit} />;
}
