// Where the way back from a device page leads: to the fleet as it was last narrowed down and sorted.

import { effect } from '@preact/signals';
import { route } from '../app';
import { DEFAULT_VIEW, fleetHash } from '../route';

let last = fleetHash(DEFAULT_VIEW);

effect(() => {
  const to = route.value;
  if (to.page === 'fleet') last = fleetHash(to.view);
});

export const lastFleetHash = (): string => last;
