// uPlot as the panels use it: some lines with their bands, or one strip of states, over a span of time that is
// given, with gaps shaded and a crosshair that all charts share. Columns in, pixels out; what the pointer does is
// told to `Gestures`. It knows nothing of where the columns come from.

import uPlot from 'uplot';
import type { Line, Stretch } from '../state/shape';
import type { Span } from '../state/span';
import { stateColours } from '../state/states';
import type { Theme } from '../theme';

export type PlotKind = 'lines' | 'text';

/** One line, as it stays while the chart stays. */
export interface Style {
  /** Its place among the colours and dashes. */
  slot: number;
  axis: 0 | 1;
  /** True and false: in steps, filled. */
  bool: boolean;
}

export interface Spec {
  kind: PlotKind;
  styles: readonly Style[];
  /** Each line has a ghost under it. */
  ghosts: boolean;
  /** One per axis; written over it, unless it is null. */
  units: readonly (string | null)[];
  /** Whole numbers only: the axis has no ticks between them. */
  whole: readonly boolean[];
}

export interface DrawnLine {
  data: Line['data'];
  ghost: [number[], (number | null)[]] | null;
}

/** What is under the lines: nobody knows, or nothing came. */
export interface Ground {
  gaps: readonly Span[];
  unknown: readonly Span[];
}

export interface Gestures {
  /** The pointer is over a moment, or has left. */
  point(at: number | null): void;
  /** A span was dragged out. */
  drag(a: number, b: number): void;
  zoom(factor: number, at: number): void;
  pan(start: Span, by_ms: number): void;
  live(): void;
}

/** The least span that can be dragged out, in pixels: less is a click. */
const DRAG_MIN_PX = 6;
/** Told apart without their colours. In rem. */
export const DASHES: readonly (readonly number[])[] = [[], [0.6, 0.3], [0.15, 0.25], [0.8, 0.2, 0.15, 0.2]];
/** One notch of a wheel. */
const WHEEL_STEP = 1.25;
/** A wheel that has rested so long begins anew. */
const WHEEL_REST_MS = 250;
/** Columns of each line: middle, min, max. */
const PER_LINE = 3;

export class Plot {
  private readonly plot: uPlot;
  private readonly resized: ResizeObserver;
  private span: Span = [0, 1];
  private ground: Ground = { gaps: [], unknown: [] };
  private stretches: Stretch[] = [];
  /** The crosshair is led by keys until the pointer moves. */
  private byKeys = false;
  private panning = false;

  constructor(
    private readonly box: HTMLElement,
    private readonly spec: Spec,
    private readonly theme: Theme,
    private readonly gestures: Gestures,
  ) {
    const columns = 1 + spec.styles.length * (PER_LINE + Number(spec.ghosts));
    const none = Array.from({ length: columns }, () => []) as unknown as uPlot.AlignedData;
    this.plot = new uPlot(this.options(), none, box);
    this.resized = new ResizeObserver(() => this.plot.setSize(this.size()));
    this.resized.observe(box);
    this.watchWheel();
    this.watchTouch();
  }

  drawLines(lines: readonly DrawnLine[], ground: Ground, span: Span): void {
    this.span = span;
    this.ground = ground;
    this.plot.setData(aligned(lines, this.spec.ghosts));
  }

  drawStretches(stretches: Stretch[], ground: Ground, span: Span): void {
    this.span = span;
    this.stretches = stretches;
    const gaps: Span[] = [...ground.gaps];
    stretches.forEach(({ from }, i) => {
      const before = stretches[i - 1];
      if (before !== undefined && from > before.to) gaps.push([before.to, from]);
    });
    this.ground = { ...ground, gaps };
    const x = stretches.map((stretch) => stretch.from);
    const none = x.map(() => null);
    this.plot.setData([x, none, none, none]);
  }

  /** Puts the crosshair on a moment, or away. `byKeys`: whatever the pointer is over. */
  point(at: number | null, byKeys = false): void {
    if (byKeys) this.byKeys = true;
    if (this.hovered() && !this.byKeys && !this.panning) return;
    const inside = at !== null && at >= this.span[0] && at <= this.span[1];
    this.plot.setCursor({ left: inside ? this.plot.valToPos(at, 'x') : -10, top: -10 }, false);
  }

  destroy(): void {
    this.resized.disconnect();
    this.plot.destroy();
  }

  private hovered(): boolean {
    return this.plot.over.matches(':hover');
  }

  private size(): { width: number; height: number } {
    return { width: Math.max(50, this.box.clientWidth), height: Math.max(30, this.box.clientHeight) };
  }

  private options(): uPlot.Options {
    const { theme, spec } = this;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const named = spec.units.some((unit) => unit !== null);
    const scales: uPlot.Scales = { x: { time: true, range: () => [this.span[0], this.span[1]] } };
    const axes: uPlot.Axis[] = [timeAxis(theme, rem)];
    for (let i = 0; i < Math.max(1, spec.units.length); i++) {
      const bool = spec.styles.some((style) => style.axis === i && style.bool);
      const shape: AxisShape = spec.kind === 'text' ? 'none' : bool ? 'bool' : 'number';
      scales[scaleOf(i)] = { range: shape === 'number' ? padded : [-0.12, 1.12] };
      axes.push(valueAxis(theme, rem, shape, spec.whole[i] === true, i));
    }
    return {
      ...this.size(),
      ms: 1,
      padding: [rem * (named ? 1.3 : 0.5), spec.units.length > 1 ? 0 : rem * 0.6, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false },
        dataIdx: (plot, series, at) => nearestPoint(plot, series, at),
        points: {
          size: (_, series) => (this.isMiddle(series) ? rem * 0.55 : 0),
          stroke: theme.panel,
          width: 2,
          fill: (_, series) => this.colourOf(series),
        },
        bind: {
          mousedown: (_, __, handler) => (event) => {
            if (event.button !== 0 || !event.shiftKey) return handler(event);
            this.pan(event);
            return null;
          },
          mousemove: (_, __, handler) => (event) => {
            this.byKeys = false;
            return this.panning ? null : handler(event);
          },
          dblclick: () => () => {
            this.gestures.live();
            return null;
          },
        },
      },
      scales,
      axes,
      series: [{}, ...this.series(rem)],
      bands: this.bands(),
      hooks: {
        drawClear: [() => this.drawGround(rem)],
        draw: [() => this.drawStates(rem), () => this.drawUnits(rem)],
        setCursor: [() => this.pointed()],
        setSelect: [() => this.selected()],
      },
    };
  }

  private series(rem: number): uPlot.Series[] {
    const { theme, spec } = this;
    if (spec.kind === 'text') return [{ show: false }, { show: false }, { show: false }];
    const made: uPlot.Series[] = [];
    const stepped = uPlot.paths.stepped?.({ align: 1 });
    for (const { slot, axis, bool } of spec.styles) {
      const stroke = theme.series[slot % theme.series.length]!;
      const dash = DASHES[slot % DASHES.length]!.map((part) => part * rem * devicePixelRatio * 0.8);
      const steps = bool && stepped !== undefined ? { paths: stepped } : {};
      const common: uPlot.Series = { scale: scaleOf(axis), stroke, ...steps };
      made.push({
        ...common,
        width: rem / 8.5,
        dash,
        points: { size: rem / 3.2, fill: stroke, ...(bool ? { show: false } : {}) },
        ...(bool ? { fill: `${stroke}24` } : {}),
      });
      // Edges of their own make a spike of one sample visible, however thin its band is.
      const edge: uPlot.Series = { ...common, stroke: `${stroke}80`, width: rem / 16, points: { show: false } };
      made.push(edge, edge);
    }
    if (spec.ghosts) {
      for (const { slot, axis } of spec.styles) {
        const stroke = `${theme.series[slot % theme.series.length]!}a0`;
        const dash = [0.12, 0.3].map((part) => part * rem * devicePixelRatio);
        made.push({ scale: scaleOf(axis), stroke, width: rem / 10, dash, points: { show: false } });
      }
    }
    return made;
  }

  private bands(): uPlot.Band[] {
    if (this.spec.kind === 'text') return [];
    return this.spec.styles.map(({ slot }, i) => ({
      series: [1 + i * PER_LINE + 2, 1 + i * PER_LINE + 1],
      fill: `${this.theme.series[slot % this.theme.series.length]!}30`,
    }));
  }

  private isMiddle(series: number): boolean {
    const lines = this.spec.styles.length * PER_LINE;
    return this.spec.kind === 'lines' && series <= lines && (series - 1) % PER_LINE === 0;
  }

  private colourOf(series: number): string {
    const style = this.spec.styles[Math.floor((series - 1) / PER_LINE)];
    return this.theme.series[(style?.slot ?? 0) % this.theme.series.length]!;
  }

  /** Only the chart under the pointer says where the crosshair is; the others follow. */
  private pointed(): void {
    if (this.byKeys || this.panning || !this.hovered()) return;
    const left = this.plot.cursor.left ?? -1;
    this.gestures.point(left < 0 ? null : this.plot.posToVal(left, 'x'));
  }

  private selected(): void {
    const { left, width } = this.plot.select;
    if (width < DRAG_MIN_PX) return;
    this.plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.gestures.drag(this.plot.posToVal(left, 'x'), this.plot.posToVal(left + width, 'x'));
  }

  /** With shift held the pointer carries what it is on. */
  private pan(begin: MouseEvent): void {
    const { span } = this;
    const perPixel = (span[1] - span[0]) / Math.max(1, this.plot.over.clientWidth);
    this.panning = true;
    this.box.classList.add('panning');
    const carry = (event: MouseEvent): void =>
      this.gestures.pan(span, (begin.clientX - event.clientX) * perPixel);
    const drop = (): void => {
      this.panning = false;
      this.box.classList.remove('panning');
      document.removeEventListener('mousemove', carry);
      document.removeEventListener('mouseup', drop);
    };
    document.addEventListener('mousemove', carry);
    document.addEventListener('mouseup', drop);
  }

  /**
   * A wheel that scrolls the page must not turn into zooming because a chart comes under it: it zooms if it
   * begins over this chart after the pointer has moved there, or with a key held, or if the chart has the focus.
   */
  private watchWheel(): void {
    const { over } = this.plot;
    let pointed = false;
    let zooming = false;
    let last = -Infinity;
    over.addEventListener('mousemove', (event) => {
      // A page that scrolls under a resting pointer sends moves of nothing.
      if (event.movementX !== 0 || event.movementY !== 0) pointed = true;
    });
    over.addEventListener('mouseleave', () => (pointed = false));
    over.addEventListener(
      'wheel',
      (event) => {
        const fresh = event.timeStamp - last > WHEEL_REST_MS;
        last = event.timeStamp;
        if (fresh) zooming = pointed;
        if (!(zooming || event.ctrlKey || event.metaKey || document.activeElement === this.box)) return;
        event.preventDefault();
        const at = this.plot.posToVal(event.clientX - over.getBoundingClientRect().left, 'x');
        if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
          const perPixel = (this.span[1] - this.span[0]) / Math.max(1, over.clientWidth);
          this.gestures.pan(this.span, event.deltaX * perPixel);
        } else if (event.deltaY !== 0) {
          const notches = Math.max(-3, Math.min(3, event.deltaY / (event.deltaMode === 0 ? 100 : 3)));
          this.gestures.zoom(WHEEL_STEP ** notches, at);
        }
      },
      { passive: false },
    );
  }

  /** A finger points; up and down it scrolls the page. */
  private watchTouch(): void {
    const { over } = this.plot;
    const point = (event: PointerEvent): void => {
      if (event.pointerType !== 'touch') return;
      this.byKeys = true;
      this.gestures.point(this.plot.posToVal(event.clientX - over.getBoundingClientRect().left, 'x'));
    };
    over.addEventListener('pointerdown', point);
    over.addEventListener('pointermove', point);
  }

  private drawGround(rem: number): void {
    const { ctx, bbox } = this.plot;
    ctx.fillStyle = this.theme.gap;
    for (const gap of this.ground.gaps) {
      const [left, right] = this.clip(...gap);
      if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
    }
    ctx.fillStyle = this.theme.muted;
    const step = rem * 0.5 * devicePixelRatio;
    for (const part of this.ground.unknown) {
      const [left, right] = this.clip(...part);
      for (let x = left + step; x < right; x += step) {
        ctx.fillRect(x, bbox.top + bbox.height / 2, devicePixelRatio, devicePixelRatio);
      }
    }
  }

  private clip(from: number, to: number): [number, number] {
    const { bbox } = this.plot;
    const place = (at: number): number => this.plot.valToPos(at, 'x', true);
    return [Math.max(bbox.left, place(from)), Math.min(bbox.left + bbox.width, place(to))];
  }

  /** The unit stands over its axis. */
  private drawUnits(rem: number): void {
    const { ctx, bbox } = this.plot;
    const { theme, spec } = this;
    ctx.save();
    ctx.font = `600 ${rem * 0.74 * devicePixelRatio}px ${theme.font}`;
    ctx.fillStyle = theme.muted;
    ctx.textBaseline = 'bottom';
    spec.units.forEach((unit, i) => {
      if (unit === null) return;
      ctx.textAlign = i === 0 ? 'left' : 'right';
      const at = i === 0 ? rem * 0.9 * devicePixelRatio : this.plot.width * devicePixelRatio - rem * 0.4 * devicePixelRatio;
      ctx.fillText(unit, at, bbox.top - rem * 0.25 * devicePixelRatio);
    });
    ctx.restore();
  }

  private drawStates(rem: number): void {
    if (this.stretches.length === 0) return;
    const { ctx, bbox } = this.plot;
    const ratio = devicePixelRatio;
    const { theme } = this;
    const colours = stateColours(this.stretches.map((stretch) => stretch.text), theme.states.length);
    ctx.save();
    ctx.font = `600 ${rem * 0.78 * ratio}px ${theme.font}`;
    ctx.textBaseline = 'middle';
    ctx.textAlign = 'left';
    for (const { from, to, text } of this.stretches) {
      const [left, right] = this.clip(from, to);
      if (right <= left) continue;
      const place = colours.get(text) ?? 0;
      ctx.fillStyle = place < 0 ? theme.alarm : theme.states[place]!;
      const wide = Math.max(ratio, right - left - ratio);
      ctx.fillRect(left, bbox.top, wide, bbox.height);
      const pad = rem * 0.4 * ratio;
      if (ctx.measureText(text).width + 2 * pad > wide) continue;
      ctx.fillStyle = theme.ink;
      ctx.fillText(text, left + pad, bbox.top + bbox.height / 2);
    }
    ctx.restore();
  }
}

/** `NULL_EXPAND` of uPlot. */
const BREAK_LASTS = 2;

const scaleOf = (axis: number): string => (axis === 0 ? 'y' : 'y2');

/**
 * All columns on one time axis. What one series has no point at is `undefined`, which a line passes over; null is a
 * break in it, which lasts until its own next point, whatever others have in between.
 */
export function aligned(lines: readonly DrawnLine[], ghosts: boolean): uPlot.AlignedData {
  const first = lines[0];
  if (first !== undefined && lines.length === 1 && !ghosts) return first.data;
  const tables: uPlot.AlignedData[] = lines.map((line) => line.data);
  if (ghosts) tables.push(...lines.map(({ ghost }): uPlot.AlignedData => ghost ?? [[], []]));
  if (tables.length === 0) return [[]];
  return uPlot.join(tables, tables.map((table) => table.map(() => BREAK_LASTS)));
}

/** How many points away a line's own point may be from the one under the pointer. */
const REACH = 60;

/** Lines that share a chart need not share their points. */
function nearestPoint(plot: uPlot, series: number, at: number): number {
  const column = plot.data[series];
  if (column === undefined || column[at] != null) return at;
  for (let away = 1; away <= REACH; away++) {
    if (column[at - away] != null) return at - away;
    if (column[at + away] != null) return at + away;
  }
  return at;
}

/** A tenth of room above and below; a flat line lies in the middle of a span that fits its size. */
function padded(_: uPlot, min: number | null, max: number | null): [number, number] {
  if (min === null || max === null) return [0, 1];
  const room = max > min ? (max - min) * 0.12 : Math.max(Math.abs(max) * 0.02, 1e-6) || 1;
  return [min - room, max + room];
}

function timeAxis(theme: Theme, rem: number): uPlot.Axis {
  return {
    stroke: theme.muted,
    font: `${rem * 0.74}px ${theme.font}`,
    size: rem * 1.7,
    space: rem * 6,
    gap: rem * 0.3,
    grid: { stroke: theme.line, width: 1 },
    ticks: { show: false },
    values: (_, splits, __, ___, step) => splits.map((at) => timeLabel(at, step)),
  };
}

const pad = (n: number, digits = 2): string => String(n).padStart(digits, '0');
const DAY = 24 * 3600 * 1000;

/** Ticks come out a fraction of a millisecond early, which would be a whole minute once it is cut off. */
function timeLabel(ms: number, step: number): string {
  const fine = step < 1000;
  const at = new Date(fine ? Math.round(ms) : Math.round(ms / 1000) * 1000);
  const midnight = at.getHours() === 0 && at.getMinutes() === 0 && at.getSeconds() === 0;
  if (step >= DAY || (midnight && !fine)) return `${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  const minutes = `${pad(at.getHours())}:${pad(at.getMinutes())}`;
  if (step >= 60_000) return minutes;
  return fine ? `${minutes}:${pad(at.getSeconds())}.${pad(at.getMilliseconds(), 3)}` : `${minutes}:${pad(at.getSeconds())}`;
}

/** 1, 2, 5, 10, 20, 50 and so on. */
const WHOLE_STEPS = Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((n) => n * 10 ** power)).flat();

type AxisShape = 'number' | 'bool' | 'none';

function valueAxis(theme: Theme, rem: number, shape: AxisShape, whole: boolean, place: number): uPlot.Axis {
  const least = rem * 3.6;
  const axis: uPlot.Axis = {
    scale: scaleOf(place),
    side: place === 0 ? 3 : 1,
    stroke: theme.muted,
    font: `${rem * 0.74}px ${theme.font}`,
    size: (_, labels) => Math.max(least, Math.max(0, ...(labels ?? []).map((l) => l.length)) * rem * 0.45 + rem),
    space: rem * 2.1,
    gap: rem * 0.4,
    // Two grids over each other belong to nothing.
    grid: place === 0 ? { stroke: theme.line, width: 1 } : { show: false },
    ticks: { show: false },
  };
  if (shape === 'number') return whole ? { ...axis, incrs: WHOLE_STEPS } : axis;
  if (shape === 'bool') return { ...axis, splits: [0, 1], values: () => ['false', 'true'] };
  return { ...axis, splits: [], values: () => [], grid: { show: false } };
}
