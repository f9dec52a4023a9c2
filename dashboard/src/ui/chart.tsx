// One chart: some lines, or a strip of states. Made when it comes on the screen, let go when it leaves; drawn again
// when its series or the span have changed by as much as a pixel. Here keys and pointer become what is shown.

import { useSignal, useSignalEffect } from '@preact/signals';
import { useEffect, useId, useLayoutEffect, useRef } from 'preact/hooks';
import { beat } from '../beat';
import { type Axes, axisOf } from '../state/axes';
import { pointAt } from '../state/pointed';
import { commonGaps, line, outerGaps, spaced, stretches, usualSpacing } from '../state/shape';
import { shared, type Span, uncovered } from '../state/span';
import type { Trace } from '../state/trace';
import { clock, span as spanText, value } from '../text/format';
import { say } from '../text/say';
import { theme } from '../theme';
import { backToLive, chartView, crosshair, drawAll, now, panBy, panFrom, said, zoomBy, zoomTo } from './charting';
import { type DrawnLine, type Gestures, type Ground, Plot, type Spec } from './plot';

/** A series with its place among the styles of its chart, which it keeps while others are hidden. */
export interface Placed {
  trace: Trace;
  slot: number;
}

interface ChartProps {
  name: string;
  placed: readonly Placed[];
  /** Null: a strip of states. */
  axes: Axes | null;
  span: Span;
  /** Width of points until history tells. */
  bucket_ms: number;
  /** Units are written over the axes. */
  units: boolean;
}

const GESTURES: Gestures = {
  point: (at) => (crosshair.value = at),
  drag: zoomTo,
  zoom: (factor, at) => zoomBy(factor, at, 'glide'),
  pan: panFrom,
  live: backToLive,
};

export function Chart({ name, placed, axes, span, bucket_ms, units }: ChartProps) {
  beat.value;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const drawn = useRef('');
  const near = useSignal(false);
  const hint = useId();
  const colours = theme.value;
  const shown = near.value || drawAll.value;
  const spec = specOf(placed, axes, units, chartView.value.compare !== null);
  const specKey = JSON.stringify(spec);

  useEffect(() => {
    const watch = new IntersectionObserver(([entry]) => (near.value = entry?.isIntersecting === true), {
      rootMargin: '200px',
    });
    watch.observe(box.current!);
    return () => watch.disconnect();
  }, []);

  useEffect(() => {
    for (const { trace } of placed) trace.seen = shown;
  });

  useLayoutEffect(() => {
    if (!shown) return undefined;
    const made = new Plot(box.current!, spec, colours, GESTURES);
    plot.current = made;
    drawn.current = '';
    return () => {
      plot.current = null;
      made.destroy();
    };
  }, [specKey, colours, shown]);

  useLayoutEffect(() => {
    if (plot.current === null) return;
    const pixel = (span[1] - span[0]) / Math.max(1, box.current!.clientWidth);
    const versions = placed.map(({ trace }) => trace.version).join();
    const state = `${versions} ${Math.round(span[1] / pixel)} ${Math.round(span[0] / pixel)}`;
    if (state !== drawn.current) {
      drawn.current = state;
      draw(plot.current, placed, axes, bucket_ms, span);
    }
    plot.current.point(crosshair.peek());
  });

  // The crosshair moves with the pointer; the chart itself is not drawn again for it.
  useSignalEffect(() => {
    const at = crosshair.value;
    plot.current?.point(at);
  });

  const keys = (event: KeyboardEvent): void => {
    if (!pressed(event, placed, span, bucket_ms)) return;
    event.preventDefault();
    plot.current?.point(crosshair.value, true);
  };
  const past = chartView.value.past !== null;
  const time = past
    ? say('charts.span', { from: clock(span[0], now()), to: clock(span[1], now()) })
    : say('charts.last', { span: spanText((span[1] - span[0]) / 1000) });
  return (
    <>
      <div
        ref={box}
        class="chart"
        tabIndex={0}
        role="img"
        aria-label={say('charts.chart', { name, span: time })}
        aria-describedby={hint}
        onKeyDown={keys}
        onBlur={() => (crosshair.value = null)}
        onMouseLeave={() => (crosshair.value = null)}
      />
      <span id={hint} class="unseen">
        {say('charts.keys')}
      </span>
    </>
  );
}

function specOf(placed: readonly Placed[], axes: Axes | null, units: boolean, ghosts: boolean): Spec {
  if (axes === null) return { kind: 'text', styles: [], ghosts: false, units: [null], whole: [false] };
  const styles = placed.map(({ trace, slot }) => ({
    slot,
    axis: axisOf(axes, trace.unit) ?? 0,
    bool: trace.kind === 'bool',
  }));
  const whole = axes.units.map((_, axis) =>
    placed.every(({ trace }) => axisOf(axes, trace.unit) !== axis || trace.precision.whole),
  );
  return { kind: 'lines', styles, ghosts, units: axes.units.map((unit) => (units ? unit : null)), whole };
}

function draw(plot: Plot, placed: readonly Placed[], axes: Axes | null, bucket_ms: number, span: Span): void {
  const first = placed[0]?.trace;
  const unknown = first === undefined ? [] : unknownOf(first, span);
  if (axes === null) {
    if (first === undefined) return;
    const bucket = first.bucket_ms || bucket_ms;
    plot.drawStretches(stretches(first.joined, bucket), { gaps: edgesOf(first, bucket, span), unknown }, span);
    return;
  }
  const gaps: Span[][] = [];
  const lines = placed.map(({ trace }): DrawnLine => {
    const bucket = trace.bucket_ms || bucket_ms;
    const made = line(trace.joined, bucket, trace.kind === 'bool' ? 'last' : 'avg');
    gaps.push([...made.gaps, ...edgesOf(trace, bucket, span)]);
    return { data: made.data, ghost: trace.ghost === null ? null : spaced(trace.ghost) };
  });
  const ground: Ground = { gaps: commonGaps(gaps), unknown };
  plot.drawLines(lines, ground, span);
}

/** Before history has come nobody knows whether there is a gap, and outside of what was asked for neither. */
function edgesOf(trace: Trace, bucket_ms: number, span: Span): Span[] {
  const known = trace.history === 'joined' && trace.loaded !== null ? shared(span, trace.loaded) : null;
  return known === null ? [] : outerGaps(trace.joined.start, bucket_ms, known);
}

function unknownOf(trace: Trace, span: Span): Span[] {
  if (trace.history === 'failed') return [];
  return uncovered(span, trace.history === 'joined' ? trace.loaded : null);
}

/** True: the key meant something here. */
function pressed(event: KeyboardEvent, placed: readonly Placed[], span: Span, bucket_ms: number): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const at = crosshair.value;
  switch (event.key) {
    case '+':
    case '=':
      zoomBy(0.5, at, 'step');
      return true;
    case '-':
      zoomBy(2, at, 'step');
      return true;
    case 'Escape':
      backToLive();
      return true;
    case 'ArrowLeft':
    case 'ArrowRight': {
      const way = event.key === 'ArrowLeft' ? -1 : 1;
      if (event.shiftKey) panBy(way / 4);
      else walk(way, placed, span, bucket_ms);
      return true;
    }
    case 'PageUp':
    case 'PageDown':
      walk(event.key === 'PageUp' ? -10 : 10, placed, span, bucket_ms);
      return true;
    case 'Home':
    case 'End':
      pointTo(event.key === 'Home' ? span[0] : span[1], placed, bucket_ms);
      return true;
    default:
      return false;
  }
}

/** From point to point; what would leave the chart takes it along. */
function walk(steps: number, placed: readonly Placed[], span: Span, bucket_ms: number): void {
  const trace = placed[0]?.trace;
  if (trace === undefined) return;
  const spacing = usualSpacing(trace.joined.start, trace.bucket_ms || bucket_ms);
  const newest = trace.joined.start[trace.joined.find(span[1]) - 1];
  const from = crosshair.value ?? newest ?? span[1];
  const to = from + steps * spacing;
  if (to < span[0] || (to > span[1] && chartView.peek().past !== null)) panBy(Math.sign(steps) / 4);
  pointTo(Math.min(Math.max(to, 0), now()), placed, bucket_ms);
}

function pointTo(at: number, placed: readonly Placed[], bucket_ms: number): void {
  crosshair.value = at;
  const values = placed.map(({ trace }) => {
    const bucket = trace.bucket_ms || bucket_ms;
    const i = pointAt(trace.joined, at, bucket, trace.kind !== 'number');
    const it = i === null ? say('charts.no_data') : value(shownAt(trace, i), trace.precision.averaged);
    return `${trace.name} ${it} ${i === null ? '' : (trace.unit ?? '')}`.trim();
  });
  said.value = `${clock(at, now())}: ${values.join(', ')}`;
}

/** What a point is told as: the average of numbers, the last of everything else. */
export function shownAt(trace: Trace, i: number): number | boolean | string | null {
  return trace.kind === 'number' ? trace.joined.avg[i]! : trace.joined.last[i]!;
}

/** Read out politely; drawn nowhere. */
export function Said() {
  return (
    <p class="unseen" role="status">
      {said.value}
    </p>
  );
}

