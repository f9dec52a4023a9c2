// `window.__tidegate`: what tests read of the page. It only tells what is drawn or shown, and changes nothing.

import { deviceFeed, fleet, link } from './app';

export interface Probe {
  /** `live`, `connecting`, `waiting` or `asleep`. */
  link(): string;
  /** Devices known to the overview. */
  devices(): number;
  /** Names of the series on the device page. */
  series(): string[];
  /** The points of one chart of the device page: starts in ms since 1970, samples per point, averages. */
  chart(series: string): { history: string; start: number[]; count: number[]; avg: number[] } | null;
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
    series: () => [...(deviceFeed.peek()?.traces.keys() ?? [])],
    chart: (series) => {
      const trace = deviceFeed.peek()?.traces.get(series);
      if (trace === undefined) return null;
      const { start, count, avg } = trace.joined;
      return { history: trace.history, start: [...start], count: [...count], avg: [...avg] };
    },
  };
}
