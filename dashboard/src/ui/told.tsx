// A text of the tables whose places hold more than text: a link, a value, a button.

import type { ComponentChildren } from 'preact';
import { type Key, pieces } from '../text/say';
import { count } from '../text/format';

interface ToldProps {
  it: Key;
  /** What stands in each place; a number is written as a count. */
  with: Record<string, ComponentChildren>;
}

export function Told({ it, with: places }: ToldProps) {
  const n = places['n'];
  const fill = (place: string): ComponentChildren => {
    const filled = places[place];
    return typeof filled === 'number' ? count(filled) : filled;
  };
  return (
    <>
      {pieces(it, typeof n === 'number' ? n : undefined).map(({ text, place }) => (
        <>
          {text}
          {place !== null && fill(place)}
        </>
      ))}
    </>
  );
}
