// Some series in one panel: their names and values, and the chart; with the crosshair out, what it points at. While
// the past is shown the values are those at its end: nothing moves.

import type { ComponentChildren } from 'preact';
import { useSignal } from '@preact/signals';
import { beat } from '../beat';
import { type Axes, axesFor, axisOf } from '../state/axes';
import { lastWithin, pointAt } from '../state/pointed';
import { extent, GAP_SPACINGS, stretches, usualSpacing } from '../state/shape';
import type { Span } from '../state/span';
import { shares } from '../state/states';
import type { Trace } from '../state/trace';
import { clock, number, percent, span as spanText, UNKNOWN, value } from '../text/format';
import { say } from '../text/say';
import { Chart, type Placed, shownAt } from './chart';
import { chartView, crosshair, showOnly, toggle } from './charting';
import { Quantity } from './instruments';
import { DASHES } from './plot';

export interface PanelProps {
  /** Empty: by its series. */
  title: string;
  traces: readonly Trace[];
  /** Series that nobody has heard of. */
  missing?: readonly string[];
  /** Several devices share the page: each series says whose it is. */
  devices?: boolean;
  span: Span;
  bucket_ms: number;
  now: number;
  retry: () => void;
  /** Beside the title. */
  tools?: ComponentChildren;
}

interface At {
  span: Span;
  bucket_ms: number;
  now: number;
}

export function Panel(props: PanelProps) {
  beat.value;
  const { traces, devices = false, title, span, bucket_ms, now, missing = [] } = props;
  const name = title !== '' ? title : [...traces.map((trace) => nameOf(trace, devices)), ...missing].join(', ');
  const lines = traces.filter((trace) => trace.kind !== 'text');
  const texts = traces.filter((trace) => trace.kind === 'text');
  const axes = axesFor(lines.map((trace) => trace.unit));
  const at: At = { span, bucket_ms, now };
  const only = traces.length === 1 ? traces[0]! : null;
  const states = traces.length > 0 && lines.every((trace) => trace.kind === 'bool');
  return (
    <section class={`panel ${states ? 'state' : 'number'}`} aria-label={name}>
      <header>
        <h2 title={name} data-ink>
          {title !== '' ? title : only !== null ? <Name trace={only} devices={devices} /> : name}
        </h2>
        {props.tools}
        {only !== null ? <Now trace={only} at={at} /> : <PointedAt lines={lines} at={at} />}
      </header>
      {only !== null ? <Reading trace={only} at={at} /> : <Keys lines={lines} devices={devices} axes={axes} at={at} />}
      {lines.length > 0 && <Lines name={name} lines={lines} axes={axes} only={only !== null} at={at} retry={props.retry} />}
      {texts.map((trace) => (
        <div key={trace.key} class="strip-of-states">
          {only === null && (
            <p class="reading" data-ink>
              <Name trace={trace} devices={devices} /> <Caption trace={trace} at={at} />
            </p>
          )}
          <Chart name={trace.name} placed={[{ trace, slot: 0 }]} axes={null} span={span} bucket_ms={bucket_ms} units={false} />
          <Over trace={trace} span={span} retry={props.retry} />
        </div>
      ))}
      {axes.over.length > 0 && <p class="notice">{say('charts.no_axis', { series: without(lines, axes, devices) })}</p>}
      {missing.length > 0 && <p class="notice">{say('charts.no_series', { series: missing.join(', ') })}</p>}
    </section>
  );
}

const nameOf = (trace: Trace, devices: boolean): string => (devices ? `${trace.device} ${trace.name}` : trace.name);

const without = (lines: readonly Trace[], axes: Axes, devices: boolean): string =>
  lines
    .filter((trace) => axisOf(axes, trace.unit) === null)
    .map((trace) => `${nameOf(trace, devices)} (${trace.unit ?? say('charts.no_unit_short')})`)
    .join(', ');

export function Name({ trace, devices }: { trace: Trace; devices: boolean }) {
  return (
    <>
      {devices && <span class="whose">{trace.device} </span>}
      {trace.metric}
      {Object.entries(trace.tags).map(([key, text]) => (
        <span key={key} class="tag">
          {key}={text}
        </span>
      ))}
    </>
  );
}

interface LinesProps {
  name: string;
  lines: readonly Trace[];
  axes: Axes;
  only: boolean;
  at: At;
  retry: () => void;
}

function Lines({ name, lines, axes, only, at, retry }: LinesProps) {
  const { hidden } = chartView.value;
  const placed: Placed[] = lines
    .map((trace, slot) => ({ trace, slot }))
    .filter(({ trace }) => axisOf(axes, trace.unit) !== null && (only || !hidden.includes(trace.key)));
  const shown = axesFor(placed.map(({ trace }) => trace.unit));
  const first = placed[0]?.trace;
  return (
    <div class="plotted">
      <Chart name={name} placed={placed} axes={shown} span={at.span} bucket_ms={at.bucket_ms} units={!only} />
      {first === undefined ? <p class="over">{say('charts.all_hidden')}</p> : <Over trace={first} span={at.span} retry={retry} />}
    </div>
  );
}

/** What is to be said over an empty chart. */
function Over({ trace, span, retry }: { trace: Trace; span: Span; retry: () => void }) {
  if (trace.history === 'failed') {
    return (
      <p class="over">
        {say('charts.not_there', { why: trace.failure })}{' '}
        <button type="button" onClick={retry}>
          {say('common.retry')}
        </button>
      </p>
    );
  }
  const inside = trace.joined.find(span[1]) - trace.joined.find(span[0]);
  const loaded = trace.history === 'joined' && trace.loaded !== null;
  const known = loaded && trace.loaded![0] <= span[0] && trace.loaded![1] >= span[1] - 2 * trace.bucket_ms;
  if (inside > 1 || (inside === 1 && known)) return null;
  return <p class="over">{known ? say('charts.nothing') : say('charts.loading')}</p>;
}

/** The value now; of the past, the one at its end. */
function valueOf(trace: Trace, { span }: At): { it: number | boolean | string | null; digits: number } {
  if (chartView.value.past === null) return { it: trace.value, digits: trace.precision.shown };
  const i = lastWithin(trace.joined, span);
  return { it: i === null ? null : trace.joined.last[i]!, digits: trace.precision.shown };
}

const unitTitle = (unit: string | null): string => (unit === null ? say('charts.no_unit') : say('charts.in_unit', { unit }));

function Now({ trace, at }: { trace: Trace; at: At }) {
  const { it, digits } = valueOf(trace, at);
  return (
    <p class={`now ${ageOf(trace, at) === null ? '' : 'old'}`} title={unitTitle(trace.unit)} data-ink>
      <Quantity it={it} unit={trace.unit} digits={digits} />
    </p>
  );
}

/** In seconds, if the live value is older than is usual; null: it is not, or the past is shown. */
function ageOf(trace: Trace, { bucket_ms, now }: At): number | null {
  if (chartView.value.past !== null || trace.valueStart === null) return null;
  const spacing = usualSpacing(trace.joined.start, trace.bucket_ms || bucket_ms);
  const old = now - trace.valueStart > GAP_SPACINGS * spacing + bucket_ms;
  return old ? (now - trace.valueStart) / 1000 : null;
}

/** The line under the name of an only series. */
function Reading({ trace, at }: { trace: Trace; at: At }) {
  const age = ageOf(trace, at);
  return (
    <p class="reading" data-ink>
      {age !== null && crosshair.value === null ? (
        <span class="aged">{say('charts.old', { span: spanText(age) })}</span>
      ) : (
        <Caption trace={trace} at={at} />
      )}
      <Compared traces={[trace]} first={false} />
    </p>
  );
}

function Compared({ traces, first }: { traces: readonly Trace[]; first: boolean }) {
  const { compare } = chartView.value;
  if (compare === null || traces.every((trace) => trace.kind === 'text')) return null;
  const none = traces.every((trace) => trace.history === 'joined' && (trace.ghost?.start.length ?? 0) === 0);
  return (
    <span class="compared">
      {first ? '' : ' · '}
      {say(none ? 'charts.ghost_none' : `charts.ghost_${compare}`)}
    </span>
  );
}

/** What the crosshair points at; without it, what the span amounts to. */
function Caption({ trace, at }: { trace: Trace; at: At }) {
  const pointed = crosshair.value;
  const { span } = at;
  if (pointed !== null && pointed >= span[0] && pointed <= span[1]) return <Pointed trace={trace} pointed={pointed} at={at} />;
  if (trace.kind === 'text') {
    const parts = shares(stretches(trace.joined, trace.bucket_ms || at.bucket_ms), ...span).slice(0, 4);
    return <>{parts.map(({ text, share }) => `${text} ${percent(share)}`).join(' · ')}</>;
  }
  const sum = extent(trace.joined, ...span);
  if (sum === null) return <>{UNKNOWN}</>;
  if (trace.kind === 'bool') return <>{say('charts.true_for', { share: percent(sum.avg) })}</>;
  const { shown, averaged } = trace.precision;
  return (
    <>
      {say('charts.min')} <b>{number(sum.min, shown)}</b> · {say('charts.avg')} <b>{number(sum.avg, averaged)}</b> ·{' '}
      {say('charts.max')} <b>{number(sum.max, shown)}</b> {trace.unit ?? ''}
    </>
  );
}

function Pointed({ trace, pointed, at }: { trace: Trace; pointed: number; at: At }) {
  const { joined, unit } = trace;
  const i = pointAt(joined, pointed, trace.bucket_ms || at.bucket_ms, trace.kind !== 'number');
  if (i === null) {
    return (
      <>
        <b>{moment(pointed, at)}</b> {say('charts.no_data')}
      </>
    );
  }
  const time = moment(joined.start[i]!, at);
  if (trace.kind !== 'number') {
    return (
      <>
        {time} <b>{value(joined.last[i])}</b>
      </>
    );
  }
  const { shown, averaged } = trace.precision;
  const many = joined.count[i]! > 1;
  const range = { min: number(joined.min[i], shown), max: number(joined.max[i], shown) };
  return (
    <>
      {time} <b>{number(joined.avg[i], many ? averaged : shown)}</b> {unit}
      {many && ` · ${say('charts.between', range)} · ${say('charts.samples', { n: joined.count[i]! })}`}
    </>
  );
}

/** With milliseconds where they are seen. */
function moment(ms: number, { bucket_ms, now }: At): string {
  const text = clock(ms, now);
  return bucket_ms < 1000 ? `${text}.${String(Math.floor(ms % 1000)).padStart(3, '0')}` : text;
}

/** The moment that the values of a legend are of. */
function PointedAt({ lines, at }: { lines: readonly Trace[]; at: At }) {
  const pointed = crosshair.value;
  const inside = pointed !== null && pointed >= at.span[0] && pointed <= at.span[1];
  return (
    <p class="pointed" data-ink>
      {inside ? moment(pointed, at) : ''}
      <Compared traces={lines} first={!inside} />
    </p>
  );
}

/** The legend of several series: each with its sign, its name and its value, and a button that hides it. */
function Keys({ lines, devices, axes, at }: { lines: readonly Trace[]; devices: boolean; axes: Axes; at: At }) {
  const { hidden } = chartView.value;
  const pointed = crosshair.value;
  const inside = pointed !== null && pointed >= at.span[0] && pointed <= at.span[1];
  const keys = lines.map((trace) => trace.key);
  return (
    <ul class="keys">
      {lines.map((trace, slot) => {
        const off = hidden.includes(trace.key) || axisOf(axes, trace.unit) === null;
        const name = nameOf(trace, devices);
        return (
          <li key={trace.key} class={off ? 'off' : ''}>
            <button
              type="button"
              aria-pressed={!off}
              aria-label={say(off ? 'charts.series_hidden' : 'charts.series_shown', { name })}
              title={name}
              onClick={(event) => (event.shiftKey ? showOnly(trace.key, keys) : toggle(trace.key))}
            >
              <Swatch slot={slot} />
              <span class="name" data-ink>
                <Name trace={trace} devices={devices} />
              </span>
            </button>
            <Figures trace={trace} pointed={inside ? pointed : null} at={at} />
          </li>
        );
      })}
    </ul>
  );
}

function Figures({ trace, pointed, at }: { trace: Trace; pointed: number | null; at: At }) {
  const { shown, averaged } = trace.precision;
  const i = pointed === null ? null : pointAt(trace.joined, pointed, trace.bucket_ms || at.bucket_ms, trace.kind !== 'number');
  const aged = pointed === null && ageOf(trace, at) !== null;
  const many = i !== null && trace.joined.count[i]! > 1;
  const here = { it: i === null ? null : shownAt(trace, i), digits: many ? averaged : shown };
  const { it, digits } = pointed === null ? valueOf(trace, at) : here;
  let range = '';
  if (trace.kind === 'number') {
    const sum = pointed === null ? extent(trace.joined, ...at.span) : null;
    const [min, max] = i === null ? [sum?.min, sum?.max] : [trace.joined.min[i], trace.joined.max[i]];
    const told = min !== undefined && max !== undefined && (i === null || trace.joined.count[i]! > 1);
    if (told) range = say('charts.between', { min: number(min, shown), max: number(max, shown) });
  }
  return (
    <>
      <span class="range" data-ink>
        {range}
      </span>
      <span class={`figure ${aged ? 'old' : ''}`} title={unitTitle(trace.unit)} data-ink>
        <Quantity it={it} unit={trace.unit} digits={digits} />
      </span>
    </>
  );
}

/** The colour and the dash of a line: told apart by either. */
export function Swatch({ slot }: { slot: number }) {
  const dash = DASHES[slot % DASHES.length]!.map((part) => part * 14).join(' ');
  return (
    <svg class={`swatch series-${(slot % 8) + 1}`} data-slot={slot} viewBox="0 0 28 8" aria-hidden="true">
      <line x1="1" y1="4" x2="27" y2="4" stroke-dasharray={dash} />
    </svg>
  );
}

/** Makes one panel as wide as the page. */
export function useWide(name: string): { wide: boolean; button: ComponentChildren } {
  const wide = useSignal(false);
  const button = (
    <button
      type="button"
      class="widen"
      aria-pressed={wide.value}
      aria-label={say('charts.enlarge', { name })}
      title={say(wide.value ? 'charts.shrink' : 'charts.enlarge_title')}
      onClick={() => (wide.value = !wide.value)}
    >
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d="M10 2h4v4M6 14H2v-4M14 2 9.5 6.5M2 14l4.5-4.5" />
      </svg>
    </button>
  );
  return { wide: wide.value, button };
}
