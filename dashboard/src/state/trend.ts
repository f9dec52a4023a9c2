// The last sixty windows of one series, for a sparkline. Slots lie on the grid of windows, so that a window
// without samples is an empty slot: a gap stays a gap without anybody looking for it.

export const TREND_POINTS = 60;

export class Trend {
  /** Averages, oldest first from `slot(head + 1)`; NaN where there was nothing. */
  readonly values = new Float32Array(TREND_POINTS).fill(NaN);
  /** The newest window's number on the grid (start / width); -1 while empty. */
  head = -1;
  /** Grows with each change, so that a canvas knows whether to draw again. */
  version = 0;

  clear(): void {
    this.values.fill(NaN);
    this.head = -1;
    this.version += 1;
  }

  /** Sets one window; a window already there is replaced, one that is too old is let go. */
  set(window: number, value: number): void {
    if (this.head >= 0 && window <= this.head - TREND_POINTS) return;
    this.advance(window);
    this.values[window % TREND_POINTS] = value;
    this.version += 1;
  }

  /** Fills from history what live has not told: live knows the whole of each window it names. */
  seed(window: number, value: number): void {
    if (this.head >= 0 && window <= this.head - TREND_POINTS) return;
    this.advance(window);
    const slot = window % TREND_POINTS;
    if (Number.isNaN(this.values[slot])) this.values[slot] = value;
    this.version += 1;
  }

  /** The value `age` windows before `newest`, NaN if there is none. */
  at(newest: number, age: number): number {
    const window = newest - age;
    if (window > this.head || window <= this.head - TREND_POINTS || window < 0) return NaN;
    return this.values[window % TREND_POINTS]!;
  }

  private advance(window: number): void {
    if (this.head < 0 || window - this.head >= TREND_POINTS) {
      this.values.fill(NaN);
      this.head = window;
    }
    while (this.head < window) {
      this.head += 1;
      this.values[this.head % TREND_POINTS] = NaN;
    }
  }
}
