// How many decimals a series is shown with: as many as its values come with, but no more than mean something at
// its greatest magnitude. Both only grow, so a live value keeps its width and does not flicker around zero.

const DIGITS_MAX = 4;

export class Precision {
  private greatest = 0;
  private digits = 0;

  learn(value: unknown): void {
    if (typeof value !== 'number' || !Number.isFinite(value)) return;
    const size = Math.abs(value);
    if (size > this.greatest) this.greatest = size;
    if (this.digits < DIGITS_MAX && !Number.isInteger(value)) this.digits = Math.max(this.digits, digitsOf(value));
  }

  /** True while only whole numbers came. */
  get whole(): boolean {
    return this.digits === 0;
  }

  /** For values of the series itself. */
  get shown(): number {
    return Math.min(this.digits, digitsFor(this.greatest));
  }

  /** For averages, which fall between the values. */
  get averaged(): number {
    return Math.min(this.digits + 1, digitsFor(this.greatest));
  }
}

/** Decimals that mean something at a magnitude: about four significant places. */
export function digitsFor(size: number): number {
  if (size >= 100_000) return 0;
  if (size >= 100) return 1;
  if (size >= 2 || size === 0) return 2;
  return size >= 0.05 ? 3 : DIGITS_MAX;
}

/** Decimals that a number is written with, as far as they mean something. */
export function digitsOf(value: number): number {
  const text = String(value);
  const point = text.indexOf('.');
  if (Number.isInteger(value)) return 0;
  return point < 0 || text.includes('e') ? DIGITS_MAX : Math.min(DIGITS_MAX, text.length - point - 1);
}
