// The name under which somebody acts here: the one that the daemon knows them by; of somebody whom it does not ask, what
// they typed once, which is kept by the browser and believed by the daemon.

import { signal } from '@preact/signals';
import { known } from './standing';

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
export const actor = (): string => known()?.name ?? (myName.value.trim() || 'operator');

function kept(): string {
  try {
    return localStorage.getItem(KEPT_AS) ?? '';
  } catch {
    return '';
  }
}
