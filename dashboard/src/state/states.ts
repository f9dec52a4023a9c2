// Which colour a text state gets, and how long each lasted. Pure. The colour only helps: every state is also
// written where it is drawn.

import type { Stretch } from './shape';

const ALARMING = /fault|error|alarm|fail|trip|emergency|critical|panic/i;

/** -1: the alarm colour; otherwise a place among `colours` that no other of these texts has, while they last. */
export function stateColours(texts: Iterable<string>, colours: number): Map<string, number> {
  const given = new Map<string, number>();
  const taken = new Set<number>();
  for (const text of [...new Set(texts)].sort()) {
    if (ALARMING.test(text)) {
      given.set(text, -1);
      continue;
    }
    let place = hash(text) % colours;
    for (let tries = 0; taken.has(place) && tries < colours; tries++) place = (place + 1) % colours;
    taken.add(place);
    given.set(text, place);
  }
  return given;
}

/** The same text gets the same colour on every device, as far as that is possible. */
function hash(text: string): number {
  let sum = 7;
  for (let i = 0; i < text.length; i++) sum = (sum * 31 + text.charCodeAt(i)) >>> 0;
  return sum;
}

export interface Share {
  text: string;
  share: number;
}

/** The part of the time with data that each state took within [from, to], greatest first. */
export function shares(stretches: readonly Stretch[], from: number, to: number): Share[] {
  const spent = new Map<string, number>();
  let whole = 0;
  for (const stretch of stretches) {
    const time = Math.min(stretch.to, to) - Math.max(stretch.from, from);
    if (time <= 0) continue;
    whole += time;
    spent.set(stretch.text, (spent.get(stretch.text) ?? 0) + time);
  }
  return [...spent].map(([text, time]) => ({ text, share: time / whole })).sort((a, b) => b.share - a.share);
}
