// One dead letter: who sent it, why it was refused, and its readings as they are.

import { useEffect, useState } from 'preact/hooks';
import { link } from '../app';
import { beat, stir } from '../beat';
import { ApiError, deadLetterText, replayOrDrop } from '../link/api';
import { deadLettersHash, deviceHash } from '../route';
import { Asking } from '../state/asking';
import { outcomeText } from '../state/dead_letters_feed';
import { exactClock, type FullLetter, letterOf, type Reading, type Written } from '../state/readings';
import { isOut } from '../state/standing';
import { clock } from '../text/format';
import { samplesText } from '../text/sinks';
import { say } from '../text/say';
import { OrderButtons } from './dead_letters';
import { useTitle } from './title';

/** Readings that are shown; more would only be scrolled past. */
const READINGS_SHOWN = 500;

type Known =
  | { kind: 'asking' }
  | { kind: 'here'; letter: FullLetter }
  | { kind: 'gone' }
  | { kind: 'fault'; text: string };

/** Asked for again while it is shown: it may be stored by a replay, or dropped by somebody else. */
function useLetter(id: number): Known {
  const [known, setKnown] = useState<Known>({ kind: 'asking' });
  useEffect(() => {
    setKnown({ kind: 'asking' });
    const asking = new Asking(async () => {
      const found = await look(id);
      setKnown((before) => (isOut() && before.kind === 'here' ? before : found));
    }, stir);
    return () => asking.close();
  }, [id]);
  return known;
}

async function look(id: number): Promise<Known> {
  try {
    return { kind: 'here', letter: letterOf(await deadLetterText(id)) };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return { kind: 'gone' };
    return { kind: 'fault', text: (error as Error).message };
  }
}

export function DeadLetterPage({ id, sink }: { id: number; sink: string | null }) {
  beat.value;
  const known = useLetter(id);
  useTitle(say('letters.one', { id: String(id) }));
  const [outcome, setOutcome] = useState<{ ok: boolean; text: string } | null>(null);
  useEffect(() => {
    document.getElementById('main')?.scrollTo(0, 0);
  }, [id]);
  const order = async (wanted: 'replay' | 'drop'): Promise<void> => {
    try {
      const { letters } = await replayOrDrop(wanted, { ids: [id] });
      setOutcome({ ok: true, text: outcomeText(wanted, letters) });
    } catch (error) {
      setOutcome({ ok: false, text: (error as Error).message });
    }
  };
  return (
    <div class="dead-letter">
      <header class="page-head">
        <a class="back" href={deadLettersHash(sink)}>
          <span aria-hidden="true">‹</span> {say('letters.title')}
        </a>
        <h1>{say('letters.one', { id: String(id) })}</h1>
        {known.kind === 'here' && (
          <div class="orders">
            <OrderButtons which={{ ids: [id] }} held={1} order={order} />
          </div>
        )}
      </header>
      <p class={`outcome ${outcome?.ok === false ? 'fault' : ''}`} role="status">
        {outcome?.text}
      </p>
      {known.kind === 'here' && <Letter letter={known.letter} />}
      {known.kind === 'gone' && (
        <p class="empty">{say('letters.gone', { id: String(id) })}</p>
      )}
      {known.kind === 'fault' && (
        <p class="fault" role="alert">
          {say('letters.one_not_asked', { why: known.text })}
        </p>
      )}
      {known.kind === 'asking' && <p class="empty">{say('letters.one_asking')}</p>}
    </div>
  );
}

function Letter({ letter }: { letter: FullLetter }) {
  const now = link.daemonNow() ?? Date.now();
  const tries = letter.attempts === 1 ? say('letters.refused_once') : say('letters.refused_n', { n: letter.attempts });
  return (
    <>
      <figure class="refusal">
        <figcaption>
          {say(letter.replaying ? 'letters.refused_by_again' : 'letters.refused_by', { sink: letter.sink })}
        </figcaption>
        <blockquote>{letter.reason}</blockquote>
      </figure>
      <dl class="facts">
        <div>
          <dt>{say('letters.head_device')}</dt>
          <dd>
            <a href={deviceHash(letter.device)}>{letter.device}</a>
          </dd>
        </div>
        <Fact name={say('letters.head_refused')} text={say('letters.time_or', { time: clock(letter.refused_at, now), tries })} />
        <Fact name={say('letters.received')} text={clock(letter.received_at, now)} />
        <Fact name={say('letters.client')} text={letter.client === '' ? say('letters.not_named') : letter.client} />
        <Fact name={say('letters.protocol')} text={letter.protocol} />
        <Fact name={say('letters.holds')} text={samplesText(letter.samples)} />
      </dl>
      <Readings readings={letter.readings} />
    </>
  );
}

function Fact({ name, text }: { name: string; text: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd title={text}>{text}</dd>
    </div>
  );
}

/** Roles are written out: on a phone the rows are stacked, which takes a table's own roles away. */
function Readings({ readings }: { readings: Reading[] }) {
  const shown = readings.slice(0, READINGS_SHOWN);
  return (
    <div class="readings" tabIndex={0} role="region" aria-label={say('letters.readings')}>
      <table role="table">
        <caption>{say('letters.readings_n', { n: readings.length })}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {(['time', 'tags', 'values'] as const).map((name) => (
              <th key={name} role="columnheader" scope="col">
                {say(`letters.head_${name}`)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {shown.map((reading, i) => (
            <tr key={i} role="row">
              <td role="cell" title={say('letters.ns', { time: String(reading.time) })}>
                {exactClock(reading.time)}
              </td>
              <td role="cell">{Object.entries(reading.tags).map(([key, text]) => `${key}=${text}`).join(', ')}</td>
              <td role="cell" class="values">
                {Object.entries(reading.values).map(([metric, value]) => (
                  <span key={metric}>
                    <i>{metric}</i> {writtenText(value)}
                  </span>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {readings.length > shown.length && (
        <p>{say('letters.first_of', { n: shown.length })}</p>
      )}
    </div>
  );
}

/** Quotes tell the text "71" from the number 71. */
const writtenText = (value: Written): string => ('text' in value ? `“${value.text}”` : value.plain);
