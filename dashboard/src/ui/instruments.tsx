// The small instruments that pages are put together from: a lamp, a gauge, a value with its unit.

import type { ComponentChildren } from 'preact';
import { percent, UNKNOWN, value as valueText } from '../text/format';
import type { Value } from '../state/fleet';
import { breakerLevel, type Level } from '../state/verdict';
import type { BreakerState } from '../text/sinks';
import { say } from '../text/say';

export const SHAPES: Record<Level | 'off', string> = {
  well: 'M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2Z',
  watch: 'M8 1.5 15 14H1Z',
  bad: 'M8 .5 15.5 8 8 15.5 .5 8Z',
  off: 'M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2Zm0 2.4a3.6 3.6 0 1 0 0 7.2 3.6 3.6 0 0 0 0-7.2Z',
};

/** A level as shape and colour; the word stands beside it, so it is hidden from readers. */
export function Lamp({ level }: { level: Level | 'off' }) {
  return (
    <svg class={`lamp ${level}`} viewBox="0 0 16 16" aria-hidden="true">
      <path d={SHAPES[level]} />
    </svg>
  );
}

/** A disc, a diamond, half a disc, a pause sign: told apart without their colours. */
export const BREAKER_SHAPES: Record<BreakerState, string> = {
  closed: SHAPES.well,
  open: SHAPES.bad,
  half_open: 'M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2Zm0 1.8v8.4a4.2 4.2 0 0 0 0-8.4Z',
  held: 'M3 2h3.6v12H3ZM9.4 2H13v12H9.4Z',
};

/** The state of a breaker as shape and colour; the word stands beside it. */
export function BreakerLamp({ state }: { state: BreakerState }) {
  return (
    <svg class={`lamp ${breakerLevel(state)}`} viewBox="0 0 16 16" aria-hidden="true">
      <path fill-rule="evenodd" d={BREAKER_SHAPES[state]} />
    </svg>
  );
}

interface QuantityProps {
  it: Value;
  unit: string | null;
  /** Decimals; by magnitude if absent. */
  digits?: number;
}

/** A number with its unit in smaller letters; what is not known is an en dash that says so. */
export function Quantity({ it, unit, digits }: QuantityProps) {
  const text = valueText(it, digits);
  if (text === UNKNOWN) return <span class="unknown" title={say('common.unknown')}>{UNKNOWN}</span>;
  return (
    <>
      <span class="figure">{text}</span>
      {unit !== null && unit !== '' && <span class="unit">{unit}</span>}
    </>
  );
}

/** "2 min 5 s" with the units in smaller letters, for texts that carry their own. */
export function Measured({ text }: { text: string }) {
  if (text === UNKNOWN) return <span class="unknown" title={say('common.unknown')}>{UNKNOWN}</span>;
  return (
    <>
      {[...text.matchAll(/((?:< )?\d(?:[\d.,\u00a0\u202f]*\d)?)\s*([^\d<]*)/g)].map(([, figure, unit]) => (
        <span key={unit} class="measured">
          <span class="figure">{figure}</span>
          {unit !== '' && <span class="unit">{unit!.trim()}</span>}
        </span>
      ))}
    </>
  );
}

export function Gauge({ share, level, name }: { share: number | null; level: Level; name: string }) {
  const filled = share === null ? 0 : Math.min(1, Math.max(0, share));
  const width = share === null || share === 0 ? '0' : `max(2px, ${filled * 100}%)`;
  return (
    <span
      class="gauge"
      role="meter"
      aria-label={name}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(filled * 100)}
      aria-valuetext={percent(share)}
    >
      <span class={level} style={{ width }} />
    </span>
  );
}

/** One instrument of the strip: what it is, and its reading under it. */
export function Vital({ name, title, children }: { name: string; title: string; children: ComponentChildren }) {
  return (
    <div class="vital" title={title}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
