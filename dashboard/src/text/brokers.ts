// What bridges to brokers have to say, and the messages that no route understood. Pure.

import type { BrokerStatus, PuzzlingTopics, Quarantined, WhichMessages } from '../wire';
import { bytes, UNKNOWN } from './format';
import { isKey, say } from './say';

/** What a state means for the data, as a sentence without its full stop; nothing while all is well. */
export function stateMeaning(broker: BrokerStatus): string | null {
  switch (broker.state) {
    case 'connected':
    case 'connecting':
      return null;
    case 'holding':
      return say('brokers.means_holding');
    case 'away':
      return say('brokers.means_away');
    case 'refused':
      return say('brokers.means_refused');
    case 'stopped':
      return say('brokers.means_stopped');
    default:
      return null;
  }
}

/** A state in a word; later daemons may know more. */
export function stateWord({ state }: BrokerStatus): string {
  const key = `brokers.state_${state}`;
  return isKey(key) ? say(key as 'brokers.state_away') : state;
}

/** Messages that ended in quarantine, ever. */
export function notUnderstood(broker: BrokerStatus): number {
  return broker.routes.reduce((sum, route) => sum + route.refused, broker.unrouted + broker.too_long);
}

export const messagesText = (n: number | null | undefined): string => say('brokers.unit_messages', { n: n ?? UNKNOWN });

/** What waits between broker and disk; null where nothing does. */
export function underWay(broker: BrokerStatus): string | null {
  if (broker.in_flight_bytes === 0 && broker.unacked === 0) return null;
  const messages = messagesText(broker.unacked);
  const unacked = broker.unacked === 0 ? '' : say('brokers.unacked', { messages });
  return say('brokers.under_way', { unacked, bytes: bytes(broker.in_flight_bytes) });
}

/** Messages that were lost because there was no room for them; null where none was. */
export function lost(broker: BrokerStatus): string | null {
  return broker.no_room === 0 ? null : say('brokers.lost', { messages: messagesText(broker.no_room) });
}

/** What an order is for: "1 message", "all 120 messages of site". `held`: the total where it is not counted. */
export function scope(which: WhichMessages, held: number): string {
  if ('ids' in which) return messagesText(which.ids.length);
  const all = held === 1 ? say('brokers.scope_only') : say('brokers.scope_all', { messages: messagesText(held) });
  if (!('bridge' in which)) return all;
  return which.topic === undefined
    ? say('brokers.scope_of', { all, bridge: which.bridge })
    : say('brokers.scope_on', { all, topic: which.topic });
}

/** What an order came to. */
export function outcomeText(order: 'replay' | 'drop', messages: number, cut: number): string {
  if (order === 'drop') return say('brokers.dropped', { messages: messagesText(messages) });
  const tried = say('brokers.replayed', { messages: messagesText(messages) });
  return cut === 0 ? tried : say('brokers.cut', { tried, messages: messagesText(cut) });
}

/** What is held, and what became of the others. */
export function totalsText(totals: PuzzlingTopics['totals']): string[] {
  const past = ['understood', 'dropped', 'shed', 'missed'] as const;
  const held = say('brokers.held', { messages: messagesText(totals.held), bytes: bytes(totals.bytes) });
  return [
    ...(totals.held > 0 ? [held] : []),
    ...past.filter((name) => totals[name] > 0).map((name) => say(`brokers.past_${name}`, { n: totals[name] })),
  ];
}

/** Characters of a payload in a list. */
const EXCERPT_CHARS = 160;

/** The beginning of a payload as text, else as hex. */
export function excerpt(message: Quarantined): string {
  if (message.bytes === 0) return say('brokers.empty');
  const shown = message.excerpt ?? spaced(message.excerpt_hex);
  const all = message.excerpt_hex.length / 2 === message.bytes && shown.length <= EXCERPT_CHARS;
  return all ? shown : `${shown.slice(0, EXCERPT_CHARS)}…`;
}

/** `0102ff` → `01 02 ff`. */
function spaced(hex: string): string {
  return (hex.match(/../g) ?? []).join(' ');
}

const LINE_BYTES = 16;

/** Bytes in lines of sixteen, with where they stand and what they are as ASCII. */
export function hexLines(hex: string, lines_max: number): string {
  const lines: string[] = [];
  for (let at = 0; at < hex.length && lines.length < lines_max; at += 2 * LINE_BYTES) {
    const line = hex.slice(at, at + 2 * LINE_BYTES);
    const ascii = (line.match(/../g) ?? []).map((byte) => {
      const code = parseInt(byte, 16);
      return code >= 32 && code < 127 ? String.fromCharCode(code) : '.';
    });
    const place = (at / 2).toString(16).padStart(6, '0');
    lines.push(`${place}  ${spaced(line).padEnd(3 * LINE_BYTES - 1)}  ${ascii.join('')}`);
  }
  const left = hex.length / 2 - lines.length * LINE_BYTES;
  if (left > 0) lines.push(say('brokers.more_bytes', { bytes: bytes(left) }));
  return lines.join('\n');
}
