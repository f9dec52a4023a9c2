// The bridges to brokers: state, rates, and for each route what it took and did not understand.

import { link, status, statusAge_s } from '../app';
import { beat } from '../beat';
import { notUnderstoodHash } from '../route';
import * as judge from '../state/verdict';
import * as tell from '../text/brokers';
import { clock, count, span } from '../text/format';
import { say } from '../text/say';
import type { BrokerStatus, RouteStatus } from '../wire';
import { Lamp } from './instruments';

export function Brokers() {
  beat.value;
  const brokers = status.value?.intake?.mqtt ?? [];
  if (brokers.length === 0) return null;
  return (
    <section class="flow" aria-label={say('brokers.title')}>
      <ul class="sinks">
        {brokers.map((broker) => (
          <Broker key={broker.name} broker={broker} />
        ))}
      </ul>
    </section>
  );
}

function Broker({ broker }: { broker: BrokerStatus }) {
  const level = judge.brokerLevel(broker);
  const puzzling = tell.notUnderstood(broker);
  const lost = tell.lost(broker);
  return (
    <li class={`sink broker ${level}`} data-broker={broker.name} data-state={broker.state}>
      <h3 title={broker.broker}>{broker.name}</h3>
      <span class="lamped">
        <Lamp level={level} />
        <span class={`word ${level}`}>{tell.stateWord(broker)}</span>
      </span>
      <span class="address">
        {say('brokers.for', { broker: broker.broker, span: span(broker.state_s + statusAge_s()) })}
      </span>
      <span class="rate">{say('brokers.rate', { n: Math.round(broker.messages_per_s) })}</span>
      <span class="requests">{tell.underWay(broker)}</span>
      <a class="letters" href={notUnderstoodHash(broker.name)}>
        {say('brokers.not_understood', { n: puzzling })}
      </a>
      {lost !== null && <p class="backlog">{lost}</p>}
      <Why broker={broker} />
      <Routes broker={broker} />
    </li>
  );
}

function Why({ broker }: { broker: BrokerStatus }) {
  const meaning = tell.stateMeaning(broker);
  if (meaning === null && broker.cause === null) return null;
  return (
    <p class="why">
      {broker.cause !== null && <strong class="cause">{sentence(broker.cause)}</strong>}
      {meaning !== null && <span>{sentence(meaning)}</span>}
    </p>
  );
}

const HEADS = ['topic', 'decoder', 'messages', 'samples', 'puzzling', 'why'] as const;

/** Roles are written out: on a phone the rows are laid out as cards, which takes a table's own roles away. */
function Routes({ broker }: { broker: BrokerStatus }) {
  return (
    <details class="routes">
      <summary>{say('brokers.routes_n', { n: broker.routes.length })}</summary>
      <table role="table">
        <caption class="unseen">{say('brokers.routes_of', { broker: broker.name })}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {HEADS.map((name, at) => (
              <th key={name} role="columnheader" scope="col" class={at >= 2 && at <= 4 ? 'end' : ''}>
                {say(`brokers.head_${name}`)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {broker.routes.map((route, at) => (
            <Route key={at} route={route} />
          ))}
          {broker.unrouted > 0 && (
            <tr role="row">
              <td role="cell">{say('brokers.no_route')}</td>
              <td role="cell" />
              <td role="cell" class="end" />
              <td role="cell" class="end" />
              <td role="cell" class="end watch" data-unit={say('brokers.unit_puzzling')}>
                {count(broker.unrouted)}
              </td>
              <td role="cell" />
            </tr>
          )}
        </tbody>
      </table>
    </details>
  );
}

function Route({ route }: { route: RouteStatus }) {
  const now = link.daemonNow() ?? Date.now();
  return (
    <tr role="row">
      <td role="cell" class="topic">
        {route.topic}
      </td>
      <td role="cell">{route.decoder}</td>
      <td role="cell" class="end" data-unit={route.messages === 1 ? say('brokers.unit_message') : say('brokers.unit_messages_word')}>
        {count(route.messages)}
      </td>
      <td role="cell" class="end" data-unit={route.samples === 1 ? say('brokers.unit_sample') : say('brokers.unit_samples')}>
        {count(route.samples)}
      </td>
      <td role="cell" class={`end ${route.refused > 0 ? 'watch' : ''}`} data-unit={say('brokers.unit_puzzling')}>
        {count(route.refused)}
      </td>
      <td role="cell" class="reason">
        {route.last_error_at !== null && `${clock(route.last_error_at, now)} `}
        {route.last_error}
      </td>
    </tr>
  );
}

const sentence = (text: string): string => {
  const told = text.slice(0, 1).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(told) ? told : `${told}.`;
};
