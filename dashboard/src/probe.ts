// `window.__tidegate`: what tests read of the page. It only tells what is drawn or shown, and changes nothing.

import { boardFeeds, deviceFeed, fleet, link } from './app';
import type { Trace } from './state/trace';
import { chartView, crosshair, spanNow } from './ui/charting';

export interface Probe {
  /** `live`, `connecting`, `waiting` or `asleep`. */
  link(): string;
  /** Devices known to the overview. */
  devices(): number;
  /** Names of the series on the device page. */
  series(): string[];
  /** The points of one series of the page: starts in ms since 1970, samples per point, averages and extremes. */
  chart(series: string): ProbedChart | null;
  /** The span that the charts show, and where the crosshair is. */
  time(): { span: readonly [number, number]; past: boolean; crosshair: number | null };
}

export interface ProbedChart {
  history: string;
  bucket_ms: number;
  start: number[];
  count: number[];
  avg: number[];
  min: number[];
  max: number[];
  ghost: number[] | null;
}

/** The series of all charts that are shown. */
function traces(): Trace[] {
  return [deviceFeed.peek(), ...boardFeeds.peek()].flatMap((feed) => (feed === null ? [] : feed.ordered()));
}

declare global {
  interface Window {
    __tidegate?: Probe;
  }
}

export function exposeProbe(): void {
  window.__tidegate = {
    link: () => link.state.peek().kind,
    devices: () => fleet.rows.size,
    series: () => traces().map((trace) => trace.name),
    chart: (series) => {
      const trace = traces().find((one) => one.name === series || one.key === series);
      if (trace === undefined) return null;
      const { start, count, avg, min, max } = trace.joined;
      const { history, bucket_ms, ghost } = trace;
      return {
        history,
        bucket_ms,
        start: [...start],
        count: [...count],
        avg: [...avg],
        min: [...min],
        max: [...max],
        ghost: ghost === null ? null : [...ghost.start],
      };
    },
    time: () => ({ span: spanNow(), past: chartView.peek().past !== null, crosshair: crosshair.peek() }),
  };
}
