// The language of the page: chosen in the settings and kept by the browser, else the browser's own.

import { signal } from '@preact/signals';

export type Language = 'en' | 'pt';
/** In the order in which the tables of words have them. */
export const LANGUAGES: readonly Language[] = ['en', 'pt'];
/** Each in its own words, for the settings. */
export const LANGUAGE_NAMES: Record<Language, string> = { en: 'English', pt: 'Português' };
const TAGS: Record<Language, string> = { en: 'en', pt: 'pt-PT' };
const KEPT_AS = 'tidegate.language';

/** What the browser prefers, as far as we speak it. Pure. */
export function languageFor(kept: string | null, preferred: readonly string[]): Language {
  const known = (tag: string | null): Language | undefined =>
    LANGUAGES.find((language) => tag?.toLowerCase().split('-')[0] === language);
  const first = preferred.map(known).find((language) => language !== undefined);
  return known(kept) ?? first ?? 'en';
}

/** Reading it in a component draws that anew when the language changes. */
export const language = signal<Language>(languageFor(kept(), preferred()));

/** Null goes back to the browser's own. */
export function chooseLanguage(wanted: Language | null): void {
  try {
    if (wanted === null) localStorage.removeItem(KEPT_AS);
    else localStorage.setItem(KEPT_AS, wanted);
  } catch {
    // A browser that keeps nothing still shows the language until the page is closed.
  }
  language.value = wanted ?? languageFor(null, preferred());
}

/** True if somebody chose it here. */
export const languageIsChosen = (): boolean => kept() !== null;

/** For `lang` in HTML and for `Intl`. */
export const languageTag = (): string => TAGS[language.value];

function kept(): string | null {
  try {
    return localStorage.getItem(KEPT_AS);
  } catch {
    return null;
  }
}

function preferred(): readonly string[] {
  return typeof document === 'undefined' ? [] : navigator.languages;
}
