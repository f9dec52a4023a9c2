// What a panel shows: its title, and its text or its series, which are found by device and chosen by metric.

import { useSignal } from '@preact/signals';
import { useEffect, useId, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import * as api from '../link/api';
import { fits, unitName } from '../state/axes';
import { type Board, DEVICES_MAX, devicesOf, type Panel, refKey, SERIES_MAX, type SeriesRef } from '../state/board';
import type { Trace } from '../state/trace';
import { type MetricInfo, seriesName } from '../wire';
import { say } from '../text/say';

/** Devices that a search lists. */
const LISTED_MAX = 60;

interface EditorProps {
  panel: Panel;
  board: Board;
  /** What is known of the series that the board shows already. */
  traces: ReadonlyMap<string, Trace>;
  /** Null: it stays as it was. */
  done: (panel: Panel | null) => void;
}

export function PanelEditor({ panel, board, traces, done }: EditorProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const draft = useSignal<Panel>(panel);
  useLayoutEffect(() => {
    const shown = dialog.current!;
    shown.showModal();
    return () => shown.close();
  }, []);
  const it = draft.value;
  const name = { chart: 'charts.a_chart', value: 'charts.a_value', text: 'charts.a_text' } as const;
  return (
    <dialog
      ref={dialog}
      class="confirm panel-editor"
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        done(null);
      }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          done(it);
        }}
      >
        <h2 id={heading}>{say(name[it.kind])}</h2>
        <label class="field">
          <span>{say('charts.title')}</span>
          <input
            type="text"
            maxLength={120}
            value={it.title}
            placeholder={it.kind === 'text' ? '' : say('charts.title_hint')}
            onInput={(event) => (draft.value = { ...it, title: event.currentTarget.value })}
          />
        </label>
        {it.kind === 'text' ? (
          <label class="field">
            <span>{say('charts.text')}</span>
            <textarea
              rows={6}
              maxLength={4000}
              value={it.text}
              onInput={(event) => (draft.value = { ...it, text: event.currentTarget.value })}
            />
          </label>
        ) : (
          <SeriesChoice
            series={it.series}
            twoAxes={it.kind === 'chart'}
            others={{ ...board, panels: board.panels.filter((one) => one.id !== it.id) }}
            traces={traces}
            put={(series) => (draft.value = { ...it, series })}
          />
        )}
        <p class="answers">
          <button type="button" onClick={() => done(null)}>
            {say('common.cancel')}
          </button>
          <button type="submit" class="yes" disabled={it.kind !== 'text' && it.series.length === 0}>
            {say('charts.done')}
          </button>
        </p>
      </form>
    </dialog>
  );
}

interface ChoiceProps {
  series: readonly SeriesRef[];
  /** A chart has an axis for two units; values stand each for itself. */
  twoAxes: boolean;
  others: Board;
  traces: ReadonlyMap<string, Trace>;
  put: (series: SeriesRef[]) => void;
}

function SeriesChoice({ series, twoAxes, others, traces, put }: ChoiceProps) {
  const devices = useSignal<string[]>([]);
  const search = useSignal('');
  const device = useSignal(series[0]?.device ?? '');
  const metrics = useSignal<MetricInfo[]>([]);
  const fault = useSignal('');
  /** What was seen of series here, for their units. */
  const seen = useMemo(() => new Map<string, MetricInfo>(), []);

  useEffect(() => {
    api.devices().then(
      (all) => (devices.value = all.map((one) => one.id).sort(new Intl.Collator('en', { numeric: true }).compare)),
      () => (fault.value = say('charts.no_answer')),
    );
  }, []);
  useEffect(() => {
    metrics.value = [];
    const wanted = device.value;
    if (wanted === '') return;
    api.device(wanted).then(
      (told) => {
        if (device.peek() !== wanted) return;
        for (const one of told.metrics) seen.set(refKey(refOf(wanted, one)), one);
        metrics.value = told.metrics;
      },
      () => (fault.value = say('charts.no_answer')),
    );
  }, [device.value]);

  const chosen = new Set(series.map(refKey));
  /** Undefined: of no unit, because it is told in words. */
  const unitOf = (key: string): string | null | undefined => {
    const known = seen.get(key);
    if (known !== undefined) return known.type === 'text' ? undefined : known.unit;
    const trace = traces.get(key);
    return trace === undefined || trace.kind === 'text' ? undefined : trace.unit;
  };
  const choose = (one: MetricInfo): void => {
    const ref = refOf(device.value, one);
    const key = refKey(ref);
    fault.value = '';
    if (chosen.has(key)) {
      put(series.filter((other) => refKey(other) !== key));
      return;
    }
    const units = series.map((other) => unitOf(refKey(other))).filter((unit) => unit !== undefined);
    const all = new Set([...devicesOf(others.panels), ...series.map((other) => other.device), ref.device]);
    if (series.length >= SERIES_MAX) fault.value = say('charts.series_full', { max: SERIES_MAX });
    else if (all.size > DEVICES_MAX) fault.value = say('charts.devices_full', { max: DEVICES_MAX });
    else if (twoAxes && one.type !== 'text' && !fits(units, one.unit)) {
      const taken = [...new Set(units.map(unitName))].map((unit) => unit || say('charts.no_unit_short')).join(', ');
      fault.value = say('charts.axes_full', { units: taken, unit: one.unit ?? say('charts.no_unit_short') });
    } else put([...series, ref]);
  };

  const wanted = search.value.trim().toLowerCase();
  const found = wanted === '' ? devices.value : devices.value.filter((id) => id.toLowerCase().includes(wanted));
  return (
    <div class="series-choice">
      <div>
        <label class="field">
          <span>{say('charts.find_device')}</span>
          <input type="search" value={search.value} onInput={(event) => (search.value = event.currentTarget.value)} />
        </label>
        <p class="found" role="status">
          {say('charts.found_devices', { n: found.length })}
          {found.length > LISTED_MAX && `: ${say('charts.shown_of', { n: LISTED_MAX })}`}
        </p>
        <ul class="found-devices">
          {found.slice(0, LISTED_MAX).map((id) => (
            <li key={id}>
              <button type="button" aria-pressed={id === device.value} onClick={() => (device.value = id)}>
                {id}
              </button>
            </li>
          ))}
        </ul>
      </div>
      <fieldset class="found-metrics">
        <legend>{device.value === '' ? say('charts.choose_device') : say('charts.metrics_of', { device: device.value })}</legend>
        {metrics.value.map((one) => {
          const key = refKey(refOf(device.value, one));
          return (
            <label key={key}>
              <input type="checkbox" checked={chosen.has(key)} onChange={(event) => {
                choose(one);
                // What was refused is not shown as chosen.
                event.currentTarget.checked = chosen.has(key) ? false : fault.value === '';
              }} />
              <span>{seriesName(one.metric, one.tags)}</span>
              <span class="unit">{one.unit ?? ''}</span>
            </label>
          );
        })}
      </fieldset>
      <div class="chosen-series">
        <h3>{say('charts.chosen')}</h3>
        {series.length === 0 && <p class="unknown">{say('charts.nothing_chosen')}</p>}
        <ul>
          {series.map((ref) => {
            const name = `${ref.device} ${seriesName(ref.metric, ref.tags)}`;
            return (
              <li key={refKey(ref)}>
                <span>{name}</span>
                <button
                  type="button"
                  aria-label={say('charts.remove_series', { name })}
                  title={say('charts.remove_series', { name })}
                  onClick={() => put(series.filter((other) => other !== ref))}
                >
                  ✕
                </button>
              </li>
            );
          })}
        </ul>
      </div>
      <p class="fault" role="alert">
        {fault.value}
      </p>
    </div>
  );
}

const refOf = (device: string, one: MetricInfo): SeriesRef => ({ device, metric: one.metric, tags: one.tags ?? {} });
