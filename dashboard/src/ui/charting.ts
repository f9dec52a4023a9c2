// What all charts of a page share, and how it is changed: the time that they show, the crosshair, what was hidden.
// The address follows. A step (a choice, a zoom dragged out) can be gone back to; of a glide (a wheel, a pan) only
// where it came to rest.

import { effect, signal } from '@preact/signals';
import { link, route } from '../app';
import { chartHash, parseRoute } from '../route';
import { rangeNamed } from '../state/range';
import { around, dragged, moved, type Span, widthOf, zoomed } from '../state/span';
import { type ChartView, DEFAULT_CHARTS, sameView, spanAt } from '../state/view';

export const chartView = signal<ChartView>(DEFAULT_CHARTS);
/** The moment that the crosshair is on, in ms since 1970, on all charts; null: on none. */
export const crosshair = signal<number | null>(null);
/** What a screen reader is told: what the crosshair was moved to by keys. */
export const said = signal('');
/** All charts are drawn, also those off the screen: they are about to be kept as a picture. */
export const drawAll = signal(false);

/** A glide has come to rest so long after its last move. */
const REST_MS = 350;
let restTimer = 0;

effect(() => {
  const to = route.value;
  if (to.page !== 'device' && to.page !== 'board') return;
  window.clearTimeout(restTimer);
  if (!sameView(to.view, chartView.peek())) chartView.value = to.view;
});

export const now = (): number => link.daemonNow() ?? Date.now();
export const spanNow = (): Span => spanAt(chartView.peek(), now());
export const isLive = (): boolean => chartView.value.past === null;

export function change(part: Partial<ChartView>, how: 'step' | 'glide' = 'step'): void {
  const next = { ...chartView.peek(), ...part };
  if (sameView(next, chartView.peek())) return;
  chartView.value = next;
  window.clearTimeout(restTimer);
  if (how === 'glide') restTimer = window.setTimeout(write, REST_MS);
  else write();
}

/** `pushState` tells nobody, so the route is set here. */
function write(): void {
  const hash = chartHash(route.peek(), chartView.peek());
  if (hash === null || hash === location.hash) return;
  history.pushState(null, '', hash);
  route.value = parseRoute(hash);
}

export function backToLive(): void {
  crosshair.value = null;
  change({ past: null });
}

export const chooseRange = (name: string): void => change({ range: rangeNamed(name).name, past: null });

export const showSpan = (span: Span): void => change({ past: span });

export const zoomTo = (a: number, b: number): void => change({ past: dragged(a, b, now()) });

/** Around an instant, or the middle. */
export function zoomBy(factor: number, at: number | null, how: 'step' | 'glide'): void {
  const span = spanNow();
  const inside = at !== null && at >= span[0] && at <= span[1];
  change({ past: zoomed(span, inside ? at : (span[0] + span[1]) / 2, factor, now()) }, how);
}

/** By a part of what is seen. */
export function panBy(share: number): void {
  const span = spanNow();
  change({ past: moved(span, share * widthOf(span), now()) }, 'glide');
}

/** To where a drag has carried what was there when it began. */
export const panFrom = (start: Span, by_ms: number): void => change({ past: moved(start, by_ms, now()) }, 'glide');

/** Shows an instant in the middle, and points at it. */
export function goTo(at: number): void {
  change({ past: around(at, widthOf(spanNow()), now()) });
  crosshair.value = at;
}

export function toggle(key: string): void {
  const { hidden } = chartView.peek();
  change({ hidden: hidden.includes(key) ? hidden.filter((one) => one !== key) : [...hidden, key] });
}

/** Of these, only one; or all again, if it is the only one already. */
export function showOnly(key: string, keys: readonly string[]): void {
  const { hidden } = chartView.peek();
  const others = keys.filter((one) => one !== key);
  const rest = hidden.filter((one) => !keys.includes(one));
  const only = others.every((one) => hidden.includes(one)) && !hidden.includes(key);
  change({ hidden: only ? rest : [...rest, ...others] });
}
