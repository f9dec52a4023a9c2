// Every word that the page says, looked up in one table: a key, and its text in each language.
//
// `{name}` is a place that the caller fills; a number in a place is written as a count. A text may have two forms,
// parted by `|`: the first is said when `n` is 1, the second for all others, which fits both languages.

import { count } from './format';
import { LANGUAGES, language } from './language';
import { words } from './words';

type Table = typeof words;
export type Key = keyof Table;
/** Names of the places in a text: `'{n} of {all}'` → `'n' | 'all'`. */
type PlacesOf<Text extends string> = Text extends `${string}{${infer Place}}${infer Rest}` ? Place | PlacesOf<Rest> : never;
type Places<K extends Key> = PlacesOf<Table[K][0]>;
/** Keys of texts without places, for lists of keys. */
export type PlainKey = { [K in Key]: [Places<K>] extends [never] ? K : never }[Key];
type Given<K extends Key> = [Places<K>] extends [never] ? [] : [places: Record<Places<K>, string | number>];

/** The text of a key in the page's language, with its places filled. */
export function say<K extends Key>(key: K, ...given: Given<K>): string {
  const places: Record<string, string | number> = given[0] ?? {};
  const fill = (whole: string, name: string): string => {
    const place = places[name];
    return place === undefined ? whole : typeof place === 'number' ? count(place) : place;
  };
  return form(key, places).replace(/\{(\w+)\}/g, fill);
}

/** A text cut at its places, for those that are filled with more than text: `told.tsx` puts it together again. */
export function pieces(key: Key, n?: number): { text: string; place: string | null }[] {
  const cut: { text: string; place: string | null }[] = [];
  for (const [, text, place] of form(key, n === undefined ? {} : { n }).matchAll(/([^{}]*)(?:\{(\w+)\}|$)/g)) {
    if (text !== '' || place !== undefined) cut.push({ text: text ?? '', place: place ?? null });
  }
  return cut;
}

/** True for what the tables have: for words that come from the daemon, which may be newer. */
export const isKey = (key: string): key is Key => Object.hasOwn(words, key);

function form(key: Key, places: Record<string, string | number>): string {
  const text: string = words[key][LANGUAGES.indexOf(language.value)]!;
  const parted = text.indexOf('|');
  if (parted < 0) return text;
  return places['n'] === 1 ? text.slice(0, parted) : text.slice(parted + 1);
}
