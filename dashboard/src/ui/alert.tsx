// One alert: what it says, about what, and everything that happened to it.

import type { ComponentChildren } from 'preact';
import { useSignal } from '@preact/signals';
import { alerts, link } from '../app';
import { beat } from '../beat';
import { alert as askAlert } from '../link/alerts_api';
import { ALL_ALERTS, alertsHash, alertHistoryHash, deviceHash, rulesHash } from '../route';
import { SPAN_MAX_MS } from '../state/span';
import { DEFAULT_CHARTS } from '../state/view';
import { span, value as valueText } from '../text/format';
import { digitsOf } from '../text/precision';
import { say } from '../text/say';
import type { Alert, AlertEvent, FullAlert } from '../wire_alerts';
import { Acknowledge, shortClock } from './alerts';
import { ageOf, Fault, type Outcome, OutcomeLine, PageHead, ReadOnly, taking, useFeed, When } from './kit';
import { Measure, Severity, stateText } from './severity';
import { MakeSilence } from './silences';

export function AlertPage({ id }: { id: number }) {
  beat.value;
  const feed = useFeed(() => askAlert(id), [id]);
  const asking = useSignal<'acknowledge' | 'silence' | null>(null);
  const outcome = useSignal<Outcome | null>(null);
  const told = feed?.value ?? null;
  // What live says of it is newer than the answer.
  const it = told === null ? null : { ...told, ...alerts.open.get(id) };
  const done = (came: Outcome | null): void => {
    asking.value = null;
    if (came === null) return;
    outcome.value = came;
    void feed?.again();
  };
  return (
    <div class="alert-page">
      <PageHead title={say('alerts.one_title', { n: String(id) })} age_s={ageOf(feed)} back={{ href: alertsHash(), text: say('alerts.title') }}>
        {it !== null && <Severity of={it.severity} calm={it.state !== 'firing'} />}
        {it !== null && <span class={`state ${it.state}`}>{stateText(it.state)}</span>}
        {it?.silenced === true && <small>{say('alerts.silenced')}</small>}
      </PageHead>
      {feed?.missing === true ? (
        <p class="empty">
          {say('alerts.one_gone', { n: String(id) })} <a href={alertsHash()}>{say('alerts.to_alerts')}</a>
        </p>
      ) : (
        <Fault of={feed} />
      )}
      {it !== null && (
        <>
          <p class={`alert-text ${it.severity}`}>{it.text || it.rule}</p>
          <div class="orders">
            {it.state === 'firing' && (
              <button type="button" class="act" onClick={() => (asking.value = 'acknowledge')} {...taking('command')}>
                {say('alerts.acknowledge')}
              </button>
            )}
            {it.state !== 'resolved' && (
              <button type="button" onClick={() => (asking.value = 'silence')} {...taking('command', 'all')}>
                {say('alerts.silence_this')}
              </button>
            )}
            {it.device !== null && <a href={chartHash(it)}>{say('alerts.chart')}</a>}
            <a href={alertHistoryHash({ ...ALL_ALERTS, rule: it.rule })}>{say('alerts.same_rule')}</a>
          </div>
          {it.state !== 'resolved' && <ReadOnly scope="command" />}
          <OutcomeLine of={outcome.value} />
          <Facts it={it} />
          <Events it={it} />
        </>
      )}
      {asking.value === 'acknowledge' && it !== null && <Acknowledge alerts={[it]} leave={done} />}
      {asking.value === 'silence' && it !== null && (
        <MakeSilence rule={it.rule} device={it.device} leave={done} />
      )}
    </div>
  );
}

/** The device's page, from a quarter of an hour before the alert to as long after it. */
function chartHash(it: Alert): string {
  const until = it.resolved_at ?? Math.round(link.daemonNow() ?? Date.now());
  const from = Math.max(it.pending_at, until - SPAN_MAX_MS / 2) - AROUND_MS;
  return deviceHash(it.device ?? '', { ...DEFAULT_CHARTS, past: [from, until + (it.resolved_at === null ? 0 : AROUND_MS)] });
}

const AROUND_MS = 15 * 60_000;

function Facts({ it }: { it: Alert }) {
  const tags = Object.entries(it.tags);
  const until = it.resolved_at;
  return (
    <dl class="facts card">
      <Fact name={say('common.device')}>
        {it.device === null ? say('alerts.daemon') : <a href={deviceHash(it.device)}>{it.device}</a>}
      </Fact>
      {it.metric !== null && <Fact name={say('common.metric')}>{it.metric}</Fact>}
      {it.subject !== '' && <Fact name={say('alerts.fact_subject')}>{it.subject}</Fact>}
      {tags.length > 0 && <Fact name={say('alerts.fact_tags')}>{tags.map(([key, text]) => `${key}=${text}`).join(', ')}</Fact>}
      {it.value !== null && (
        <Fact name={say('common.value')}>
          <Measure of={it} />
        </Fact>
      )}
      <Fact name={say('common.rule')}>
        <a href={rulesHash(it.rule)}>{it.rule}</a>
      </Fact>
      <Fact name={say('alerts.fact_pending')}>{shortClock(it.pending_at)}</Fact>
      {it.fired_at !== null && <Fact name={say('alerts.fact_fired')}>{shortClock(it.fired_at)}</Fact>}
      {until !== null && <Fact name={say('alerts.fact_resolved')}>{shortClock(until)}</Fact>}
      {until !== null && <Fact name={say('alerts.fact_lasted')}>{span((until - it.pending_at) / 1000)}</Fact>}
      {it.runbook !== '' && (
        <Fact name={say('alerts.runbook')}>
          {/^https?:\/\//.test(it.runbook) ? (
            <a href={it.runbook} rel="noreferrer noopener" target="_blank">
              {it.runbook}
            </a>
          ) : (
            it.runbook
          )}
        </Fact>
      )}
    </dl>
  );
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Events({ it }: { it: FullAlert }) {
  return (
    <section class="card events" aria-labelledby="events">
      <h2 id="events">{say('alerts.events')}</h2>
      <ol>
        {it.events.map((event) => (
          <li key={event.id}>
            <span class="at">{shortClock(event.at)}</span>
            <strong>{say(`alerts.event_${event.kind}`)}</strong>
            <span>{eventText(event, it)}</span>
            <When at={event.at} />
          </li>
        ))}
      </ol>
    </section>
  );
}

/** With the decimals that it came with. */
const exact = (value: Alert['value']): string =>
  valueText(value, typeof value === 'number' ? digitsOf(value) : undefined);

function eventText(event: AlertEvent, it: Alert): string {
  const value = event.value == null ? '' : `${exact(event.value)} ${it.unit}`.trim();
  const by = event.by == null || event.by === '' ? '' : say('alerts.acknowledged_by', { by: event.by });
  const note = event.note == null || event.note === '' ? '' : say('alerts.unread_note', { note: event.note });
  return [value, by, note].filter((text) => text !== '').join(' ');
}
