// Messages that no route understood, topic by topic: why, an example, a route that would take them, and the two ways
// out: replay once the route is mended, and drop.

import { useSignal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { link, status } from '../app';
import { beat, stir } from '../beat';
import { DEFAULT_VIEW, fleetHash, messageHash, notUnderstoodHash } from '../route';
import { NotUnderstoodFeed, TOPICS_SHOWN } from '../state/not_understood_feed';
import { excerpt, messagesText, scope, totalsText } from '../text/brokers';
import { clock } from '../text/format';
import { say } from '../text/say';
import type { PuzzlingTopic, WhichMessages } from '../wire';
import { Confirm } from './confirm';
import { Copyable } from './copy';
import { Age, ageOf, ReadOnly, taking } from './kit';
import { useTitle } from './title';

export function NotUnderstood({ bridge }: { bridge: string | null }) {
  beat.value;
  const [feed, setFeed] = useState<NotUnderstoodFeed | null>(null);
  useEffect(() => {
    const made = new NotUnderstoodFeed(bridge, stir);
    setFeed(made);
    return () => made.close();
  }, [bridge]);
  const known = feed?.known ?? null;
  useTitle(say('puzzles.title'));
  return (
    <div class="not-understood">
      <header class="page-head">
        <a class="back" href={fleetHash(DEFAULT_VIEW)}>
          <span aria-hidden="true">‹</span> {say('common.fleet')}
        </a>
        <h1>{say('puzzles.title')}</h1>
        <BridgeChoice chosen={bridge} />
        {known !== null && (
          <p class="totals">
            {totalsText(known.totals).map((text) => (
              <span key={text}>{text}</span>
            ))}
          </p>
        )}
        <Age age_s={ageOf(feed)} />
      </header>
      {feed?.fault != null && (
        <p class="fault" role="alert">
          {say('puzzles.not_asked', { why: feed.fault })}
        </p>
      )}
      {feed !== null && known !== null && (
        <>
          {known.topics.length > 0 && (
            <div class="orders">
              <MessageOrders
                which={feed.which()}
                held={known.totals.held}
                order={(order) => feed.order(order, feed.which(), known.totals.held)}
              />
            </div>
          )}
          {known.topics.length > 0 && <ReadOnly scope="admin" about="all" />}
          <p class={`outcome ${feed.outcome?.ok === false ? 'fault' : ''}`} role="status">
            {feed.outcome?.text}
          </p>
          {known.topics.length === 0 && <Empty bridge={bridge} />}
          <ul class="puzzles">
            {known.topics.map((topic) => (
              <Topic key={`${topic.bridge} ${topic.topic}`} topic={topic} feed={feed} />
            ))}
          </ul>
          {known.totals.topics > known.topics.length && (
            <p class="empty">
              {say('puzzles.seen_last', { n: TOPICS_SHOWN, all: known.totals.topics })}
            </p>
          )}
        </>
      )}
      {known === null && feed?.fault == null && <p class="empty">{say('puzzles.asking')}</p>}
    </div>
  );
}

function BridgeChoice({ chosen }: { chosen: string | null }) {
  const names = (status.value?.intake?.mqtt ?? []).map((broker) => broker.name);
  if (chosen !== null && !names.includes(chosen)) names.unshift(chosen);
  if (names.length === 0) return null;
  return (
    <label class="picker">
      <span>{say('puzzles.broker')}</span>
      <select value={chosen ?? ''} onChange={(event) => (location.hash = notUnderstoodHash(event.currentTarget.value || null))}>
        <option value="">{say('puzzles.all_brokers')}</option>
        {names.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

interface MessageOrdersProps {
  which: WhichMessages;
  held: number;
  order: (order: 'replay' | 'drop') => Promise<void>;
}

/** The buttons say what they are for. */
export function MessageOrders({ which, held, order }: MessageOrdersProps) {
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
      <button
        type="button"
        aria-disabled={busy.value || held === 0}
        title={say('puzzles.replay_title')}
        onClick={() => void (held > 0 && give('replay'))}
        {...taking('admin', 'all')}
      >
        {say('puzzles.replay', { what })}
      </button>
      <button type="button" aria-disabled={busy.value} title={say('puzzles.drop_title')} onClick={() => (asking.value = true)} {...taking('admin', 'all')}>
        {say('puzzles.drop', { what })}
      </button>
      {asking.value && (
        <Confirm
          title={say('puzzles.drop_q', { what })}
          verb={say('puzzles.drop_verb')}
          answer={(yes) => {
            asking.value = false;
            if (yes) void give('drop');
          }}
        >
          <p>{say('puzzles.drop_why')}</p>
        </Confirm>
      )}
    </>
  );
}

function Empty({ bridge }: { bridge: string | null }) {
  return (
    <p class="empty">
      <strong>{say('puzzles.none')}</strong>
      <br />
      {bridge === null ? say('puzzles.none_why') : say('puzzles.none_why_of', { bridge })}
    </p>
  );
}

function Topic({ topic, feed }: { topic: PuzzlingTopic; feed: NotUnderstoodFeed }) {
  const now = link.daemonNow() ?? Date.now();
  const which = { bridge: topic.bridge, topic: topic.topic };
  const { example, suggestion } = topic;
  return (
    <li class="puzzle" data-topic={topic.topic}>
      <header>
        <h2>{topic.topic}</h2>
        <p>
          {say('puzzles.told', {
            bridge: topic.bridge,
            messages: messagesText(topic.count),
            time: clock(topic.last_seen, now),
          })}
        </p>
      </header>
      <p class="reason">{topic.reason}</p>
      {example !== null && (
        <p class="example">
          <code>{excerpt(example)}</code>
          <a href={messageHash(example.id, feed.bridge)}>
            {example.replaying ? say('puzzles.trying') : say('puzzles.look')}
          </a>
        </p>
      )}
      {suggestion !== null && (
        <details>
          <summary>{say('puzzles.route')}</summary>
          <Copyable text={suggestion} name={say('puzzles.suggested')} />
        </details>
      )}
      <div class="orders">
        <MessageOrders which={which} held={topic.held} order={(order) => feed.order(order, which, topic.held)} />
      </div>
    </li>
  );
}
