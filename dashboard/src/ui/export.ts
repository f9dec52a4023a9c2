// Keeps what is seen as a file: the points as CSV, or the charts as a picture.

import { csvOf, fileName } from '../state/csv';
import type { Span } from '../state/span';
import type { Trace } from '../state/trace';
import { clock } from '../text/format';
import { theme } from '../theme';
import { chartView, drawAll } from './charting';
import { DASHES } from './plot';

export function saveFile(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // The browser has taken it by then.
  window.setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Only what is drawn: hidden series are not in it. */
export function saveCsv(name: string, traces: readonly Trace[], bucket_ms: number, span: Span): void {
  const { hidden } = chartView.peek();
  const drawn = traces
    .filter((trace) => !hidden.includes(trace.key))
    .map(({ device, metric, tags, unit, joined, bucket_ms: own }) => ({
      ...{ device, metric, tags, unit, joined },
      bucket_ms: own || bucket_ms,
    }));
  saveFile(fileName(name, span, 'csv'), new Blob([csvOf(drawn, span)], { type: 'text/csv;charset=utf-8' }));
}

const frame = (): Promise<void> => new Promise((done) => requestAnimationFrame(() => done()));

/** All panels of the page as they stand, also those off the screen. */
export async function savePicture(name: string, span: Span, root: HTMLElement): Promise<void> {
  drawAll.value = true;
  // One frame to make the charts, one for them to measure themselves, one to draw.
  for (let i = 0; i < 3; i++) await frame();
  const canvas = paint(name, span, root);
  drawAll.value = false;
  const content = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/png'));
  if (content !== null) saveFile(fileName(name, span, 'png'), content);
}

function paint(name: string, span: Span, root: HTMLElement): HTMLCanvasElement {
  const ratio = Math.max(1, devicePixelRatio);
  const whole = root.getBoundingClientRect();
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const head = rem * 2.6;
  const edge = rem;
  const canvas = document.createElement('canvas');
  canvas.width = Math.ceil((whole.width + 2 * edge) * ratio);
  canvas.height = Math.ceil((whole.height + head + edge) * ratio);
  const pen = canvas.getContext('2d')!;
  pen.scale(ratio, ratio);
  pen.fillStyle = getComputedStyle(document.body).backgroundColor;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.translate(edge, 0);
  const { ink, muted, font } = theme.peek();
  pen.textBaseline = 'middle';
  pen.fillStyle = ink;
  pen.font = `700 ${rem * 1.25}px ${font}`;
  pen.fillText(name, 0, head / 2);
  pen.fillStyle = muted;
  pen.font = `${rem}px ${font}`;
  pen.textAlign = 'right';
  pen.fillText(`${clock(span[0], 0)} – ${clock(span[1], 0)}`, whole.width, head / 2);
  pen.textAlign = 'left';
  pen.translate(-whole.left, head - whole.top);
  for (const panel of root.querySelectorAll<HTMLElement>('.panel')) paintPanel(pen, panel);
  return canvas;
}

function paintPanel(pen: CanvasRenderingContext2D, panel: HTMLElement): void {
  const { panel: ground, line } = theme.peek();
  const box = panel.getBoundingClientRect();
  pen.fillStyle = ground;
  pen.strokeStyle = line;
  pen.beginPath();
  pen.roundRect(box.left, box.top, box.width, box.height, 8);
  pen.fill();
  pen.stroke();
  for (const drawn of panel.querySelectorAll('canvas')) {
    const at = drawn.getBoundingClientRect();
    if (at.width > 0 && drawn.width > 0) pen.drawImage(drawn, at.left, at.top, at.width, at.height);
  }
  for (const sign of panel.querySelectorAll<SVGElement>('.swatch')) paintSwatch(pen, sign);
  for (const words of panel.querySelectorAll<HTMLElement>('[data-ink]')) paintWords(pen, words);
}

function paintSwatch(pen: CanvasRenderingContext2D, sign: SVGElement): void {
  const at = sign.getBoundingClientRect();
  const slot = Number(sign.dataset['slot'] ?? 0);
  const { series } = theme.peek();
  pen.save();
  pen.strokeStyle = series[slot % series.length]!;
  pen.lineWidth = 2;
  pen.setLineDash(DASHES[slot % DASHES.length]!.map((part) => part * 12));
  pen.beginPath();
  pen.moveTo(at.left, at.top + at.height / 2);
  pen.lineTo(at.right, at.top + at.height / 2);
  pen.stroke();
  pen.restore();
}

/** Each piece of text in its own letters, where it stands. */
function paintWords(pen: CanvasRenderingContext2D, words: HTMLElement): void {
  const bounds = words.getBoundingClientRect();
  const walker = document.createTreeWalker(words, NodeFilter.SHOW_TEXT);
  pen.save();
  pen.beginPath();
  pen.rect(bounds.left, bounds.top, bounds.width + 1, bounds.height);
  pen.clip();
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(node);
    const style = getComputedStyle(node.parentElement!);
    pen.fillStyle = style.color;
    pen.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    pen.textBaseline = 'middle';
    const at = range.getBoundingClientRect();
    pen.fillText((node.textContent ?? '').replace(/\s+/g, ' '), at.left, at.top + at.height / 2);
  }
  pen.restore();
}
