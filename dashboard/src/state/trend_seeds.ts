// Fills the sparklines of the rows in sight from history, a few at a time, so that a table just opened shows the
// last minutes and not a blank. Rows that are scrolled away before their turn are never asked for.

import { stir } from '../beat';
import * as api from '../link/api';
import type { Fleet, Row } from './fleet';
import { TREND_POINTS } from './trend';

const AT_ONCE = 3;
/** Rows that rush past while somebody scrolls are not worth a question. */
const SETTLE_MS = 150;

export class TrendSeeds {
  private wanted: Row[] = [];
  private running = 0;
  private timer = 0;

  constructor(
    private readonly fleet: Fleet,
    private readonly now: () => number | null,
  ) {}

  /** The rows in sight, replacing those of before. */
  want(rows: readonly Row[]): void {
    this.wanted = rows.filter((row) => !row.seeded && row.trendOf !== null);
    if (this.wanted.length === 0 || this.timer !== 0) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      for (let i = this.running; i < AT_ONCE; i++) void this.work();
    }, SETTLE_MS);
  }

  private async work(): Promise<void> {
    this.running += 1;
    for (let row = this.next(); row !== undefined; row = this.next()) await this.seed(row);
    this.running -= 1;
  }

  private next(): Row | undefined {
    for (;;) {
      const row = this.wanted.shift();
      if (row === undefined || !row.seeded) return row;
    }
  }

  private async seed(row: Row): Promise<void> {
    const series = row.trendOf;
    const cell = series === null ? undefined : row.cells.get(series);
    const now = this.now();
    if (cell === undefined || now === null) return;
    row.seeded = true;
    const width = this.fleet.window_ms;
    const from = Math.floor(now / width - TREND_POINTS) * width;
    const tags = tagsOf(cell.series);
    const question = { device: row.id, metric: cell.metric, tags, from, bucket_ms: width, after: null };
    try {
      const buckets = await api.buckets(question, AbortSignal.timeout(5000));
      if (row.trendOf !== series) return;
      buckets.time.forEach((start, i) => row.trend.seed(Math.floor(start / width), buckets.avg?.[i] ?? NaN));
      stir();
    } catch {
      // A sparkline without its past still draws what comes; it is not worth a message.
    }
  }
}

/** The tags back out of a series' name. */
function tagsOf(series: string): Record<string, string> {
  const inner = /\{(.*)\}$/.exec(series)?.[1];
  if (inner === undefined) return {};
  return Object.fromEntries(inner.split(',').map((pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string]));
}
