// The strip on top of every page: it tells the truth about the page itself (is there a link, how old is what I
// see) and about the daemon (is anything filling up, lagging, cut off).

import { useSignal } from '@preact/signals';
import { link, slowed, status } from '../app';
import { beat } from '../beat';
import { type LinkState, STALE_S } from '../link/link';
import { DEFAULT_VIEW, fleetHash } from '../route';
import { bytes, lag, percent, span, UNKNOWN } from '../text/format';
import { breakerState, breakerWord, samplesText } from '../text/sinks';
import { say } from '../text/say';
import type { Level } from '../state/verdict';
import * as judge from '../state/verdict';
import type { SinkStatus, Status } from '../wire';
import { BreakerLamp, Gauge, Lamp, Measured, Vital } from './instruments';

export function Strip() {
  beat.value;
  const open = useSignal(false);
  const now = status.value;
  const age = link.age_s();
  const state = link.state.value;
  const lost = link.lost_s();
  const verdict = judge.verdict(now, lost);
  return (
    <header class="strip">
      <a class="brand" href={fleetHash(DEFAULT_VIEW)} aria-label={say('strip.home')}>
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <path d="M4 19c4 0 4-4 8-4s4 4 8 4 4-4 8-4M4 26c4 0 4-4 8-4s4 4 8 4 4-4 8-4M9 11V5m7 5V5m7 6V5M5 5h22" />
        </svg>
        <span>Tidegate</span>
      </a>
      <LinkLamp state={state} told={age} />
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
        {say('strip.vitals')}
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
  return [...others, say('strip.version', { version: now.version, span: span(now.uptime_s) })].join('\n');
}

/** The state of the link in a word, and the age of the data, ticking. */
function LinkLamp({ state, told }: { state: LinkState; told: number | null }) {
  const [level, word] = linkWord(state, told);
  const behind = status.value?.live.lag_s ?? 0;
  const age = told === null ? null : told + behind;
  return (
    <div class={`link ${level}`} data-link={state.kind} data-slowed={slowed()}>
      <Lamp level={level} />
      <div>
        <strong>{word}</strong>
        <span class="age" title={say('strip.data_title')}>
          {say('strip.data_old', { span: age === null ? UNKNOWN : span(age) })}
          {slowed() > 1 && say('strip.slowed', { n: slowed() })}
        </span>
      </div>
      {state.kind === 'waiting' && (
        <button type="button" onClick={() => link.retryNow()}>
          {say('strip.now')}
        </button>
      )}
    </div>
  );
}

function linkWord(state: LinkState, age: number | null): [Level | 'off', string] {
  switch (state.kind) {
    case 'live':
      return (age ?? 0) < STALE_S ? ['well', say('strip.link_live')] : ['watch', say('strip.link_stale')];
    case 'connecting':
      return age === null ? ['off', say('strip.link_connecting')] : ['bad', say('strip.link_reconnecting')];
    case 'waiting': {
      const seconds = Math.ceil((state.retryAt - performance.now()) / 1000);
      return ['bad', seconds > 0 ? say('strip.link_reconnecting_in', { n: seconds }) : say('strip.link_reconnecting')];
    }
    case 'asleep':
      return ['off', say('strip.link_asleep')];
    case 'barred':
      return ['bad', say('strip.link_barred')];
  }
}

function Vitals({ now }: { now: Status | null }) {
  const fill = now === null ? null : judge.spoolFill(now);
  return (
    <>
      {(now === null || now.intake !== undefined) && (
        <Vital name={say('strip.samples')} title={say('strip.samples_title')}>
          <Measured text={now === null ? UNKNOWN : say('strip.per_second', { n: Math.round(now.intake!.samples_per_s) })} />
        </Vital>
      )}
      <Vital name={say('strip.pressure')} title={say('strip.pressure_title')}>
        <Measured text={percent(now?.pressure)} />
        <Gauge share={now?.pressure ?? null} level={judge.pressureLevel(now?.pressure ?? 0)} name={say('strip.pressure')} />
      </Vital>
      <Vital name={say('strip.spool')} title={now === null ? say('strip.spool_log') : spoolTitle(now)}>
        <Measured text={bytes(now?.spool.bytes)} />
        <Gauge share={fill} level={now === null ? 'well' : judge.spoolLevel(now)} name={say('strip.spool_fill')} />
      </Vital>
      <Vital name={say('strip.live_lag')} title={say('strip.live_lag_title')}>
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
    say('strip.spool_title', {
      bytes: bytes(now.spool.bytes),
      max: bytes(now.spool.bytes_max),
      percent: percent(judge.spoolFill(now)),
    }),
    say('strip.spool_oldest', { span: span(now.spool.oldest_s), durability: now.spool.durability }),
  ].join('\n');
}

function Sink({ sink }: { sink: SinkStatus }) {
  const state = breakerState(sink);
  const title = [
    say('strip.sink_title', { sink: sink.name, samples: samplesText(sink.lag_samples), state: breakerWord(state) }),
    ...(sink.cause == null ? [] : [sink.cause]),
  ].join('\n');
  return (
    <Vital name={say('strip.sink_lag', { sink: capital(sink.name) })} title={title}>
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
      <Vital name={say('strip.ledger')} title={say('strip.ledger_title')}>
        <Measured text={UNKNOWN} />
      </Vital>
    );
  }
  const { ledger } = now;
  if (ledger === undefined) return null;
  const title = [
    say('strip.ledger_accepted', { samples: ledger.accepted }),
    say('strip.ledger_stored', { stored: ledger.stored, spooled: ledger.spooled }),
    say('strip.ledger_rest', { dead: ledger.dead_lettered, shed: ledger.shed, skipped: ledger.skipped }),
  ].join('\n');
  return (
    <Vital name={say('strip.ledger')} title={title}>
      <span class="lamped">
        <Lamp level={ledger.balanced ? 'well' : 'bad'} />
        <span class="word">{ledger.balanced ? say('strip.balanced') : say('strip.off_balance')}</span>
      </span>
    </Vital>
  );
}
