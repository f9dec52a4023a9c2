// The alerts that are open: the most urgent first, as they change; several are acknowledged at once.

import { useSignal } from '@preact/signals';
import { useState } from 'preact/hooks';
import { alerts, alertsFeed, link } from '../app';
import { beat } from '../beat';
import { acknowledge } from '../link/alerts_api';
import { ALL_ALERTS, alertHash, alertHistoryHash, type AlertFilter, alertsHash, deviceHash, type Route, rulesHash, WHOLE } from '../route';
import { ordered, SEVERITIES, since } from '../state/alerts';
import { actor } from '../state/me';
import { outOfReach } from '../state/standing';
import { clock } from '../text/format';
import { type PlainKey, say } from '../text/say';
import type { Alert } from '../wire_alerts';
import { Dialog } from './dialog';
import { Field, NameField, type Outcome, OutcomeLine, PageHead, ReadOnly, taking, useOrder, When } from './kit';
import { alertName, Measure, Severity, severityText, stateText } from './severity';

/** Rows that are drawn before somebody asks for more. */
const ROWS = 200;

export function AlertsPage({ filter }: { filter: AlertFilter }) {
  beat.value;
  const chosen = useSignal<ReadonlySet<number>>(new Set());
  const asking = useSignal<readonly Alert[] | null>(null);
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const rows = useSignal(ROWS);
  const all = ordered(alerts.open.values(), filter);
  const shown = all.slice(0, rows.value);
  const able = all.filter((alert) => alert.state === 'firing');
  const picked = able.filter((alert) => chosen.value.has(alert.id));
  const choose = (ids: readonly number[], on: boolean): void => {
    const next = new Set(chosen.value);
    for (const id of ids) on ? next.add(id) : next.delete(id);
    chosen.value = next;
  };
  return (
    <div class="alerts-page">
      <PageHead title={say('alerts.title')} age_s={openAge()}>
        <AlertTabs shown="alerts" />
      </PageHead>
      {alertsFeed.fault !== null && !alertsFeed.absent && (
        <p class="fault" role="alert">
          {say('common.not_asked', { why: alertsFeed.fault })}
        </p>
      )}
      <div class="toolbar">
        <Filter filter={filter} open={[...alerts.open.values()]} hash={alertsHash} />
        <Counts />
        {able.length > 0 && (
          <button
            type="button"
            class="act"
            onClick={() => (asking.value = picked.length > 0 ? picked : able)}
            {...taking('command')}
          >
            {say('alerts.acknowledge_n', { n: picked.length > 0 ? picked.length : able.length })}
          </button>
        )}
      </div>
      {able.length > 0 && <ReadOnly scope="command" />}
      <OutcomeLine of={outcome} />
      {shown.length === 0 ? (
        <Empty filter={filter} />
      ) : (
        <table class="grid alerts" role="table">
          <caption class="unseen">{say('alerts.caption')}</caption>
          <thead role="rowgroup">
            <tr role="row">
              <th role="columnheader" class="choose">
                <Tick
                  label={say('common.choose_all')}
                  on={able.length > 0 && picked.length === able.length}
                  some={picked.length > 0}
                  off={able.length === 0}
                  set={(on) => choose(able.map(({ id }) => id), on)}
                />
              </th>
              <Heads of={['common.severity', 'common.state', 'alerts.what', 'common.value', 'common.device', 'common.rule', 'common.since']} />
            </tr>
          </thead>
          <tbody role="rowgroup">
            {shown.map((alert) => (
              <Row key={alert.id} alert={alert} on={chosen.value.has(alert.id)} choose={choose} ask={() => (asking.value = [alert])} />
            ))}
          </tbody>
        </table>
      )}
      {all.length > shown.length && (
        <p class="more">
          <button type="button" onClick={() => (rows.value += ROWS)}>
            {say('common.more', { n: Math.min(ROWS, all.length - shown.length) })}
          </button>
        </p>
      )}
      {alerts.more > 0 && <p class="more">{say('alerts.beyond', { n: alerts.more })}</p>}
      {asking.value !== null && (
        <Acknowledge
          alerts={asking.value}
          leave={(came) => {
            asking.value = null;
            if (came === null) return;
            setOutcome(came);
            if (came.ok) chosen.value = new Set();
          }}
        />
      )}
    </div>
  );
}

/** How old the list is: live tells of all, or it was asked for. */
function openAge(): number | null {
  if (!alerts.filled && alertsFeed.at === null) return null;
  if (alertsFeed.whole) return link.silence_s();
  return alertsFeed.at === null ? null : (performance.now() - alertsFeed.at) / 1000;
}

const TABS: readonly [page: Route['page'], href: string, name: PlainKey][] = [
  ['alerts', alertsHash(), 'alerts.tab_open'],
  ['alert-history', alertHistoryHash(), 'alerts.tab_history'],
  ['rules', rulesHash(), 'alerts.tab_rules'],
  ['silences', '#/silences', 'alerts.tab_silences'],
  ['notifications', '#/notifications', 'alerts.tab_notifications'],
];

export function AlertTabs({ shown }: { shown: string }) {
  return (
    <nav class="tabs" aria-label={say('alerts.tabs')}>
      {TABS.filter(([page]) => page === shown || !WHOLE.has(page) || outOfReach() === null).map(([page, href, name]) => (
        <a key={page} href={href} {...(page === shown ? { 'aria-current': 'page' } : {})}>
          {say(name)}
        </a>
      ))}
    </nav>
  );
}

interface FilterProps {
  filter: AlertFilter;
  /** What rules and devices may be chosen from. */
  open: readonly Alert[];
  hash: (filter: AlertFilter) => string;
}

/** What the list is narrowed down to stands in the address. */
export function Filter({ filter, open, hash }: FilterProps) {
  const set = (change: Partial<AlertFilter>): void => {
    location.hash = hash({ ...filter, ...change });
  };
  const names = (of: (alert: Alert) => string | null, chosen: string | null): string[] =>
    [...new Set([...open.map(of), chosen])].filter((name) => name !== null).sort();
  return (
    <>
      <Choice
        name={say('common.severity')}
        any={say('alerts.any_severity')}
        chosen={filter.severity}
        options={SEVERITIES.map((severity) => [severity, severityText(severity)])}
        set={(severity) => set({ severity })}
      />
      <Choice
        name={say('common.rule')}
        any={say('alerts.any_rule')}
        chosen={filter.rule}
        options={names(({ rule }) => rule, filter.rule).map((name) => [name, name])}
        set={(rule) => set({ rule })}
      />
      <Choice
        name={say('common.device')}
        any={say('alerts.any_device')}
        chosen={filter.device}
        options={names(({ device }) => device, filter.device).map((name) => [name, name])}
        set={(device) => set({ device })}
      />
    </>
  );
}

interface ChoiceProps {
  name: string;
  any: string;
  chosen: string | null;
  options: [value: string, name: string][];
  set: (value: string | null) => void;
}

function Choice({ name, any, chosen, options, set }: ChoiceProps) {
  return (
    <label class="picker">
      <span class="unseen">{name}</span>
      <select value={chosen ?? ''} onChange={(event) => set(event.currentTarget.value || null)}>
        <option value="">{any}</option>
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

function Counts() {
  if (!alerts.filled) return null;
  const { firing, acknowledged, pending } = alerts.counts();
  return (
    <p class="shown" aria-live="polite">
      <span>{say('alerts.count_firing', { n: firing })}</span>
      <span>{say('alerts.count_acknowledged', { n: acknowledged })}</span>
      <span>{say('alerts.count_pending', { n: pending })}</span>
    </p>
  );
}

export function Heads({ of }: { of: readonly PlainKey[] }) {
  return (
    <>
      {of.map((key) => (
        <th key={key} role="columnheader" scope="col" class={key === 'common.value' ? 'end' : ''}>
          {say(key)}
        </th>
      ))}
    </>
  );
}

interface RowProps {
  alert: Alert;
  on: boolean;
  choose: (ids: number[], on: boolean) => void;
  ask: () => void;
}

/** Roles are written out: on a phone the rows are laid out as cards, which takes a table's own roles away. */
function Row({ alert, on, choose, ask }: RowProps) {
  const firing = alert.state === 'firing';
  return (
    <tr role="row" data-alert={alert.id} data-state={alert.state} class={`${alert.severity} ${alert.state} ${on ? 'chosen' : ''}`}>
      <td role="cell" class="choose">
        <Tick label={say('common.choose', { name: alertName(alert) })} on={on && firing} off={!firing} set={(wanted) => choose([alert.id], wanted)} />
      </td>
      <Cells alert={alert} />
      <td role="cell" class="since">
        <When at={since(alert)} />
        {firing && (
          <button type="button" class="small" aria-label={say('alerts.acknowledge_this', { name: alertName(alert) })} onClick={ask} {...taking('command')}>
            {say('alerts.acknowledge')}
          </button>
        )}
      </td>
    </tr>
  );
}

/** What lists of open and of past alerts tell alike. */
export function Cells({ alert }: { alert: Alert }) {
  return (
    <>
      <td role="cell" class="how-bad">
        <Severity of={alert.severity} calm={alert.state !== 'firing'} />
      </td>
      <td role="cell" class="where">
        <span class={`state ${alert.state}`}>{stateText(alert.state)}</span>
        {alert.acknowledged !== null && <small>{say('alerts.acknowledged_by', { by: alert.acknowledged.by })}</small>}
        {alert.silenced && <small title={say('alerts.silenced_why')}>{say('alerts.silenced')}</small>}
      </td>
      <td role="cell" class="what">
        <a href={alertHash(alert.id)}>{alert.text || alert.rule}</a>
        {alert.acknowledged !== null && alert.acknowledged.note !== '' && (
          <small>{say('alerts.unread_note', { note: alert.acknowledged.note })}</small>
        )}
      </td>
      <td role="cell" class="value end">
        {alert.value !== null && <Measure of={alert} />}
      </td>
      <td role="cell" class="device">
        {alert.device === null ? (
          <span>{alert.subject || say('alerts.daemon')}</span>
        ) : (
          <a href={deviceHash(alert.device)}>{alert.device}</a>
        )}
        {alert.metric !== null && <small>{alert.metric}</small>}
      </td>
      <td role="cell" class="rule">{alert.rule}</td>
    </>
  );
}

interface TickProps {
  label: string;
  on: boolean;
  some?: boolean;
  off?: boolean;
  set: (on: boolean) => void;
}

export function Tick({ label, on, some, off, set }: TickProps) {
  return (
    <label>
      <input
        type="checkbox"
        aria-label={label}
        checked={on}
        disabled={off === true}
        indeterminate={some === true && !on}
        onChange={(event) => set(event.currentTarget.checked)}
      />
    </label>
  );
}

function Empty({ filter }: { filter: AlertFilter }) {
  if (alertsFeed.absent) return <p class="empty">{say('alerts.absent')}</p>;
  if (!alerts.filled) return <p class="empty">{say('common.loading')}</p>;
  if (filter.severity !== null || filter.rule !== null || filter.device !== null) {
    return (
      <p class="empty">
        {say('alerts.none_fit')} <a href={alertsHash(ALL_ALERTS)}>{say('alerts.show_all')}</a>
      </p>
    );
  }
  return (
    <p class="empty">
      <strong>{say('alerts.none')}</strong>
      <br />
      {say('alerts.none_why')}
    </p>
  );
}

interface AcknowledgeProps {
  alerts: readonly Alert[];
  /** What came of it; null if it was not done. */
  leave: (outcome: Outcome | null) => void;
}

/** Alerts that one order may name. */
const IDS_MAX = 1000;

export function Acknowledge({ alerts: those, leave }: AcknowledgeProps) {
  const note = useSignal('');
  const { busy, outcome, give } = useOrder();
  const order = async (event: Event): Promise<void> => {
    event.preventDefault();
    let came: Outcome | null = null;
    const done = await give(async () => {
      came = { ok: true, text: await acknowledgeAll(those.map(({ id }) => id), note.value.trim()) };
      return '';
    });
    if (done) leave(came);
  };
  const one = those[0];
  return (
    <Dialog title={say('alerts.acknowledge_n', { n: those.length })} leave={() => leave(null)}>
      <form onSubmit={(event) => void order(event)}>
        {those.length === 1 && one !== undefined && <p class="quoted">{one.text || one.rule}</p>}
        <p>{say('alerts.acknowledge_means')}</p>
        <Field name={say('common.note')} hint={say('alerts.note_hint')}>
          {(tie) => <input {...tie} type="text" maxLength={500} value={note.value} onInput={(event) => (note.value = event.currentTarget.value)} />}
        </Field>
        <NameField />
        <OutcomeLine of={outcome} />
        <p class="answers">
          <button type="button" onClick={() => leave(null)}>
            {say('common.cancel')}
          </button>
          <button type="submit" class="go" aria-disabled={busy}>
            {say('alerts.acknowledge')}
          </button>
        </p>
      </form>
    </Dialog>
  );
}

async function acknowledgeAll(ids: readonly number[], note: string): Promise<string> {
  let done = 0;
  const refused: string[] = [];
  for (let at = 0; at < ids.length; at += IDS_MAX) {
    const { acknowledged, not } = await acknowledge(ids.slice(at, at + IDS_MAX), actor(), note);
    done += acknowledged.length;
    refused.push(...not.map(({ id, why }) => say('alerts.done_not', { n: String(id), why })));
  }
  void alertsFeed.ask();
  return [say('alerts.done_acknowledged', { n: done }), ...refused.slice(0, 3)].join(' ');
}

export const shortClock = (at: number): string => clock(at, link.daemonNow() ?? Date.now());
