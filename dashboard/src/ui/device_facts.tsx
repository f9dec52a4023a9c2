// What is known of a device beside its readings: presence with its reason, clock, ways, refusals, labels.

import { useSignal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { deviceFeed, link } from '../app';
import { beat } from '../beat';
import { accept, change, facts as askFacts } from '../link/devices_api';
import { ApiError } from '../link/http';
import { labelChanges, typedLabels, typedSeconds } from '../state/documents';
import { faultsOf } from '../state/faults';
import { CLOCK_LEVELS, clockText, fine, newest } from '../text/devices';
import { clock, count, number, span, UNKNOWN } from '../text/format';
import { say } from '../text/say';
import { theme } from '../theme';
import type { DeviceInfo } from '../wire';
import type { Clock } from '../wire_devices';
import { Fact } from './alert';
import { shortClock } from './alerts';
import { Dialog } from './dialog';
import { Lamp } from './instruments';
import { Age, ageOf, Fault, Field, type Outcome, OutcomeLine, taking, useFeed, useOrder, When } from './kit';
import { drawCurve } from './sparkline';

const EVERY_MS = 5000;

export function DeviceFacts({ id }: { id: string }) {
  beat.value;
  const feed = useFeed(() => askFacts(id), [id], EVERY_MS);
  const editing = useSignal(false);
  const { busy, outcome, give } = useOrder();
  const live = deviceFeed.value?.id === id ? deviceFeed.value.info : null;
  const info = newest(feed?.value ?? null, live);
  // The page says itself that there is no such device.
  if (info === null || feed?.missing === true) return null;
  return (
    <section class="card device-facts" aria-labelledby="facts" data-facts={id}>
      <header>
        <h2 id="facts">{say('devices.facts')}</h2>
        <Age age_s={ageOf(feed)} />
        <button type="button" class="small" aria-label={say('devices.edit_this', { name: id })} onClick={() => (editing.value = true)} {...taking('command')}>
          {say('devices.edit')}
        </button>
      </header>
      {feed?.fault != null && <Fault of={feed} />}
      {info.known === false && (
        <p class="newcomer">
          <Lamp level="watch" /> {say('devices.new')}{' '}
          <button
            type="button"
            class="small"
            aria-disabled={busy}
            aria-label={say('devices.accept_this', { name: id })}
            onClick={() =>
              void give(async () => {
                await accept([id]);
                await feed?.again();
                return say('devices.accepted', { n: 1 });
              })
            }
            {...taking('command')}
          >
            {say('devices.accept')}
          </button>
        </p>
      )}
      <OutcomeLine of={outcome} />
      <List info={info} />
      <Arrivals counts={info.arrivals ?? []} />
      <Refusals info={info} />
      {editing.value && (
        <Edit
          id={id}
          info={info}
          leave={(came) => {
            editing.value = false;
            if (came === null) return;
            void give(async () => {
              await feed?.again();
              return came.text;
            });
          }}
        />
      )}
    </section>
  );
}

function List({ info }: { info: DeviceInfo }) {
  const now = link.daemonNow() ?? Date.now();
  const labels = Object.entries(info.labels ?? {});
  const text = (it: string | null | undefined): string => (it == null || it === '' ? UNKNOWN : it);
  return (
    <dl class="facts">
      <Fact name={say('common.state')}>
        <span class="lamped">
          <Lamp level={info.online ? 'well' : 'bad'} />
          <strong>{info.online ? say('devices.online') : say('devices.offline')}</strong>
        </span>{' '}
        {info.since !== undefined && <small>{say('devices.for', { span: span(Math.max(0, now - info.since) / 1000) })}</small>}
      </Fact>
      {info.reason != null && <Fact name={say('devices.reason')}>{info.reason}</Fact>}
      <Fact name={say('devices.first_seen')}>{shortClock(info.first_seen)}</Fact>
      <Fact name={say('devices.last_seen')}>
        <When at={Math.min(info.last_seen, now)} />
      </Fact>
      <Fact name={say('devices.software')}>{text(info.software)}</Fact>
      <Fact name={say('devices.client')}>{text(info.client)}</Fact>
      <Fact name={say('devices.protocol')}>{text(info.protocol)}</Fact>
      <Fact name={say('devices.address')}>{text(info.address)}</Fact>
      <Fact name={say('devices.interval')}>{interval(info)}</Fact>
      <Fact name={say('devices.clock')}>{info.clock == null ? UNKNOWN : <ClockText clock={info.clock} />}</Fact>
      <Fact name={say('devices.refused')}>
        {info.refused === undefined || info.refused === 0 ? (
          say('devices.refused_none')
        ) : (
          <span class="lamped">
            <Lamp level="watch" />
            {say('devices.refused_n', { n: info.refused })}
          </span>
        )}
      </Fact>
      <Fact name={say('devices.labels')}>
        {labels.length === 0
          ? say('common.none')
          : labels.map(([key, value]) => (
              <span key={key} class="label">
                <i>{key}</i> {value}
              </span>
            ))}
      </Fact>
    </dl>
  );
}

function interval(info: DeviceInfo): string {
  const learned = info.interval_s == null ? UNKNOWN : fine(info.interval_s * 1000);
  if (info.expected_s == null) return info.interval_s == null ? UNKNOWN : `${learned}, ${say('devices.interval_learned')}`;
  return `${fine(info.expected_s * 1000)}, ${say('devices.interval_set', { learned })}`;
}

function ClockText({ clock: it }: { clock: Clock }) {
  const level = CLOCK_LEVELS[it.state];
  return (
    <>
      <span class="lamped">
        <Lamp level={level} />
        {it.state !== 'unknown' && <strong>{say(`devices.clock_${it.state}`)}</strong>}
      </span>{' '}
      {clockText(it)}
      {it.drift_ppm !== null && `, ${say('devices.clock_drift', { ppm: number(it.drift_ppm, 1) })}`}
      {it.state === 'off' && <small>{say(`devices.policy_${it.policy}`)}</small>}
    </>
  );
}

/** The last hour, minute by minute. */
function Arrivals({ counts }: { counts: readonly number[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const colours = theme.value;
  const most = Math.max(0, ...counts);
  useEffect(() => {
    if (canvas.current === null || counts.length < 2) return;
    drawCurve(canvas.current, counts, { stroke: colours.tide, fill: colours.band, join: 1, scale: [0, Math.max(1, most) * 1.08] });
  });
  if (counts.length < 2) return null;
  const n = counts.reduce((sum, one) => sum + one, 0);
  const minutes = counts.length;
  return (
    <figure class="arrivals">
      <figcaption>
        {say('devices.arrivals')} <small>{say('devices.arrivals_told', { n, minutes, most })}</small>
      </figcaption>
      <div aria-hidden="true">
        <canvas ref={canvas} />
      </div>
    </figure>
  );
}

function Refusals({ info }: { info: DeviceInfo }) {
  const last = info.last_refusals ?? [];
  if (last.length === 0) return null;
  const now = link.daemonNow() ?? Date.now();
  return (
    <details class="refusals">
      <summary>
        {say('devices.refusals')} ({count(last.length)})
      </summary>
      <ul>
        {last.map((refusal, at) => (
          <li key={at}>
            <span class="at">{clock(refusal.at, now)}</span> {refusal.message} <small>{refusal.code}</small>
          </li>
        ))}
      </ul>
    </details>
  );
}

function faultsIn(error: unknown): Record<string, string> {
  if (!(error instanceof ApiError)) return { '': (error as Error).message };
  return faultsOf(error.message, error.fields, ['labels', 'expected_s']);
}

interface EditProps {
  id: string;
  info: DeviceInfo;
  leave: (outcome: Outcome | null) => void;
}

function Edit({ id, info, leave }: EditProps) {
  const [own] = useState(info.operator_labels ?? {});
  const labels = useSignal(Object.entries(own).map(([key, text]) => `${key}=${text}`).join('\n'));
  const expected = useSignal(info.expected_s == null ? '' : String(info.expected_s));
  const faults = useSignal<Record<string, string>>({});
  const { busy, outcome, give } = useOrder();
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const wanted = typedLabels(labels.value);
    const seconds = typedSeconds(expected.value);
    faults.value = { ...(wanted.ok ? {} : { labels: wanted.fault }), ...(seconds.ok ? {} : { expected_s: seconds.fault }) };
    if (!wanted.ok || !seconds.ok) return;
    const done = await give(async () => {
      try {
        await change(id, { labels: labelChanges(own, wanted.value), expected_s: seconds.value });
        return '';
      } catch (error) {
        faults.value = faultsIn(error);
        throw new Error(faults.value[''] ?? '');
      }
    });
    if (done) leave({ ok: true, text: say('devices.saved') });
  };
  return (
    <Dialog title={say('devices.edit_title')} leave={() => leave(null)} wide>
      <form class="fields" onSubmit={(event) => void submit(event)}>
        <Field name={say('devices.labels')} hint={say('devices.labels_hint')} error={faults.value['labels']} wide>
          {(tie) => <textarea {...tie} rows={5} spellcheck={false} value={labels.value} onInput={(event) => (labels.value = event.currentTarget.value)} />}
        </Field>
        <Field name={say('devices.expected')} hint={say('devices.expected_hint')} error={faults.value['expected_s']}>
          {(tie) => <input {...tie} type="text" inputMode="decimal" value={expected.value} onInput={(event) => (expected.value = event.currentTarget.value)} />}
        </Field>
        <OutcomeLine of={outcome} />
        <p class="answers">
          <button type="button" onClick={() => leave(null)}>
            {say('common.cancel')}
          </button>
          <button type="submit" class="go" aria-disabled={busy}>
            {say('common.save')}
          </button>
        </p>
      </form>
    </Dialog>
  );
}
