// The colours that canvases need, read from the style sheet, so that they are written once. Changes with the
// system's preference, and with what is chosen in the settings.

import { signal } from '@preact/signals';

export interface Theme {
  ink: string;
  muted: string;
  line: string;
  panel: string;
  tide: string;
  band: string;
  gap: string;
  /** Fills for states told in words; the words stand beside or in them. */
  states: string[];
  alarm: string;
  /** Lines of one chart, as #rrggbb: charts add how much shines through. */
  series: string[];
  font: string;
}

function read(): Theme {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: colour('ink'),
    muted: colour('muted'),
    line: colour('grid'),
    panel: colour('panel'),
    tide: colour('tide'),
    band: colour('band'),
    gap: colour('gap'),
    states: [1, 2, 3, 4, 5, 6].map((n) => colour(`state-${n}`)),
    alarm: colour('state-alarm'),
    series: [1, 2, 3, 4, 5, 6, 7, 8].map((n) => colour(`series-${n}`)),
    font: style.fontFamily,
  };
}

export const theme = signal<Theme>(read());

/** Style sheets may come after the script when the page is being developed, so it is read again once all is there. */
export function watchTheme(): void {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', rereadTheme);
  addEventListener('load', rereadTheme);
  rereadTheme();
}

/** What the document wears has changed. */
export function rereadTheme(): void {
  theme.value = read();
}
