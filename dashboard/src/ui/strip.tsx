// The strip on top of every page: it tells the truth about the page itself (is there a link, how old is what I
// see) and about the daemon (is anything filling up, lagging, cut off).

import { useSignal } from '@preact/signals';
import { link, slowed, status } from '../app';
import { beat } from '../beat';
import { type LinkState, STALE_S } from '../link/link';
import { DEFAULT_VIEW, fleetHash } from '../route';
import { bytes, count, lag, percent, span, UNKNOWN } from '../text/format';
import { breakerState, breakerWord, samplesText } from '../text/sinks';
import type { Level } from '../state/verdict';
import * as judge from '../state/verdict';
import type { SinkStatus, Status } from '../wire';
import { BreakerLamp, Gauge, Lamp, Measured, Vital } from './instruments';

export function Strip() {
  beat.value;
  const open = useSignal(false);
  const now = status.value;
  const silence = link.silence_s();
  const state = link.state.value;
  const lost = link.lost_s();
  const verdict = judge.verdict(now, lost);
  return (
    <header class="strip">
      <a class="brand" href={fleetHash(DEFAULT_VIEW)} aria-label="Tidegate: the fleet">
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <path d="M4 19c4 0 4-4 8-4s4 4 8 4 4-4 8-4M4 26c4 0 4-4 8-4s4 4 8 4 4-4 8-4M9 11V5m7 5V5m7 6V5M5 5h22" />
        </svg>
        <span>Tidegate</span>
      </a>
      <LinkLamp state={state} silence={silence} />
      <p class={`verdict ${verdict.level}`} role="status" title={titleOf(now)}>
        <Lamp level={verdict.level} />
        <span>{verdict.text}</span>
      </p>
      <button
        type="button"
        class="vitals-toggle"
        aria-expanded={open.value}
        aria-controls="vitals"
        onClick={() => (open.value = !open.value)}
      >
        Vitals
      </button>
      <dl id="vitals" class={`vitals ${open.value ? 'open' : ''} ${lost === null ? '' : 'aged'}`}>
        <Vitals now={now} />
      </dl>
    </header>
  );
}

function titleOf(now: Status | null): string {
  if (now === null) return '';
  const others = judge.troubles(now).map((trouble) => trouble.text);
  return [...others, `tidegate ${now.version}, up for ${span(now.uptime_s)}`].join('\n');
}

/** The state of the link in a word, and the age of the data, ticking. */
function LinkLamp({ state, silence }: { state: LinkState; silence: number | null }) {
  const [level, word] = linkWord(state, silence);
  const behind = status.value?.live.lag_s ?? 0;
  const age = silence === null ? null : silence + behind;
  return (
    <div class={`link ${level}`} data-link={state.kind}>
      <Lamp level={level} />
      <div>
        <strong>{word}</strong>
        <span class="age" title="Time since the last message, and how far live trails what was received">
          data {age === null ? UNKNOWN : span(age)} old
          {slowed.value > 1 && `, every ${slowed.value}th update`}
        </span>
      </div>
      {state.kind === 'waiting' && (
        <button type="button" onClick={() => link.retryNow()}>
          Now
        </button>
      )}
    </div>
  );
}

function linkWord(state: LinkState, silence: number | null): [Level | 'off', string] {
  switch (state.kind) {
    case 'live':
      return (silence ?? 0) < STALE_S ? ['well', 'live'] : ['watch', 'stale'];
    case 'connecting':
      return silence === null ? ['off', 'connecting'] : ['bad', 'reconnecting'];
    case 'waiting': {
      const seconds = Math.ceil((state.retryAt - performance.now()) / 1000);
      return ['bad', seconds > 0 ? `reconnecting in ${seconds} s` : 'reconnecting'];
    }
    case 'asleep':
      return ['off', 'asleep'];
  }
}

function Vitals({ now }: { now: Status | null }) {
  const fill = now === null ? null : judge.spoolFill(now);
  return (
    <>
      <Vital name="Samples" title="Samples received per second">
        <Measured text={now === null ? UNKNOWN : `${count(Math.round(now.intake.samples_per_s))} /s`} />
      </Vital>
      <Vital name="Pressure" title="How full the tightest bounded resource is; producers are throttled from it">
        <Measured text={percent(now?.pressure)} />
        <Gauge share={now?.pressure ?? null} level={judge.pressureLevel(now?.pressure ?? 0)} name="Pressure" />
      </Vital>
      <Vital name="Spool" title={now === null ? 'The log on disk' : spoolTitle(now)}>
        <Measured text={bytes(now?.spool.bytes)} />
        <Gauge share={fill} level={now === null ? 'well' : judge.spoolLevel(now)} name="Spool fill" />
      </Vital>
      <Vital name="Live lag" title="How far the live view is behind what was received">
        <Measured text={lag(now?.live.lag_s)} />
        {now !== null && <Lamp level={judge.liveLagLevel(now.live.lag_s)} />}
      </Vital>
      {(now?.sinks ?? []).map((sink) => (
        <Sink key={sink.name} sink={sink} />
      ))}
      <Ledger now={now} />
    </>
  );
}

function spoolTitle(now: Status): string {
  return [
    `The log on disk: ${bytes(now.spool.bytes)} of ${bytes(now.spool.bytes_max)} (${percent(judge.spoolFill(now))})`,
    `oldest record ${span(now.spool.oldest_s)} old, durability ${now.spool.durability}`,
  ].join('\n');
}

function Sink({ sink }: { sink: SinkStatus }) {
  const state = breakerState(sink);
  const title = [
    `Sink ${sink.name}: ${samplesText(sink.lag_samples)} behind, breaker ${breakerWord(state)}`,
    ...(sink.cause == null ? [] : [sink.cause]),
  ].join('\n');
  return (
    <Vital name={`${capital(sink.name)} lag`} title={title}>
      <Measured text={lag(sink.lag_s)} />
      <span class="lamped">
        <BreakerLamp state={state} />
        <span class="word">{breakerWord(state)}</span>
      </span>
    </Vital>
  );
}

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

function Ledger({ now }: { now: Status | null }) {
  if (now === null) {
    return (
      <Vital name="Ledger" title="Whether all counts add up">
        <Measured text={UNKNOWN} />
      </Vital>
    );
  }
  const { ledger } = now;
  const title = [
    `accepted ${count(ledger.accepted)} samples`,
    `= stored ${count(ledger.stored)} + spooled ${count(ledger.spooled)}`,
    `+ dead-lettered ${count(ledger.dead_lettered)} + shed ${count(ledger.shed)} + live only ${count(ledger.skipped)}`,
  ].join('\n');
  return (
    <Vital name="Ledger" title={title}>
      <span class="lamped">
        <Lamp level={ledger.balanced ? 'well' : 'bad'} />
        <span class="word">{ledger.balanced ? 'balanced' : 'off balance'}</span>
      </span>
    </Vital>
  );
}
