// Curves on canvases: the sparklines of the table, and the tile's curve of samples per second.

import { useLayoutEffect, useRef } from 'preact/hooks';
import { beat } from '../beat';
import type { Row } from '../state/fleet';
import { TREND_POINTS } from '../state/trend';
import { theme } from '../theme';

/** Points further apart than this many windows are not joined. */
const JOIN_WINDOWS = 3;

/** Where the sparkline is within a row, in pixels. */
export interface TrendBox {
  left: number;
  top: number;
  width: number;
  height: number;
}
export const NOWHERE: TrendBox = { left: 0, top: 0, width: 0, height: 0 };

interface TrendLayerProps {
  rows: readonly Row[];
  /** Height of a row in pixels, and place of the first one of `rows`. */
  row_px: number;
  top_px: number;
  box: TrendBox;
  /** The newest window: the right end of every sparkline. */
  newest: number;
}

/**
 * The sparklines of all rows in sight, on one canvas over their column: a canvas of its own in every row makes the
 * browser put together a hundred layers for each step of a scroll.
 */
export function TrendLayer({ rows, row_px, top_px, box, newest }: TrendLayerProps) {
  beat.value;
  const canvas = useRef<HTMLCanvasElement>(null);
  const drawn = useRef('');
  const colours = theme.value;
  useLayoutEffect(() => {
    const layer = canvas.current!;
    let versions = 0;
    for (const row of rows) versions += row.trend.version;
    const state = [versions, rows[0]?.id, rows.length, rows[rows.length - 1]?.id, newest, row_px, top_px, colours.tide];
    const stamp = [...state, devicePixelRatio, ...Object.values(box)].join(' ');
    if (stamp === drawn.current) return;
    drawn.current = stamp;
    const pen = prepare(layer, box.width, rows.length * row_px);
    layer.style.left = `${box.left}px`;
    layer.style.top = `${top_px}px`;
    if (pen === null) return;
    rows.forEach((row, i) => {
      const values = Array.from({ length: TREND_POINTS }, (_, age) => row.trend.at(newest, TREND_POINTS - 1 - age));
      const stroke = row.online === false ? colours.muted : colours.tide;
      const area = { top: i * row_px + box.top, width: box.width, height: box.height };
      curve(pen, area, values, { stroke, fill: null, join: JOIN_WINDOWS, scale: bounds(values) });
    });
  });
  return <canvas ref={canvas} class="trends" aria-hidden="true" />;
}

/** Sizes the canvas to its pixels and clears it. */
function prepare(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const ratio = devicePixelRatio;
  const pixels = [Math.round(width * ratio), Math.round(height * ratio)] as const;
  if (canvas.width !== pixels[0]) canvas.width = pixels[0];
  if (canvas.height !== pixels[1]) canvas.height = pixels[1];
  if (canvas.style.width !== `${width}px`) canvas.style.width = `${width}px`;
  if (canvas.style.height !== `${height}px`) canvas.style.height = `${height}px`;
  const pen = canvas.getContext('2d');
  if (pen === null || width === 0 || height === 0) return null;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

/** A curve over a whole canvas whose size the style sheet sets. */
export function drawCurve(canvas: HTMLCanvasElement, values: readonly number[], look: Look): void {
  const { width, height } = canvas.parentElement!.getBoundingClientRect();
  const pen = prepare(canvas, Math.floor(width), Math.floor(height));
  if (pen !== null) curve(pen, { top: 0, width, height }, values, look);
}

interface Area {
  top: number;
  width: number;
  height: number;
}

interface Look {
  stroke: string;
  fill: string | null;
  /** Points further apart than this are not joined. */
  join: number;
  /** The values at the bottom and at the top. */
  scale: [number, number];
}

function curve(pen: CanvasRenderingContext2D, area: Area, values: readonly number[], look: Look): void {
  const { width, height } = area;
  const [low, high] = look.scale;
  const thick = Math.min(2.5, Math.max(1.25, height / 18));
  const x = (i: number): number => thick + (i / (values.length - 1)) * (width - 2 * thick);
  const y = (i: number): number =>
    area.top + height - thick - ((values[i]! - low) / (high - low)) * (height - 2 * thick);
  pen.lineWidth = thick;
  pen.lineJoin = 'round';
  pen.lineCap = 'round';
  pen.strokeStyle = look.stroke;
  for (const run of runs(values, look.join)) {
    pen.beginPath();
    run.forEach((i, at) => (at === 0 ? pen.moveTo(x(i), y(i)) : pen.lineTo(x(i), y(i))));
    if (run.length === 1) pen.lineTo(x(run[0]!), y(run[0]!));
    pen.stroke();
    if (look.fill === null || run.length < 2) continue;
    pen.lineTo(x(run[run.length - 1]!), area.top + height);
    pen.lineTo(x(run[0]!), area.top + height);
    pen.fillStyle = look.fill;
    pen.fill();
  }
}

function bounds(values: readonly number[]): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  // A flat line lies in the middle, and rounding noise is not drawn as if it were an earthquake.
  const least = Math.max(Math.abs(high), Math.abs(low)) * 0.002 || 1;
  if (high - low >= least) return [low, high];
  const middle = (high + low) / 2;
  return [middle - least / 2, middle + least / 2];
}

function runs(values: readonly number[], join: number): number[][] {
  const made: number[][] = [];
  values.forEach((value, i) => {
    if (Number.isNaN(value)) return;
    const run = made[made.length - 1];
    if (run !== undefined && i - run[run.length - 1]! <= join) run.push(i);
    else made.push([i]);
  });
  return made;
}
