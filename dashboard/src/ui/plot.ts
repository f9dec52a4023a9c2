// uPlot as the panels use it: one chart of one trace, with a fixed time span, gaps shaded, and a crosshair that
// all charts share. Columns in, pixels out; it knows nothing of where they come from.

import { signal } from '@preact/signals';
import uPlot from 'uplot';
import type { Line, Stretch } from '../state/shape';
import { stateColours } from '../state/states';
import type { Theme } from '../theme';

/** The moment that the crosshair is on, in ms since 1970, on all charts; null: on none. */
export const crosshair = signal<number | null>(null);
/** The span that was dragged out, instead of the page's range. */
export const zoom = signal<[number, number] | null>(null);

export type PlotKind = 'number' | 'bool' | 'text';
/** The least span that can be dragged out, in pixels: less is a click. */
const DRAG_MIN_PX = 6;

export class Plot {
  private readonly plot: uPlot;
  private readonly resized: ResizeObserver;
  private span: [number, number] = [0, 1];
  private gaps: Line['gaps'] = [];
  private stretches: Stretch[] = [];

  constructor(
    private readonly box: HTMLElement,
    kind: PlotKind,
    private readonly theme: Theme,
    /** Whole numbers only: the axis has no ticks between them. */
    whole: boolean,
  ) {
    this.plot = new uPlot(this.options(kind, whole), [[], [], [], []], box);
    this.resized = new ResizeObserver(() => this.plot.setSize(this.size()));
    this.resized.observe(box);
  }

  drawLine(line: Line, span: [number, number]): void {
    this.span = span;
    this.gaps = line.gaps;
    this.plot.setData(line.data);
  }

  drawStretches(stretches: Stretch[], edges: Line['gaps'], span: [number, number]): void {
    this.span = span;
    this.stretches = stretches;
    this.gaps = [...edges];
    stretches.forEach(({ from }, i) => {
      const before = stretches[i - 1];
      if (before !== undefined && from > before.to) this.gaps.push([before.to, from]);
    });
    const x = stretches.map((stretch) => stretch.from);
    const none = x.map(() => null);
    this.plot.setData([x, none, none, none]);
  }

  /** Puts the crosshair on a moment, or away. */
  point(at: number | null): void {
    if (this.hovered()) return;
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

  private options(kind: PlotKind, whole: boolean): uPlot.Options {
    const { theme } = this;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    return {
      ...this.size(),
      ms: 1,
      padding: [rem * 0.5, rem * 0.6, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false },
        points: { size: rem * 0.55, stroke: theme.panel, width: 2, fill: theme.tide },
        bind: { dblclick: () => showAll },
      },
      scales: { x: { time: true, range: () => this.span }, y: { range: kind === 'number' ? padded : [-0.12, 1.12] } },
      axes: [timeAxis(theme, rem), valueAxis(theme, rem, kind, whole)],
      series: [{}, middle(theme, rem, kind), edge(kind), edge(kind)],
      bands: [{ series: [3, 2], fill: theme.band }],
      hooks: {
        drawClear: [() => this.shadeGaps()],
        draw: [() => this.drawStates(rem)],
        setCursor: [() => this.pointed()],
        setSelect: [() => this.selected()],
      },
    };
  }

  /** Only the chart under the pointer says where the crosshair is; the others follow. */
  private pointed(): void {
    if (!this.hovered()) return;
    const left = this.plot.cursor.left ?? -1;
    crosshair.value = left < 0 ? null : this.plot.posToVal(left, 'x');
  }

  private selected(): void {
    const { left, width } = this.plot.select;
    if (width < DRAG_MIN_PX) return;
    zoom.value = [this.plot.posToVal(left, 'x'), this.plot.posToVal(left + width, 'x')];
    this.plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  private shadeGaps(): void {
    const { ctx, bbox } = this.plot;
    ctx.fillStyle = this.theme.gap;
    for (const [from, to] of this.gaps) {
      const [left, right] = this.clip(from, to);
      if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
    }
  }

  private clip(from: number, to: number): [number, number] {
    const { bbox } = this.plot;
    const place = (at: number): number => this.plot.valToPos(at, 'x', true);
    return [Math.max(bbox.left, place(from)), Math.min(bbox.left + bbox.width, place(to))];
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

function showAll(): null {
  zoom.value = null;
  return null;
}

function middle(theme: Theme, rem: number, kind: PlotKind): uPlot.Series {
  const line: uPlot.Series = { stroke: theme.tide, width: rem / 9, points: { size: rem / 3.2, fill: theme.tide } };
  if (kind === 'number') return line;
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  return { ...line, fill: theme.band, points: { show: false }, ...(stepped === undefined ? {} : { paths: stepped }) };
}

/** The edges of the band are not lines of their own. */
function edge(kind: PlotKind): uPlot.Series {
  return { show: kind === 'number', width: 0, points: { show: false } };
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

const pad = (n: number): string => String(n).padStart(2, '0');

/** Ticks come out a fraction of a millisecond early, which would be a whole minute once it is cut off. */
function timeLabel(ms: number, step: number): string {
  const at = new Date(Math.round(ms / 1000) * 1000);
  const midnight = at.getHours() === 0 && at.getMinutes() === 0 && at.getSeconds() === 0;
  if (midnight) return `${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  const minutes = `${pad(at.getHours())}:${pad(at.getMinutes())}`;
  return step < 60_000 ? `${minutes}:${pad(at.getSeconds())}` : minutes;
}

/** 1, 2, 5, 10, 20, 50 and so on. */
const WHOLE_STEPS = Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((n) => n * 10 ** power)).flat();

function valueAxis(theme: Theme, rem: number, kind: PlotKind, whole: boolean): uPlot.Axis {
  const least = rem * 3.6;
  const axis: uPlot.Axis = {
    stroke: theme.muted,
    font: `${rem * 0.74}px ${theme.font}`,
    size: (_, labels) => Math.max(least, Math.max(0, ...(labels ?? []).map((l) => l.length)) * rem * 0.45 + rem),
    space: rem * 2.1,
    gap: rem * 0.4,
    grid: { stroke: theme.line, width: 1 },
    ticks: { show: false },
  };
  if (kind === 'number') return whole ? { ...axis, incrs: WHOLE_STEPS } : axis;
  if (kind === 'bool') return { ...axis, splits: [0, 1], values: () => ['false', 'true'] };
  return { ...axis, splits: [], values: () => [], grid: { show: false } };
}
