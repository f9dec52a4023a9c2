// Silences: what keeps notifications back, until when, and who wanted it.

import { useSignal } from '@preact/signals';
import { link } from '../app';
import { beat } from '../beat';
import { endSilence, makeSilence, silences as askSilences } from '../link/alerts_api';
import { ApiError } from '../link/http';
import { SEVERITIES } from '../state/alerts';
import { faultsOf } from '../state/faults';
import { actor } from '../state/me';
import { span } from '../text/format';
import { say } from '../text/say';
import type { Severity, Silence } from '../wire_alerts';
import { AlertTabs, Heads, shortClock } from './alerts';
import { Dialog } from './dialog';
import { ageOf, Fault, Field, NameField, type Outcome, OutcomeLine, PageHead, ReadOnly, taking, useFeed, useOrder } from './kit';
import { severityText } from './severity';

export function Silences() {
  beat.value;
  const feed = useFeed(askSilences, []);
  const making = useSignal(false);
  const { outcome, give } = useOrder();
  const made = useSignal<Outcome | null>(null);
  const now = link.daemonNow() ?? Date.now();
  const list = (feed?.value ?? []).filter((silence) => silence.until > now).sort((a, b) => a.until - b.until);
  return (
    <div class="alerts-page">
      <PageHead title={say('alerts.silences_title')} age_s={ageOf(feed)}>
        <AlertTabs shown="silences" />
      </PageHead>
      <Fault of={feed} />
      <div class="toolbar">
        <p class="said">{say('alerts.silences_mean')}</p>
        <button type="button" class="act" onClick={() => (making.value = true)} {...taking('command', 'all')}>
          {say('alerts.silence_new')}
        </button>
      </div>
      <ReadOnly scope="command" about="all" />
      <OutcomeLine of={outcome ?? made.value} />
      {feed?.value != null && list.length === 0 && <p class="empty">{say('alerts.silence_none')}</p>}
      {list.length > 0 && (
        <table class="grid silences" role="table">
          <caption class="unseen">{say('alerts.silences_title')}</caption>
          <thead role="rowgroup">
            <tr role="row">
              <Heads of={['alerts.silence_rules', 'alerts.silence_devices', 'alerts.silence_severities', 'alerts.silence_until', 'alerts.silence_by', 'common.note']} />
              <td role="cell" />
            </tr>
          </thead>
          <tbody role="rowgroup">
            {list.map((silence) => (
              <tr key={silence.id} role="row" data-silence={silence.id}>
                <td role="cell" data-name={say('alerts.silence_rules')}>{globs(silence.rule)}</td>
                <td role="cell" data-name={say('alerts.silence_devices')}>{globs(silence.device)}</td>
                <td role="cell" data-name={say('alerts.silence_severities')}>{silence.severity.map(severityText).join(', ') || say('common.all')}</td>
                <td role="cell" data-name={say('alerts.silence_until')}>
                  {shortClock(silence.until)} <small>{lasting(silence, now)}</small>
                </td>
                <td role="cell" data-name={say('alerts.silence_by')}>{silence.by}</td>
                <td role="cell" data-name={say('common.note')}>{silence.note}</td>
                <td role="cell" class="end">
                  <button
                    type="button"
                    class="small"
                    aria-label={say('alerts.silence_end_this', { n: String(silence.id) })}
                    onClick={() =>
                      void give(async () => {
                        await endSilence(silence.id);
                        await feed?.again();
                        return say('alerts.silence_ended');
                      })
                    }
                    {...taking('command', 'all')}
                  >
                    {say('alerts.silence_end')}
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {making.value && (
        <MakeSilence
          rule={null}
          device={null}
          leave={(came) => {
            making.value = false;
            if (came === null) return;
            made.value = came;
            void feed?.again();
          }}
        />
      )}
    </div>
  );
}

const globs = (patterns: readonly string[]): string =>
  patterns.length === 0 || (patterns.length === 1 && patterns[0] === '*') ? say('common.all') : patterns.join(', ');

function lasting(silence: Silence, now: number): string {
  if (silence.from > now) return say('alerts.silence_begins', { when: say('common.in', { span: span((silence.from - now) / 1000) }) });
  return say('common.in', { span: span((silence.until - now) / 1000) });
}

const HOUR_MS = 3_600_000;
const LENGTHS: readonly (readonly [ms: number, unit: 'alerts.hours' | 'alerts.days', n: number])[] = [
  [HOUR_MS, 'alerts.hours', 1],
  [4 * HOUR_MS, 'alerts.hours', 4],
  [12 * HOUR_MS, 'alerts.hours', 12],
  [24 * HOUR_MS, 'alerts.days', 1],
  [7 * 24 * HOUR_MS, 'alerts.days', 7],
  [30 * 24 * HOUR_MS, 'alerts.days', 30],
];

interface MakeSilenceProps {
  /** What it is offered for; null: for all. */
  rule: string | null;
  device: string | null;
  leave: (outcome: Outcome | null) => void;
}

export function MakeSilence({ rule, device, leave }: MakeSilenceProps) {
  const rules = useSignal(rule ?? '');
  const devices = useSignal(device ?? '');
  const severities = useSignal<readonly Severity[]>([]);
  const length = useSignal(HOUR_MS);
  const note = useSignal('');
  const faults = useSignal<Readonly<Record<string, string>>>({});
  const { busy, outcome, give } = useOrder();
  const order = async (event: Event): Promise<void> => {
    event.preventDefault();
    faults.value = {};
    const from = Math.round(link.daemonNow() ?? Date.now());
    let came: Outcome | null = null;
    const done = await give(async () => {
      try {
        const made = await makeSilence({
          rule: listOf(rules.value),
          device: listOf(devices.value),
          severity: [...severities.value],
          ...{ from, until: from + length.value, by: actor(), note: note.value.trim() },
        });
        came = { ok: true, text: say('alerts.silence_made', { until: shortClock(made.until) }) };
        return '';
      } catch (error) {
        faults.value = faultsIn(error);
        throw new Error(faults.value[''] ?? '');
      }
    });
    if (done) leave(came);
  };
  return (
    <Dialog title={say('alerts.silence_new')} leave={() => leave(null)} wide>
      <form class="fields" onSubmit={(event) => void order(event)}>
        <Field name={say('alerts.silence_rules')} hint={say('alerts.globs_hint')} error={faults.value['rule']}>
          {(tie) => <input {...tie} type="text" placeholder="*" value={rules.value} onInput={(event) => (rules.value = event.currentTarget.value)} />}
        </Field>
        <Field name={say('alerts.silence_devices')} hint={say('alerts.globs_hint')} error={faults.value['device']}>
          {(tie) => <input {...tie} type="text" placeholder="*" value={devices.value} onInput={(event) => (devices.value = event.currentTarget.value)} />}
        </Field>
        <fieldset class="ticks">
          <legend>{say('alerts.silence_severities')}</legend>
          {SEVERITIES.map((severity) => (
            <label key={severity}>
              <input
                type="checkbox"
                checked={severities.value.includes(severity)}
                onChange={(event) => {
                  const rest = severities.value.filter((one) => one !== severity);
                  severities.value = event.currentTarget.checked ? [...rest, severity] : rest;
                }}
              />
              {severityText(severity)}
            </label>
          ))}
        </fieldset>
        <Field name={say('alerts.silence_for')} error={faults.value['until']}>
          {(tie) => (
            <select {...tie} value={length.value} onChange={(event) => (length.value = Number(event.currentTarget.value))}>
              {LENGTHS.map(([ms, unit, n]) => (
                <option key={ms} value={ms}>
                  {say(unit, { n })}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field name={say('common.note')} error={faults.value['note']} wide>
          {(tie) => <input {...tie} type="text" maxLength={500} value={note.value} onInput={(event) => (note.value = event.currentTarget.value)} />}
        </Field>
        <NameField />
        <OutcomeLine of={outcome} />
        <p class="answers">
          <button type="button" onClick={() => leave(null)}>
            {say('common.cancel')}
          </button>
          <button type="submit" class="go" aria-disabled={busy}>
            {say('alerts.silence_make')}
          </button>
        </p>
      </form>
    </Dialog>
  );
}

function faultsIn(error: unknown): Record<string, string> {
  if (!(error instanceof ApiError)) return { '': (error as Error).message };
  return faultsOf(error.message, error.fields, ['rule', 'device', 'severity', 'until', 'note']);
}

/** `a, b` → a list; nothing fits all. */
export const listOf = (text: string): string[] =>
  text.split(',').map((part) => part.trim()).filter((part) => part !== '');
