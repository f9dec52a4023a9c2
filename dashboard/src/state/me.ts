// The name under which somebody acts here: typed once, kept by the browser. The daemon believes it.

import { signal } from '@preact/signals';

const KEPT_AS = 'tidegate.name';
/** The daemon's limit, in bytes; names are cut by characters, which are no more than bytes. */
export const NAME_MAX = 60;

export const myName = signal(kept());

export function rename(name: string): void {
  myName.value = name;
  try {
    localStorage.setItem(KEPT_AS, name);
  } catch {
    // A browser that keeps nothing asks again the next time.
  }
}

/** As it is sent: nobody is "operator". */
export const actor = (): string => myName.value.trim() || 'operator';

function kept(): string {
  try {
    return localStorage.getItem(KEPT_AS) ?? '';
  } catch {
    return '';
  }
}
