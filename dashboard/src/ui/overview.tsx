// The overview: tiles that sum the fleet up, a toolbar that narrows it down, and the table.

import type { ComponentChildren, RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { fleet, fleetFeed, link, rates, status } from '../app';
import { beat } from '../beat';
import { DEFAULT_VIEW, fleetHash } from '../route';
import { count, span, UNKNOWN } from '../text/format';
import { say } from '../text/say';
import { select, type SortKey, type View } from '../state/table';
import { theme } from '../theme';
import type { Row } from '../state/fleet';
import { FleetTable } from './fleet_table';
import { Brokers } from './brokers';
import { Flow } from './flow';
import { Lamp } from './instruments';
import { drawCurve } from './sparkline';
import { useTitle } from './title';

/** Values move all the time; rows that jump four times a second cannot be read. */
const RESORT_MS = 3000;

/** Changes the view in the address without a step in the browser's history for each letter typed. */
export function setView(view: View): void {
  history.replaceState(null, '', fleetHash(view));
  dispatchEvent(new HashChangeEvent('hashchange'));
}

export function Overview({ view }: { view: View }) {
  beat.value;
  const search = useRef<HTMLInputElement>(null);
  useTitle(say('fleet.title'));
  useEffect(() => {
    const focus = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      if (event.key !== '/' || event.ctrlKey || event.metaKey || /INPUT|SELECT|TEXTAREA/.test(target.tagName)) return;
      event.preventDefault();
      search.current?.select();
    };
    addEventListener('keydown', focus);
    return () => removeEventListener('keydown', focus);
  }, []);
  const rows = useRows(view);
  return (
    <div class="overview">
      <h1 class="unseen">{say('fleet.title')}</h1>
      <Tiles />
      <Flow />
      <Brokers />
      <Toolbar view={view} search={search} shown={rows.length} />
      <FleetTable view={view} rows={rows} empty={<Empty view={view} />} />
    </div>
  );
}

/** Selects and sorts anew when the view or the fleet's membership changes, and now and then for moving values. */
function useRows(view: View): Row[] {
  const kept = useRef<{ view: View; membership: number; at: number; rows: Row[] } | null>(null);
  const now = performance.now();
  const last = kept.current;
  const moving = view.sort === 'value' || view.sort === 'seen';
  const due = last !== null && now - last.at > RESORT_MS && moving;
  if (last === null || last.view !== view || last.membership !== fleet.membership || due) {
    fleet.rank();
    kept.current = { view, membership: fleet.membership, at: now, rows: select(fleet.rows.values(), view) };
  }
  return kept.current!.rows;
}

const MISSING = fleetHash({ ...DEFAULT_VIEW, offlineOnly: true, sort: 'seen', descending: true });

function Tiles() {
  let online = 0;
  let offline = 0;
  let series = 0;
  let oldest: Row | null = null;
  for (const row of fleet.rows.values()) {
    series += row.seriesCount ?? 0;
    if (row.online === true) online += 1;
    if (row.online !== false) continue;
    offline += 1;
    if (oldest === null || (row.lastSeen ?? Infinity) < (oldest.lastSeen ?? Infinity)) oldest = row;
  }
  const known = fleet.rows.size > 0;
  const now = status.value;
  const time = link.daemonNow();
  const silent = oldest?.lastSeen != null && time !== null ? span((time - oldest.lastSeen) / 1000) : null;
  return (
    <section class="tiles" aria-label={say('fleet.summary')}>
      <Tile name={say('fleet.online')} figure={known ? count(online) : null} unit={say('fleet.of_devices', { n: fleet.rows.size })}>
        <span class="share">
          <span style={{ width: `${known ? (online / fleet.rows.size) * 100 : 0}%` }} />
        </span>
      </Tile>
      <Tile
        name={say('fleet.offline')}
        figure={known ? count(offline) : null}
        unit={offline === 1 ? say('fleet.unit_device') : say('fleet.unit_devices')}
        level={offline > 0 ? 'watch' : 'well'}
      >
        <span class="note">{known && offline === 0 ? say('fleet.none_missing') : silent !== null && say('fleet.longest', { span: silent })}</span>
        {offline > 0 && <a class="cover" href={MISSING} aria-label={say('fleet.show_offline')} />}
      </Tile>
      <Tile name={say('fleet.series')} figure={now === null ? null : count(now.live.series ?? series)} unit={say('fleet.live')}>
        {(now === null || now.live.late_samples !== undefined) && (
          <span class="note">{say('fleet.late', { n: now?.live.late_samples ?? UNKNOWN })}</span>
        )}
      </Tile>
      {(now === null || now.intake !== undefined) && (
        <Tile name={say('fleet.intake')} figure={now === null ? null : count(Math.round(now.intake!.samples_per_s))} unit={say('fleet.samples_s')}>
          <RateCurve />
        </Tile>
      )}
    </section>
  );
}

interface TileProps {
  name: string;
  figure: string | null;
  unit: string;
  level?: 'well' | 'watch';
  children: ComponentChildren;
}

function Tile({ name, figure, unit, level, children }: TileProps) {
  return (
    <div class="tile">
      <h2>
        {level === 'watch' && <Lamp level="watch" />}
        {name}
      </h2>
      <p>
        {figure === null ? (
          <span class="unknown" title={say('common.not_known_yet')}>–</span>
        ) : (
          <span class="figure">{figure}</span>
        )}
        <span class="unit">{unit}</span>
      </p>
      {children}
    </div>
  );
}

/** The least number of seconds that the curve of samples per second is spread over. */
const RATE_SECONDS_MIN = 30;

/** Samples per second of the last three minutes, from zero: a dip must look like a dip. */
function RateCurve() {
  beat.value;
  const canvas = useRef<HTMLCanvasElement>(null);
  const colours = theme.value;
  useEffect(() => {
    if (canvas.current === null) return;
    const top = Math.max(1, ...rates) * 1.1;
    const values = [...Array<number>(Math.max(0, RATE_SECONDS_MIN - rates.length)).fill(NaN), ...rates];
    drawCurve(canvas.current, values, { stroke: colours.tide, fill: colours.band, join: 1, scale: [0, top] });
  });
  return (
    <div class="rate" aria-hidden="true">
      <canvas ref={canvas} />
    </div>
  );
}

const SORTS: readonly SortKey[] = ['device', 'state', 'value', 'series', 'seen'];

interface ToolbarProps {
  view: View;
  search: RefObject<HTMLInputElement | null>;
  shown: number;
}

function Toolbar({ view, search, shown }: ToolbarProps) {
  const metrics = [...fleet.metrics].sort();
  if (view.metric !== null && !fleet.metrics.has(view.metric)) metrics.unshift(view.metric);
  const total = fleet.rows.size;
  return (
    <div class="toolbar" role="search">
      <label class="search">
        <span class="unseen">{say('fleet.find_label')}</span>
        <input
          ref={search}
          type="search"
          placeholder={say('fleet.find')}
          value={view.search}
          onInput={(event) => setView({ ...view, search: event.currentTarget.value })}
          onKeyDown={(event) => {
            if (event.key === 'Escape') event.currentTarget.blur();
            if (event.key === 'ArrowDown') document.getElementById('fleet')?.focus();
          }}
        />
        <kbd aria-hidden="true">/</kbd>
      </label>
      <button
        type="button"
        class="choice"
        aria-pressed={view.offlineOnly}
        onClick={() => setView({ ...view, offlineOnly: !view.offlineOnly })}
      >
        {say('fleet.offline_only')}
      </button>
      <label class="picker">
        <span>{say('fleet.metric')}</span>
        <select
          value={view.metric ?? ''}
          onChange={(event) => setView({ ...view, metric: event.currentTarget.value || null })}
        >
          <option value="">{say('fleet.own_metric')}</option>
          {metrics.map((metric) => (
            <option key={metric} value={metric}>
              {metric}
            </option>
          ))}
        </select>
      </label>
      <label class="picker sorter">
        <span>{say('fleet.sort')}</span>
        <select
          value={(view.descending ? '-' : '') + view.sort}
          onChange={(event) => {
            const text = event.currentTarget.value;
            setView({ ...view, sort: text.replace('-', '') as SortKey, descending: text.startsWith('-') });
          }}
        >
          {SORTS.flatMap((key) => [
            <option key={key} value={key}>
              {say('fleet.ascending', { name: say(`fleet.sort_${key}`) })}
            </option>,
            <option key={`-${key}`} value={`-${key}`}>
              {say('fleet.descending', { name: say(`fleet.sort_${key}`) })}
            </option>,
          ])}
        </select>
      </label>
      <Newcomers />
      <p class="shown" aria-live="polite">
        {shown === total ? say('common.devices', { n: total }) : say('fleet.shown_of', { shown, n: total })}
      </p>
    </div>
  );
}

/** How many devices nobody has accepted yet. */
function Newcomers() {
  let n = 0;
  for (const row of fleet.rows.values()) if (!row.known) n += 1;
  if (n === 0) return null;
  return (
    <a class="badge watch" href="#/inbox" data-badge="inbox">
      <Lamp level="watch" />
      {say('devices.inbox_badge', { n })}
    </a>
  );
}

function Empty({ view }: { view: View }) {
  const feed = fleetFeed();
  if (feed?.refusal != null) return <p class="empty">{say('fleet.refused', { why: feed.refusal })}</p>;
  if (fleet.rows.size > 0) {
    return (
      <p class="empty">
        {say('fleet.no_fit')}{' '}
        <button type="button" onClick={() => setView({ ...view, search: '', offlineOnly: false, metric: null })}>
          {say('fleet.show_all', { n: fleet.rows.size })}
        </button>
      </p>
    );
  }
  if (feed?.filled !== true) return <p class="empty">{say('fleet.waiting')}</p>;
  return <p class="empty">{say('fleet.nobody')}</p>;
}
