// The dead letters: what sinks refused for good, why in the servers' words, and the two ways out: replay and drop.

import type { ComponentChildren } from 'preact';
import { useSignal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { link, status } from '../app';
import { beat, stir } from '../beat';
import { DEFAULT_VIEW, deadLetterHash, deadLettersHash, fleetHash } from '../route';
import { DeadLettersFeed } from '../state/dead_letters_feed';
import { clock, count } from '../text/format';
import { scope, totalsText } from '../text/sinks';
import { say } from '../text/say';
import type { DeadLetter, DeadLetters as Page, Which } from '../wire';
import { Confirm } from './confirm';
import { Age, ageOf, ReadOnly, taking } from './kit';
import { useTitle } from './title';

export function DeadLetters({ sink, after }: { sink: string | null; after: number | null }) {
  beat.value;
  const [feed, setFeed] = useState<DeadLettersFeed | null>(null);
  useEffect(() => {
    const made = new DeadLettersFeed(sink, after, stir);
    setFeed(made);
    return () => made.close();
  }, [sink, after]);
  const page = feed?.page ?? null;
  useTitle(say('letters.title'));
  return (
    <div class="dead-letters">
      <header class="page-head">
        <a class="back" href={fleetHash(DEFAULT_VIEW)}>
          <span aria-hidden="true">‹</span> {say('common.fleet')}
        </a>
        <h1>{say('letters.title')}</h1>
        <SinkChoice chosen={sink} />
        {page !== null && (
          <p class="totals">
            {totalsText(page.totals).map((text) => (
              <span key={text}>{text}</span>
            ))}
          </p>
        )}
        <Age age_s={ageOf(feed)} />
      </header>
      {feed?.fault != null && (
        <p class="fault" role="alert">
          {say('letters.not_asked', { why: feed.fault })}
        </p>
      )}
      {feed !== null && page !== null && (
        <>
          {page.totals.letters > 0 && <Orders feed={feed} held={page.totals.letters} />}
          {page.totals.letters > 0 && <ReadOnly scope="admin" about="all" />}
          <Outcome feed={feed} />
          {page.letters.length === 0 ? <Empty sink={sink} after={after} /> : <Table feed={feed} page={page} />}
          <Paging page={page} sink={sink} after={after} />
        </>
      )}
      {page === null && feed?.fault == null && <p class="empty">{say('letters.asking')}</p>}
    </div>
  );
}

function SinkChoice({ chosen }: { chosen: string | null }) {
  const names = (status.value?.sinks ?? []).filter((sink) => sink.dead_letters !== undefined).map((sink) => sink.name);
  if (chosen !== null && !names.includes(chosen)) names.unshift(chosen);
  if (names.length === 0) return null;
  return (
    <label class="picker">
      <span>{say('letters.sink')}</span>
      <select value={chosen ?? ''} onChange={(event) => (location.hash = deadLettersHash(event.currentTarget.value || null))}>
        <option value="">{say('letters.all_sinks')}</option>
        {names.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Replay and drop, of what is chosen or of all: the buttons say which. */
function Orders({ feed, held }: { feed: DeadLettersFeed; held: number }) {
  const which = feed.which();
  return (
    <div class="orders">
      <OrderButtons which={which} held={held} order={(order) => feed.order(order, which)} />
      {feed.chosen.size > 0 && (
        <button type="button" class="plain" onClick={() => feed.choose([...feed.chosen], false)}>
          {say('letters.choose_none')}
        </button>
      )}
    </div>
  );
}

interface OrderButtonsProps {
  which: Which;
  held: number;
  order: (order: 'replay' | 'drop') => Promise<void>;
}

export function OrderButtons({ which, held, order }: OrderButtonsProps) {
  const asking = useSignal(false);
  const busy = useSignal(false);
  const what = scope(which, held);
  const give = async (wanted: 'replay' | 'drop'): Promise<void> => {
    if (busy.value) return;
    busy.value = true;
    await order(wanted);
    busy.value = false;
  };
  return (
    <>
      <button type="button" aria-disabled={busy.value} title={say('letters.replay_title')} onClick={() => void give('replay')} {...taking('admin', 'all')}>
        {say('letters.replay', { what })}
      </button>
      <button type="button" aria-disabled={busy.value} title={say('letters.drop_title')} onClick={() => (asking.value = true)} {...taking('admin', 'all')}>
        {say('letters.drop', { what })}
      </button>
      {asking.value && (
        <Confirm
          title={say('letters.drop_q', { what })}
          verb={say('letters.drop_verb')}
          answer={(yes) => {
            asking.value = false;
            if (yes) void give('drop');
          }}
        >
          <p>{say('letters.drop_why')}</p>
        </Confirm>
      )}
    </>
  );
}

function Outcome({ feed }: { feed: DeadLettersFeed }) {
  return (
    <p class={`outcome ${feed.outcome?.ok === false ? 'fault' : ''}`} role="status">
      {feed.outcome?.text}
    </p>
  );
}

function Empty({ sink, after }: { sink: string | null; after: number | null }) {
  if (after !== null) return <p class="empty">{say('letters.no_more')}</p>;
  return (
    <p class="empty">
      <strong>{say('letters.none')}</strong>
      <br />
      {sink === null ? say('letters.none_why') : say('letters.none_why_of', { sink })}
    </p>
  );
}

/** Roles are written out: on a phone the rows are laid out as cards, which takes a table's own roles away. */
function Table({ feed, page }: { feed: DeadLettersFeed; page: Page }) {
  const ids = page.letters.map((letter) => letter.id);
  const all = ids.every((id) => feed.chosen.has(id));
  return (
    <table class="letters" role="table">
      <caption class="unseen">{say('letters.caption')}</caption>
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader" class="choose">
            <Choose label={say('letters.choose_page')} on={all} some={feed.chosen.size > 0} set={(on) => feed.choose(ids, on)} />
          </th>
          <Head>{say('letters.head_refused')}</Head>
          <Head>{say('letters.sink')}</Head>
          <Head>{say('letters.head_device')}</Head>
          <Head>{say('letters.head_metrics')}</Head>
          <Head end>{say('letters.head_samples')}</Head>
          <Head>{say('letters.head_reason')}</Head>
          <Head end>{say('letters.head_attempts')}</Head>
        </tr>
      </thead>
      <tbody role="rowgroup">
        {page.letters.map((letter) => (
          <Row key={letter.id} letter={letter} feed={feed} />
        ))}
      </tbody>
    </table>
  );
}

const Head = ({ end, children }: { end?: boolean; children: ComponentChildren }) => (
  <th role="columnheader" scope="col" class={end === true ? 'end' : ''}>
    {children}
  </th>
);

function Row({ letter, feed }: { letter: DeadLetter; feed: DeadLettersFeed }) {
  const now = link.daemonNow() ?? Date.now();
  return (
    <tr role="row" data-letter={letter.id} class={feed.chosen.has(letter.id) ? 'chosen' : ''}>
      <td role="cell" class="choose">
        <Choose label={say('letters.choose_one', { id: String(letter.id) })} on={feed.chosen.has(letter.id)} set={(on) => feed.choose([letter.id], on)} />
      </td>
      <td role="cell" class="at">
        <a href={deadLetterHash(letter.id, feed.sink)}>{clock(letter.refused_at, now)}</a>
      </td>
      <td role="cell" class="of">{letter.sink}</td>
      <td role="cell" class="device">{letter.device}</td>
      <td role="cell" class="metrics" title={letter.metrics.join(', ')}>
        {metricsText(letter.metrics)}
      </td>
      <td role="cell" class="samples end">
        {count(letter.samples)} <span class="unit narrow">{letter.samples === 1 ? say('letters.unit_sample') : say('letters.unit_samples')}</span>
      </td>
      <td role="cell" class="reason" title={letter.reason}>
        {letter.replaying && <em>{say('letters.replaying')}</em>}
        {letter.reason}
      </td>
      <td role="cell" class="attempts end">
        {count(letter.attempts)} <span class="unit narrow">{letter.attempts === 1 ? say('letters.unit_attempt') : say('letters.unit_attempts')}</span>
      </td>
    </tr>
  );
}

const METRICS_SHOWN = 2;

function metricsText(metrics: readonly string[]): string {
  const more = metrics.length - METRICS_SHOWN;
  return metrics.slice(0, METRICS_SHOWN).join(', ') + (more > 0 ? ` +${more}` : '');
}

interface ChooseProps {
  label: string;
  on: boolean;
  some?: boolean;
  set: (on: boolean) => void;
}

function Choose({ label, on, some, set }: ChooseProps) {
  return (
    <label>
      <input type="checkbox" aria-label={label} checked={on} indeterminate={some === true && !on} onChange={(event) => set(event.currentTarget.checked)} />
    </label>
  );
}

function Paging({ page, sink, after }: { page: Page; sink: string | null; after: number | null }) {
  if (after === null && page.next === null) return null;
  return (
    <nav class="paging" aria-label={say('common.pages')}>
      {after !== null && <a href={deadLettersHash(sink)}>{say('common.first_page')}</a>}
      {page.next !== null && (
        <a href={deadLettersHash(sink, page.next)} rel="next">
          {say('common.next_page')} <span aria-hidden="true">›</span>
        </a>
      )}
    </nav>
  );
}
