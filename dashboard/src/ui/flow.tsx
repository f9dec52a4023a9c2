// Where data goes: how full what it waits in is, whether all of it is accounted for, and each sink. One quiet line
// for what is well; what is not says why, and what can be done.

import { status, statusAge_s } from '../app';
import { beat } from '../beat';
import { deadLettersHash } from '../route';
import { isWhole } from '../state/pipeline';
import * as judge from '../state/verdict';
import { bytes, count, percent, UNKNOWN } from '../text/format';
import * as tell from '../text/sinks';
import { say } from '../text/say';
import type { SinkStatus, Status, WholeStatus } from '../wire';
import { BreakerControls } from './breaker_controls';
import { BreakerLamp, Gauge, Lamp } from './instruments';

export function Flow() {
  beat.value;
  const now = status.value;
  if (now === null || !isWhole(now)) return null;
  return (
    <section class="flow" aria-label={say('flow.where')}>
      <div class="reserves">
        <Pressure now={now} />
        <Spool now={now} />
        <Balance now={now} />
      </div>
      <ul class="sinks">
        {now.sinks.map((sink) => (
          <Sink key={sink.name} sink={sink} />
        ))}
      </ul>
    </section>
  );
}

function Pressure({ now }: { now: Status }) {
  const level = judge.pressureLevel(now.pressure);
  const of = tell.tightest(now);
  return (
    <div class={`reserve ${level}`} data-reserve="pressure">
      <h2>{say('strip.pressure')}</h2>
      <Gauge share={now.pressure} level={level} name={say('strip.pressure')} />
      <p>
        {level !== 'well' && <Lamp level={level} />}
        <b class={level}>{percent(now.pressure)}</b>
        {of !== null && <span class="said">{say('flow.tightest', { of })}</span>}
      </p>
    </div>
  );
}

function Spool({ now }: { now: Status }) {
  const level = judge.spoolLevel(now);
  const fill = judge.spoolFill(now);
  const full = tell.spoolFull(now);
  return (
    <div class={`reserve ${level}`} data-reserve="spool">
      <h2>{say('strip.spool')}</h2>
      <Gauge share={fill} level={level} name={say('flow.spool_fill')} />
      <p>
        {level !== 'well' && <Lamp level={level} />}
        <b class={judge.spoolFillLevel(now)}>{fill === null ? bytes(now.spool.bytes) : percent(fill)}</b>
        {fill !== null && (
          <span class="said">
            {say('flow.of', { part: bytes(now.spool.bytes), all: bytes(now.spool.bytes_max) })}
          </span>
        )}
        {full !== null && <span class="full">{full}</span>}
      </p>
    </div>
  );
}

function Balance({ now }: { now: WholeStatus }) {
  const { ledger } = now;
  const off = tell.imbalances(now.sinks);
  const level = ledger.balanced && off.length === 0 ? 'well' : 'bad';
  return (
    <div class={`reserve balance ${level}`} data-reserve="ledger">
      <h2>{say('strip.ledger')}</h2>
      <p>
        <Lamp level={level} />
        <b class={level}>{level === 'well' ? say('strip.balanced') : say('strip.off_balance')}</b>
        {off.map((text) => (
          <span key={text} class="off">
            {text}
          </span>
        ))}
      </p>
      <p class="sum">
        <span>
          {count(ledger.accepted)} <i>{say('sinks.ledger_accepted')}</i>
        </span>
        {tell.ledgerParts(ledger).map(([name, samples], i) => (
          <span key={name}>
            {i === 0 ? (ledger.balanced ? '=' : '≠') : '+'} {count(samples)} <i>{name}</i>
          </span>
        ))}
      </p>
    </div>
  );
}

function Sink({ sink }: { sink: SinkStatus }) {
  const state = tell.breakerState(sink);
  const requests = tell.requests(sink);
  const letters = sink.dead_letters?.letters;
  const backlog = tell.backlog(sink);
  const rollups = tell.rollups(sink);
  return (
    <li class={`sink ${judge.sinkLevel(sink)}`} data-sink={sink.name} data-breaker={state}>
      <h3>
        {sink.name}
        {rollups !== null && <small class="rollups">{rollups}</small>}
      </h3>
      <span class="lamped breaker">
        <BreakerLamp state={state} />
        <span class={`word ${judge.breakerLevel(state)}`}>{tell.breakerWord(state)}</span>
      </span>
      <span class={`lag ${judge.sinkLagLevel(sink.live_lag_s ?? sink.lag_s)}`}>{tell.behind(sink)}</span>
      <span class="rate">{say('flow.rate', { n: sink.samples_per_s === undefined ? UNKNOWN : Math.round(sink.samples_per_s) })}</span>
      <span class="requests" title={say('sinks.requests_title')}>
        {requests}
      </span>
      {letters === undefined ? (
        <span class="letters" />
      ) : (
        <a class={`letters ${letters > 0 ? 'watch' : ''}`} href={deadLettersHash(sink.name)}>
          {letters > 0 && <Lamp level="watch" />}
          {tell.lettersText(letters)}
        </a>
      )}
      <BreakerControls sink={sink} />
      {backlog !== null && <p class="backlog">{backlog}</p>}
      <Why sink={sink} />
    </li>
  );
}

function Why({ sink }: { sink: SinkStatus }) {
  const meaning = tell.breakerMeaning(sink);
  if (meaning === null) return null;
  const probe = tell.nextProbe(sink, statusAge_s());
  return (
    <p class="why">
      {sink.cause != null && <strong class="cause">{sentence(sink.cause)}</strong>}
      {probe !== null && <span class="probe">{sentence(probe)}</span>}
      <span>{sentence(meaning)}</span>
    </p>
  );
}

const sentence = (text: string): string => {
  const told = text.slice(0, 1).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(told) ? told : `${told}.`;
};
