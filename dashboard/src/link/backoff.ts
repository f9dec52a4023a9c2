// How long to wait before the next attempt to reach the daemon. Pure.

const FIRST_MS = 400;
const LONGEST_MS = 5000;

/**
 * Doubles with each attempt, up to five seconds; the half of it is chance, so that a wall of screens does not
 * knock all at once at a daemon that has just come back. `chance` is between 0 and 1.
 */
export function backoff(attempt: number, chance: number): number {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return whole / 2 + (whole / 2) * chance;
}
