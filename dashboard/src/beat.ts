// One repaint per animation frame, however many messages came. State changes call `stir`; what draws reads
// `beat.value`, and so draws again when the next frame is due. A hidden tab gets no animation frames, so it
// draws nothing. A component that reads a signal is skipped unless one of its signals or props changed, so what
// draws state that is changed in place must read the beat itself.

import { signal } from '@preact/signals';

export const beat = signal(0);

let due = false;

export function stir(): void {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    beat.value += 1;
  });
}

/** Ages grow without any message. */
const TICK_MS = 500;

export function startTicking(): void {
  window.setInterval(() => {
    if (!document.hidden) stir();
  }, TICK_MS);
}
