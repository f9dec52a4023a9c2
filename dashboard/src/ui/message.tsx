// One message that no route understood: why, its payload in every way that it can be read, and a route for it.

import { useEffect, useState } from 'preact/hooks';
import { link } from '../app';
import { beat, stir } from '../beat';
import { ApiError, quarantined } from '../link/api';
import { notUnderstoodHash } from '../route';
import { Asking } from '../state/asking';
import { isOut } from '../state/standing';
import { ordered } from '../state/not_understood_feed';
import { hexLines } from '../text/brokers';
import { bytes, clock } from '../text/format';
import { say } from '../text/say';
import type { FullQuarantined } from '../wire';
import { Copyable } from './copy';
import { MessageOrders } from './not_understood';
import { useTitle } from './title';

/** Lines of bytes that are shown; more would only be scrolled past. */
const HEX_LINES_SHOWN = 256;

type Known =
  | { kind: 'asking' }
  | { kind: 'here'; message: FullQuarantined }
  | { kind: 'gone' }
  | { kind: 'fault'; text: string };

/** Asked for again while it is shown: it may be understood by a replay, or dropped by somebody else. */
function useMessage(id: number): Known {
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
    return { kind: 'here', message: await quarantined(id) };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return { kind: 'gone' };
    return { kind: 'fault', text: (error as Error).message };
  }
}

export function MessagePage({ id, bridge }: { id: number; bridge: string | null }) {
  beat.value;
  const known = useMessage(id);
  useTitle(say('puzzles.one', { id: String(id) }));
  const [outcome, setOutcome] = useState<{ ok: boolean; text: string } | null>(null);
  useEffect(() => {
    document.getElementById('main')?.scrollTo(0, 0);
  }, [id]);
  const which = { ids: [id] };
  return (
    <div class="dead-letter">
      <header class="page-head">
        <a class="back" href={notUnderstoodHash(bridge)}>
          <span aria-hidden="true">‹</span> {say('puzzles.title')}
        </a>
        <h1>{say('puzzles.one', { id: String(id) })}</h1>
        {known.kind === 'here' && (
          <div class="orders">
            <MessageOrders which={which} held={1} order={async (order) => setOutcome(await ordered(order, which, 1))} />
          </div>
        )}
      </header>
      <p class={`outcome ${outcome?.ok === false ? 'fault' : ''}`} role="status">
        {outcome?.text}
      </p>
      {known.kind === 'here' && <Message message={known.message} />}
      {known.kind === 'gone' && (
        <p class="empty">{say('puzzles.gone', { id: String(id) })}</p>
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

function Message({ message }: { message: FullQuarantined }) {
  const now = link.daemonNow() ?? Date.now();
  const read = message.json ?? message.text ?? message.protobuf;
  const whole = message.kept === message.bytes;
  return (
    <>
      <figure class="refusal">
        <figcaption>
          {triedText(message)}
        </figcaption>
        <blockquote>{message.reason}</blockquote>
      </figure>
      <dl class="facts">
        <Fact name={say('puzzles.broker')} text={message.bridge} />
        <Fact name={say('puzzles.received')} text={clock(message.received_at, now)} />
        <Fact name={say('puzzles.qos')} text={message.retained ? say('puzzles.retained', { qos: message.qos }) : String(message.qos)} />
        <Fact name={say('puzzles.payload')} text={whole ? bytes(message.bytes) : say('puzzles.kept', { bytes: bytes(message.bytes), kept: bytes(message.kept) })} />
        {message.content_type !== null && <Fact name={say('puzzles.content_type')} text={message.content_type} />}
        {message.properties.map(([key, value], at) => (
          <Fact key={at} name={key} text={value} />
        ))}
      </dl>
      {read !== null && read !== '' && (
        <Picture name={message.json !== null ? say('puzzles.as_json') : message.text !== null ? say('puzzles.as_text') : say('puzzles.as_protobuf')} text={read} />
      )}
      <Picture name={say('puzzles.as_bytes')} text={hexLines(message.hex, HEX_LINES_SHOWN)} />
      <section class="picture">
        <h2>{say('puzzles.route')}</h2>
        <Copyable text={message.suggestion} name={say('puzzles.suggested')} />
      </section>
    </>
  );
}

function triedText({ topic, attempts, replaying }: FullQuarantined): string {
  const n = attempts;
  if (replaying) return n === 1 ? say('puzzles.again_once', { topic }) : say('puzzles.again_n', { topic, n });
  return n === 1 ? say('puzzles.tried_once', { topic }) : say('puzzles.tried_n', { topic, n });
}

function Picture({ name, text }: { name: string; text: string }) {
  return (
    <section class="picture">
      <h2>{name}</h2>
      <pre tabIndex={0} aria-label={name}>
        {text}
      </pre>
    </section>
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
