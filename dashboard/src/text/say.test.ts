import { afterEach, describe, expect, it } from 'vitest';
import { LANGUAGES, language, languageFor } from './language';
import { isKey, pieces, say } from './say';
import { tables, words } from './words';

const table = Object.entries(words as Record<string, readonly string[]>);
const places = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!);
const set = (text: string): string[] => [...new Set(places(text))].sort();

afterEach(() => {
  language.value = 'en';
});

describe('the tables of words', () => {
  it('have every text in every language', () => {
    const lacking = table.filter(([, texts]) => texts.length !== LANGUAGES.length || texts.some((text) => text.trim() === ''));
    expect(lacking.map(([key]) => key)).toEqual([]);
  });

  it('have the same places in every language and form', () => {
    const differing = table.filter(([, texts]) => {
      const forms = texts.flatMap((text) => text.split('|'));
      // The form for one may leave the number out: "the only device".
      const asked = texts.map((text) => set(text).join());
      const rest = forms.map((form) => set(form).filter((place) => place !== 'n').join());
      return new Set(asked).size !== 1 || new Set(rest).size !== 1;
    });
    expect(differing.map(([key]) => key)).toEqual([]);
  });

  it('have two forms only where a number decides between them', () => {
    const odd = table.filter(([, texts]) =>
      texts.some((text) => {
        const forms = text.split('|').length;
        return forms > 2 || (forms === 2 && !places(text).includes('n'));
      }),
    );
    expect(odd.map(([key]) => key)).toEqual([]);
  });

  it('have whole places only', () => {
    const torn = table.filter(([, texts]) => texts.some((text) => /[{}]/.test(text.replace(/\{\w+\}/g, ''))));
    expect(torn.map(([key]) => key)).toEqual([]);
  });

  it('name each key after its table', () => {
    const strays = Object.entries(tables).flatMap(([name, table]) =>
      Object.keys(table).filter((key) => !new RegExp(`^${name}\\.[a-z0-9_.-]+$`).test(key)),
    );
    expect(strays).toEqual([]);
    expect(table.length).toBe(Object.values(tables).reduce((sum, one) => sum + Object.keys(one).length, 0));
  });
});

describe('say', () => {
  it('fills places, counts numbers and chooses the form', () => {
    expect(say('common.devices', { n: 1 })).toBe('1 device');
    expect(say('common.devices', { n: 1600 })).toBe('1,600 devices');
    expect(say('page.title', { name: 'Fleet' })).toBe('Fleet – Tidegate');
    language.value = 'pt';
    expect(say('common.devices', { n: 0 })).toBe('0 dispositivos');
    expect(say('common.cancel')).toBe('Cancelar');
  });

  it('leaves what looks like a place in a filled text alone', () => {
    expect(say('page.title', { name: '{type}' })).toBe('{type} – Tidegate');
  });

  it('cuts a text at its places', () => {
    expect(pieces('page.older_why')).toEqual([
      { text: 'The daemon sent “', place: 'type' },
      { text: '”, which this page does not know.', place: null },
    ]);
    expect(pieces('common.devices', 1)).toEqual([
      { text: '', place: 'n' },
      { text: ' device', place: null },
    ]);
  });

  it('knows which keys there are', () => {
    expect(isKey('common.save')).toBe(true);
    expect(isKey('toString')).toBe(false);
  });
});

it('speaks what was chosen, else what the browser prefers, else English', () => {
  expect(languageFor('pt', ['en-GB'])).toBe('pt');
  expect(languageFor(null, ['fr-FR', 'pt-BR', 'en'])).toBe('pt');
  expect(languageFor('xx', ['en-US'])).toBe('en');
  expect(languageFor(null, ['fr'])).toBe('en');
  expect(languageFor(null, [])).toBe('en');
});
