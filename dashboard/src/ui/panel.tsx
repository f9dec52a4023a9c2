// One series of a device page: its name, its value now, and its chart; with the crosshair out, what it points at.

import type { ComponentChildren } from 'preact';
import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { beat } from '../beat';
import type { Range } from '../state/range';
import { extent, GAP_SPACINGS, line, outerGaps, type Stretch, stretches, usualSpacing } from '../state/shape';
import { shares } from '../state/states';
import type { Trace } from '../state/trace';
import { clock, count, number, percent, span as spanText, UNKNOWN, value } from '../text/format';
import { theme } from '../theme';
import { Quantity } from './instruments';
import { crosshair, Plot, zoom } from './plot';

interface PanelProps {
  trace: Trace;
  range: Range;
  now: number;
  retry: () => void;
}

export function Panel({ trace, range, now, retry }: PanelProps) {
  beat.value;
  const wide = useSignal(false);
  const span: [number, number] = zoom.value ?? [now - range.span_ms, now];
  const spacing = usualSpacing(trace.joined.start, range.bucket_ms);
  const old = trace.valueStart !== null && now - trace.valueStart > GAP_SPACINGS * spacing + range.bucket_ms;
  const age = trace.valueStart === null ? null : (now - trace.valueStart) / 1000;
  return (
    <section class={`panel ${trace.kind} ${old ? 'old' : ''} ${wide.value ? 'wide' : ''}`} aria-label={trace.name}>
      <header>
        <h2 title={trace.name}>
          {trace.metric}
          {Object.entries(trace.tags).map(([key, text]) => (
            <span key={key} class="tag">
              {key}={text}
            </span>
          ))}
        </h2>
        <button
          type="button"
          class="widen"
          aria-pressed={wide.value}
          aria-label={`Enlarge ${trace.name}`}
          title={wide.value ? 'Back to its place' : 'Enlarge'}
          onClick={() => (wide.value = !wide.value)}
        >
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M10 2h4v4M6 14H2v-4M14 2 9.5 6.5M2 14l4.5-4.5" />
          </svg>
        </button>
        <p class="now" title={trace.unit === null ? 'no unit is told' : `in ${trace.unit}`}>
          <Quantity it={trace.value} unit={trace.unit} digits={trace.precision.shown} />
        </p>
      </header>
      <p class="reading">
        {old && crosshair.value === null ? (
          <span class="aged">last value {spanText(age)} ago</span>
        ) : (
          <Caption trace={trace} range={range} span={span} now={now} />
        )}
      </p>
      <Chart trace={trace} range={range} span={span} spacing={spacing} />
      {trace.history === 'loading' && trace.joined.start.length < 2 && <Over>loading the past…</Over>}
      {trace.history === 'joined' && trace.joined.start.length === 0 && <Over>nothing in the last {range.label}</Over>}
      {trace.history === 'failed' && (
        <Over>
          the past is not available: {trace.failure}{' '}
          <button type="button" onClick={retry}>
            Try again
          </button>
        </Over>
      )}
    </section>
  );
}

function Over({ children }: { children: ComponentChildren }) {
  return <p class="over">{children}</p>;
}

interface ChartProps {
  trace: Trace;
  range: Range;
  span: [number, number];
}

/** What the crosshair points at; without it, what the span amounts to. */
function Caption({ trace, range, span, now }: ChartProps & { now: number }) {
  const at = crosshair.value;
  if (at !== null && at >= span[0] && at <= span[1]) return <Pointed trace={trace} range={range} at={at} now={now} />;
  if (trace.kind === 'text') {
    const parts = shares(stretches(trace.joined, range.bucket_ms), ...span).slice(0, 4);
    return <>{parts.map(({ text, share }) => `${text} ${percent(share)}`).join(' · ')}</>;
  }
  const sum = extent(trace.joined, ...span);
  if (sum === null) return <>{UNKNOWN}</>;
  if (trace.kind === 'bool') return <>true for {percent(sum.avg)} of the samples</>;
  const unit = trace.unit ?? '';
  const { shown, averaged } = trace.precision;
  return (
    <>
      min <b>{number(sum.min, shown)}</b> · avg <b>{number(sum.avg, averaged)}</b> · max{' '}
      <b>{number(sum.max, shown)}</b> {unit}
    </>
  );
}

function Pointed({ trace, range, at, now }: { trace: Trace; range: Range; at: number; now: number }) {
  const i = nearest(trace, at, range.bucket_ms);
  if (i === null) {
    return (
      <>
        <b>{clock(at, now)}</b> no data
      </>
    );
  }
  const { joined, unit } = trace;
  const { shown, averaged } = trace.precision;
  const time = clock(joined.start[i]!, now);
  if (trace.kind !== 'number') {
    return (
      <>
        {time} <b>{value(joined.last[i])}</b>
      </>
    );
  }
  const many = joined.count[i]! > 1;
  return (
    <>
      {time} <b>{number(joined.avg[i], many ? averaged : shown)}</b> {unit}
      {many && ` · ${number(joined.min[i], shown)} to ${number(joined.max[i], shown)} · ${count(joined.count[i])} samples`}
    </>
  );
}

/** The point whose window holds `at`, or the nearest within reach of a line. */
function nearest(trace: Trace, at: number, bucket_ms: number): number | null {
  const { start } = trace.joined;
  const after = trace.joined.find(at);
  const before = after - 1;
  const reach = GAP_SPACINGS * usualSpacing(start, bucket_ms);
  const near = [before, after].filter((i) => start[i] !== undefined && Math.abs(start[i]! - at) <= reach);
  if (near.length === 0) return null;
  if (trace.kind !== 'number' && near[0] === before) return before;
  return near.reduce((a, b) => (Math.abs(start[a]! - at) <= Math.abs(start[b]! - at) ? a : b));
}

function Chart({ trace, range, span, spacing }: ChartProps & { spacing: number }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const drawn = useRef('');
  const visible = useSignal(false);
  const colours = theme.value;
  const { kind } = trace;
  const { whole } = trace.precision;

  useEffect(() => {
    const watch = new IntersectionObserver(([entry]) => (visible.value = entry?.isIntersecting === true), {
      rootMargin: '200px',
    });
    watch.observe(box.current!);
    return () => watch.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (!visible.value) return undefined;
    const made = new Plot(box.current!, kind, colours, whole);
    plot.current = made;
    drawn.current = '';
    return () => {
      plot.current = null;
      made.destroy();
    };
  }, [kind, whole, colours, visible.value]);

  useLayoutEffect(() => {
    if (plot.current === null) return;
    const pixel = (span[1] - span[0]) / Math.max(1, box.current!.clientWidth);
    const state = `${trace.version} ${Math.round(span[1] / pixel)} ${Math.round(span[0] / pixel)}`;
    if (state !== drawn.current) {
      drawn.current = state;
      draw(plot.current, trace, range, span);
    }
    plot.current.point(crosshair.value);
  });

  const step = (event: KeyboardEvent): void => moveCrosshair(event, trace, span, spacing);
  return (
    <div
      ref={box}
      class="chart"
      tabIndex={0}
      role="img"
      aria-label={`Chart of ${trace.name}, ${range.label}; now ${value(trace.value, trace.precision.shown)} ${trace.unit ?? ''}`}
      onKeyDown={step}
      onBlur={() => (crosshair.value = null)}
      onMouseLeave={() => (crosshair.value = null)}
    />
  );
}

function draw(plot: Plot, trace: Trace, range: Range, span: [number, number]): void {
  const bucket = range.bucket_ms;
  // Before history has come, nobody knows whether there is a gap.
  const edges = trace.history === 'joined' ? outerGaps(trace.joined.start, bucket, span) : [];
  if (trace.kind === 'text') {
    const made: Stretch[] = stretches(trace.joined, bucket);
    plot.drawStretches(made, edges, span);
  } else {
    const made = line(trace.joined, bucket, trace.kind === 'bool' ? 'last' : 'avg');
    plot.drawLine({ ...made, gaps: [...made.gaps, ...edges] }, span);
  }
}

/** Arrow keys walk from point to point, ten at a time with shift; Escape puts the crosshair away. */
function moveCrosshair(event: KeyboardEvent, trace: Trace, span: [number, number], spacing: number): void {
  const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === 'Escape') {
    crosshair.value = null;
    zoom.value = null;
  } else if (way !== undefined) {
    const { start } = trace.joined;
    const from = crosshair.value ?? start[start.length - 1] ?? span[1];
    const to = from + way * spacing * (event.shiftKey ? 10 : 1);
    crosshair.value = Math.min(span[1], Math.max(span[0], to));
  } else return;
  event.preventDefault();
}
