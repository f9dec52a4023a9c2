// One message that no route understood: why, its payload in every way that it can be read, and a route for it.

import { useEffect, useState } from 'preact/hooks';
import { link } from '../app';
import { beat, stir } from '../beat';
import { ApiError, quarantined } from '../link/api';
import { notUnderstoodHash } from '../route';
import { Asking } from '../state/asking';
import { ordered } from '../state/not_understood_feed';
import { hexLines } from '../text/brokers';
import { bytes, clock, count } from '../text/format';
import type { FullQuarantined } from '../wire';
import { Copyable } from './copy';
import { MessageOrders } from './not_understood';

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
    const asking = new Asking(async () => setKnown(await look(id)), stir);
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
  const [outcome, setOutcome] = useState<{ ok: boolean; text: string } | null>(null);
  useEffect(() => {
    document.title = `Message ${id} – Tidegate`;
    document.getElementById('main')?.scrollTo(0, 0);
  }, [id]);
  const which = { ids: [id] };
  return (
    <div class="dead-letter">
      <header class="page-head">
        <a class="back" href={notUnderstoodHash(bridge)}>
          <span aria-hidden="true">‹</span> Not understood
        </a>
        <h1>Message {id}</h1>
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
        <p class="empty">There is no message {id}: it has been understood by a replay, dropped or shed, or never was.</p>
      )}
      {known.kind === 'fault' && (
        <p class="fault" role="alert">
          It could not be asked for: {known.text}
        </p>
      )}
      {known.kind === 'asking' && <p class="empty">Asking for it…</p>}
    </div>
  );
}

function Message({ message }: { message: FullQuarantined }) {
  const now = link.daemonNow() ?? Date.now();
  const tries = message.attempts === 1 ? 'once' : `${count(message.attempts)} times`;
  const read = message.json ?? message.text ?? message.protobuf;
  const whole = message.kept === message.bytes;
  return (
    <>
      <figure class="refusal">
        <figcaption>
          {message.topic}, tried {tries}
          {message.replaying && '; it will be tried again'}:
        </figcaption>
        <blockquote>{message.reason}</blockquote>
      </figure>
      <dl class="facts">
        <Fact name="Broker" text={message.bridge} />
        <Fact name="Received" text={clock(message.received_at, now)} />
        <Fact name="QoS" text={`${message.qos}${message.retained ? ', retained' : ''}`} />
        <Fact name="Payload" text={whole ? bytes(message.bytes) : `${bytes(message.bytes)}, ${bytes(message.kept)} kept`} />
        {message.content_type !== null && <Fact name="Content type" text={message.content_type} />}
        {message.properties.map(([key, value], at) => (
          <Fact key={at} name={key} text={value} />
        ))}
      </dl>
      {read !== null && read !== '' && (
        <Picture name={message.json !== null ? 'As JSON' : message.text !== null ? 'As text' : 'As protobuf'} text={read} />
      )}
      <Picture name="As bytes" text={hexLines(message.hex, HEX_LINES_SHOWN)} />
      <section class="picture">
        <h2>A route that would take it</h2>
        <Copyable text={message.suggestion} name="Suggested route" />
      </section>
    </>
  );
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
