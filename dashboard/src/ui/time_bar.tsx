// The time that all charts of a page show: live or a span of the past, and every way from one to the other.

import type { ComponentChildren } from 'preact';
import { useSignal } from '@preact/signals';
import { useEffect, useId, useRef } from 'preact/hooks';
import { parseWhen } from '../state/instant';
import { RANGES } from '../state/range';
import { type Span, widthOf, within } from '../state/span';
import type { Compare } from '../state/view';
import { clock, span as spanText } from '../text/format';
import { say } from '../text/say';
import { backToLive, change, chartView, chooseRange, goTo, now as present, panBy, showSpan, zoomBy, crosshair } from './charting';

interface TimeBarProps {
  span: Span;
  now: number;
  csv: () => void;
  png: () => void;
  /** Orders of the page itself. */
  children?: ComponentChildren;
}

export function TimeBar({ span, now, csv, png, children }: TimeBarProps) {
  const { past } = chartView.value;
  return (
    <div class={`time-bar ${past === null ? 'live' : 'past'}`}>
      <div class="when">
        <LiveButton past={past !== null} />
        <Ranges />
      </div>
      <div class="moves">
        <Step name={say('charts.earlier')} sign="M10 3 5 8l5 5" act={() => panBy(-0.5)} />
        <Step name={say('charts.zoom_out')} sign="M3 8h10" act={() => zoomBy(2, crosshair.peek(), 'step')} />
        <Step name={say('charts.zoom_in')} sign="M3 8h10M8 3v10" act={() => zoomBy(0.5, crosshair.peek(), 'step')} />
        <Step name={say('charts.later')} sign="m6 3 5 5-5 5" act={() => panBy(0.5)} off={past === null || span[1] >= now - 1000} />
        <GoTo />
        <CompareChoice />
        <Export csv={csv} png={png} />
        {children}
      </div>
      <p class="showing" data-past={past !== null} title={past === null ? say('charts.live_now') : say('charts.standing')}>
        {past === null ? (
          <span class="hint">{say('charts.hint')}</span>
        ) : (
          <>
            <strong>{say('charts.span', { from: clock(span[0], now), to: clock(span[1], now) })}</strong>{' '}
            <span class="wide">
              {spanText(widthOf(span) / 1000)} · {say('charts.standing')}
            </span>
          </>
        )}
      </p>
    </div>
  );
}

function LiveButton({ past }: { past: boolean }) {
  return (
    <button
      type="button"
      class="live-button"
      aria-pressed={!past}
      title={past ? say('charts.back') : say('charts.live_now')}
      onClick={backToLive}
    >
      <svg viewBox="0 0 16 16" aria-hidden="true">
        {past ? <path d="M3 3l6 5-6 5zM10.5 3H13v10h-2.5z" /> : <circle cx="8" cy="8" r="4.5" />}
      </svg>
      {say('charts.live')}
    </button>
  );
}

function Ranges() {
  const { range: chosen, past } = chartView.value;
  return (
    <fieldset class="ranges">
      <legend class="unseen">{say('charts.range')}</legend>
      {RANGES.map((range) => (
        <label key={range.name}>
          <input
            type="radio"
            name="range"
            value={range.name}
            checked={past === null && range.name === chosen}
            onClick={() => chooseRange(range.name)}
            onChange={() => chooseRange(range.name)}
          />
          <span>{range.label}</span>
        </label>
      ))}
    </fieldset>
  );
}

function Step({ name, sign, act, off = false }: { name: string; sign: string; act: () => void; off?: boolean }) {
  return (
    <button type="button" class="step" aria-label={name} title={name} disabled={off} onClick={act}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d={sign} />
      </svg>
    </button>
  );
}

/** A time as people type it; what is not understood is said beside the field. */
function GoTo() {
  const fault = useSignal('');
  const told = useId();
  const field = useRef<HTMLInputElement>(null);
  const go = (event: Event): void => {
    event.preventDefault();
    const text = field.current!.value;
    if (text.trim() === '') return;
    const at = present();
    const when = parseWhen(text, at);
    const from = when === null ? 0 : 'at' in when ? when.at : when.span[0];
    if (when === null) fault.value = say('charts.go_to_wrong', { text });
    else if (from > at) fault.value = say('charts.go_to_future');
    else {
      fault.value = '';
      if ('at' in when) goTo(when.at);
      else showSpan(within(when.span, at));
    }
  };
  return (
    <form class="go-to" onSubmit={go}>
      <input
        ref={field}
        type="text"
        aria-label={say('charts.go_to')}
        aria-describedby={told}
        aria-invalid={fault.value !== ''}
        placeholder={say('charts.go_to')}
        title={say('charts.go_to_hint')}
        autocomplete="off"
        spellcheck={false}
        onInput={() => (fault.value = '')}
      />
      <p id={told} class="fault" role="alert">
        {fault.value}
      </p>
    </form>
  );
}

function CompareChoice() {
  const { compare } = chartView.value;
  return (
    <label class="picker compare">
      <span class="unseen">{say('charts.compare')}</span>
      <select
        data-on={compare !== null}
        value={compare ?? ''}
        onChange={(event) => change({ compare: (event.currentTarget.value || null) as Compare | null })}
      >
        <option value="">{say('charts.compare_none')}</option>
        <option value="day">{say('charts.compare_day')}</option>
        <option value="week">{say('charts.compare_week')}</option>
      </select>
    </label>
  );
}

/** A menu that a click elsewhere, or Escape, puts away. */
function Export({ csv, png }: { csv: () => void; png: () => void }) {
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const away = (event: Event): void => {
      if (!menu.current!.contains(event.target as Node)) menu.current!.open = false;
    };
    document.addEventListener('pointerdown', away);
    return () => document.removeEventListener('pointerdown', away);
  }, []);
  const choose = (act: () => void) => () => {
    menu.current!.open = false;
    act();
  };
  return (
    <details
      ref={menu}
      class="menu"
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !menu.current!.open) return;
        menu.current!.open = false;
        menu.current!.querySelector('summary')?.focus();
        event.stopPropagation();
      }}
    >
      <summary>{say('charts.export')}</summary>
      <div>
        <button type="button" onClick={choose(csv)}>
          {say('charts.csv')}
        </button>
        <button type="button" onClick={choose(png)}>
          {say('charts.png')}
        </button>
      </div>
    </details>
  );
}
