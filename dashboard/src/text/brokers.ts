// What bridges to brokers have to say, and the messages that no route understood. Pure.

import type { BrokerStatus, PuzzlingTopics, Quarantined, WhichMessages } from '../wire';
import { bytes, count } from './format';

/** What a state means for the data, as a sentence without its full stop; nothing while all is well. */
export function stateMeaning(broker: BrokerStatus): string | null {
  switch (broker.state) {
    case 'connected':
    case 'connecting':
      return null;
    case 'holding':
      return 'Nothing can be taken in for now; the broker keeps messages of QoS 1';
    case 'away':
      return 'It is tried again by itself';
    case 'refused':
      return 'Something must be mended, there or in the configuration; it is tried again now and then';
    case 'stopped':
      return 'The daemon stops';
    default:
      return null;
  }
}

/** Messages that ended in quarantine, ever. */
export function notUnderstood(broker: BrokerStatus): number {
  return broker.routes.reduce((sum, route) => sum + route.refused, broker.unrouted + broker.too_long);
}

export const messagesText = (n: number | null | undefined): string => `${count(n)} ${n === 1 ? 'message' : 'messages'}`;

/** What waits between broker and disk; null where nothing does. */
export function underWay(broker: BrokerStatus): string | null {
  if (broker.in_flight_bytes === 0 && broker.unacked === 0) return null;
  const waits = broker.unacked === 0 ? '' : `${messagesText(broker.unacked)} not acknowledged, `;
  return `${waits}${bytes(broker.in_flight_bytes)} under way`;
}

/** Messages that were lost because there was no room for them; null where none was. */
export function lost(broker: BrokerStatus): string | null {
  return broker.no_room === 0 ? null : `${messagesText(broker.no_room)} of QoS 0 given up: no room`;
}

/** What an order is for: "1 message", "all 120 messages of site". `held`: the total where it is not counted. */
export function scope(which: WhichMessages, held: number): string {
  if ('ids' in which) return messagesText(which.ids.length);
  const all = held === 1 ? 'the only message' : `all ${messagesText(held)}`;
  if (!('bridge' in which)) return all;
  return which.topic === undefined ? `${all} of ${which.bridge}` : `${all} on ${which.topic}`;
}

/** What an order came to. */
export function outcomeText(order: 'replay' | 'drop', messages: number, cut: number): string {
  if (order === 'drop') return `${messagesText(messages)} dropped.`;
  const tried = `${messagesText(messages)} will be tried again; what is understood leaves this list.`;
  return cut === 0 ? tried : `${tried} ${messagesText(cut)} cannot be: only the beginning is kept.`;
}

/** What is held, and what became of the others. */
export function totalsText(totals: PuzzlingTopics['totals']): string[] {
  const past = [
    ['understood', 'understood later'],
    ['dropped', 'dropped'],
    ['shed', 'shed'],
    ['missed', 'only counted'],
  ] as const;
  const held = `${messagesText(totals.held)} kept, ${bytes(totals.bytes)}`;
  return [
    ...(totals.held > 0 ? [held] : []),
    ...past.filter(([name]) => totals[name] > 0).map(([name, words]) => `${count(totals[name])} ${words}`),
  ];
}

/** Characters of a payload in a list. */
const EXCERPT_CHARS = 160;

/** The beginning of a payload as text, else as hex. */
export function excerpt(message: Quarantined): string {
  if (message.bytes === 0) return 'empty';
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
  if (left > 0) lines.push(`… ${bytes(left)} more`);
  return lines.join('\n');
}
