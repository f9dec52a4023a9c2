// Light or dark: chosen in the settings and kept by the browser, else as the system has it.

import { signal } from '@preact/signals';

export type ThemeChoice = 'system' | 'light' | 'dark';
export const THEME_CHOICES: readonly ThemeChoice[] = ['system', 'light', 'dark'];
const KEPT_AS = 'tidegate.theme';

export const themeChoice = signal<ThemeChoice>(kept());

export function chooseTheme(wanted: ThemeChoice): void {
  try {
    if (wanted === 'system') localStorage.removeItem(KEPT_AS);
    else localStorage.setItem(KEPT_AS, wanted);
  } catch {
    // A browser that keeps nothing still shows it until the page is closed.
  }
  themeChoice.value = wanted;
  wear();
}

/** The style sheet looks at `data-theme` of the document. */
export function wear(): void {
  if (themeChoice.peek() === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = themeChoice.peek();
}

function kept(): ThemeChoice {
  try {
    const text = localStorage.getItem(KEPT_AS);
    return THEME_CHOICES.find((choice) => choice === text) ?? 'system';
  } catch {
    return 'system';
  }
}
