// The fleet as a virtual table: only the rows in sight exist, ten thousand devices or ten. It scrolls with the
// page's main area, under a head that stays. One element has the focus and names the row it is on
// (`aria-activedescendant`), so that re-sorting never loses the reader's place.

import { Component, type ComponentChildren } from 'preact';
import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { fleet, link, seeds } from '../app';
import { beat } from '../beat';
import { deviceHash } from '../route';
import type { Cell, Row } from '../state/fleet';
import type { SortKey, View } from '../state/table';
import { span } from '../text/format';
import { say } from '../text/say';
import { Lamp, Measured, Quantity } from './instruments';
import { setView } from './overview';
import { NOWHERE, type TrendBox, TrendLayer } from './sparkline';

/** Rows kept ready above and below what is in sight. */
const SPARE_ROWS = 12;

/** Rows come and go by so many at once, so that most steps of a scroll change nothing. */
const STEP_ROWS = 6;

interface Sight {
  /** Height of a row, of what is above the first one, and of the scrolled area, in pixels. */
  row: number;
  top: number;
  height: number;
  /** The first row that exists. */
  first: number;
  /** Where the sparkline is in a row. */
  trend: TrendBox;
}

export function FleetTable({ view, rows, empty }: { view: View; rows: Row[]; empty: ComponentChildren }) {
  beat.value;
  const body = useRef<HTMLDivElement>(null);
  const sight = useSight(body);
  const active = useSignal<string | null>(null);
  const { first } = sight;
  const fit = Math.ceil(sight.height / sight.row) + 2 * SPARE_ROWS + STEP_ROWS;
  const shown = rows.slice(first, first + fit);
  const at = active.value === null ? -1 : rows.findIndex((row) => row.id === active.value);
  const newest = Math.floor((link.daemonNow() ?? 0) / fleet.window_ms);
  useEffect(() => seeds.want(shown));

  const go = (to: number): void => {
    const index = Math.min(rows.length - 1, Math.max(0, to));
    active.value = rows[index]?.id ?? null;
    reveal(sight, index);
    document.getElementById('fleet')?.focus();
  };
  const page = Math.max(1, Math.floor(sight.height / sight.row) - 3);
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (step !== undefined) go(at < 0 ? (step === Infinity ? Infinity : 0) : at + step);
    else if (event.key === 'Enter' && at >= 0 && event.target === event.currentTarget) location.hash = deviceHash(rows[at]!.id);
    else return;
    event.preventDefault();
  };

  return (
    <div
      id="fleet"
      class={`fleet ${view.metric === null ? '' : 'one-metric'}`}
      role="grid"
      tabIndex={0}
      aria-label={say('fleet.devices')}
      aria-rowcount={rows.length + 1}
      aria-activedescendant={at >= first && at < first + fit ? rowId(at) : undefined}
      onKeyDown={onKeyDown}
      onFocus={(event) => {
        if (event.target === event.currentTarget && at < 0 && rows.length > 0) active.value = rows[first]?.id ?? null;
      }}
    >
      <Head view={view} />
      {rows.length === 0 && (
        <div role="row" aria-rowindex={2}>
          <div role="gridcell">{empty}</div>
        </div>
      )}
      <div ref={body} class="rows" role="rowgroup" style={{ height: `${rows.length * sight.row}px` }}>
        {shown.map((row, i) => (
          <FleetRow
            key={row.id}
            row={row}
            view={view}
            index={first + i}
            top={(first + i) * sight.row}
            active={first + i === at}
            reachable={at < 0 ? i === 0 : first + i === at}
            now={link.daemonNow()}
          />
        ))}
        <TrendLayer rows={shown} row_px={sight.row} top_px={first * sight.row} box={sight.trend} newest={newest} />
        <div class="row probe" aria-hidden="true">
          <div class="state" />
          <div class="device" />
          <div class="trend" />
        </div>
      </div>
    </div>
  );
}

const rowId = (index: number): string => `row-${index}`;
const scroller = (): HTMLElement => document.getElementById('main')!;

function reveal(sight: Sight, index: number): void {
  const main = scroller();
  const head = document.querySelector<HTMLElement>('.fleet .head')?.offsetHeight ?? 0;
  const top = sight.top + index * sight.row;
  if (top - head < main.scrollTop) main.scrollTop = top - head;
  else if (top + sight.row > main.scrollTop + main.clientHeight) main.scrollTop = top + sight.row - main.clientHeight;
}

/**
 * What part of the table is in sight. Sizes are measured when something changes its size, never while scrolling:
 * asking for them then would make the browser lay out everything at each step.
 */
function useSight(body: { current: HTMLDivElement | null }): Sight {
  const sight = useSignal<Sight>({ row: 32, top: 0, height: 1000, first: 0, trend: NOWHERE });
  useLayoutEffect(() => {
    const main = scroller();
    const rows = body.current!;
    const probe = rows.querySelector<HTMLElement>('.probe')!;
    const trend = probe.querySelector<HTMLElement>('.trend')!;
    const measure = (): void => {
      const top = rows.getBoundingClientRect().top - main.getBoundingClientRect().top + main.scrollTop;
      const row = probe.getBoundingClientRect().height || 32;
      const { offsetLeft: left, offsetTop, offsetWidth: width, offsetHeight: height } = trend;
      const box = { left, top: offsetTop, width, height };
      sight.value = { row, top, height: main.clientHeight, first: firstOf(main.scrollTop, top, row), trend: box };
    };
    const scrolled = (): void => {
      const now = sight.peek();
      const first = firstOf(main.scrollTop, now.top, now.row);
      if (first !== now.first) sight.value = { ...now, first };
    };
    measure();
    const resized = new ResizeObserver(measure);
    for (const element of [main, probe, trend, ...main.querySelectorAll('.tiles, .toolbar')]) resized.observe(element);
    main.addEventListener('scroll', scrolled, { passive: true });
    return () => {
      resized.disconnect();
      main.removeEventListener('scroll', scrolled);
    };
  }, []);
  return sight.value;
}

function firstOf(scroll: number, top: number, row: number): number {
  const first = Math.floor((scroll - top) / row) - SPARE_ROWS;
  return Math.max(0, Math.floor(first / STEP_ROWS) * STEP_ROWS);
}

function Head({ view }: { view: View }) {
  const own = view.metric === null;
  return (
    <div class="row head" role="row" aria-rowindex={1}>
      <SortHead view={view} by="state" name={say('fleet.sort_state')} kind="state" />
      <SortHead view={view} by="device" name={say('fleet.sort_device')} kind="device" />
      <div role="columnheader" class="trend">
        {say('fleet.head_trend')}
      </div>
      <SortHead view={view} by="value" name={own ? say('fleet.head_first') : view.metric!} kind="m1 end" />
      {own && (
        <>
          <div role="columnheader" class="m2 end">
            {say('fleet.head_second')}
          </div>
          <div role="columnheader" class="m3 end">
            {say('fleet.head_third')}
          </div>
          <div role="columnheader" class="word">
            {say('fleet.head_words')}
          </div>
        </>
      )}
      <SortHead view={view} by="series" name={say('fleet.sort_series')} kind="series end" />
      <SortHead view={view} by="seen" name={say('fleet.sort_seen')} kind="seen end" />
    </div>
  );
}

function SortHead({ view, by, name, kind }: { view: View; by: SortKey; name: string; kind: string }) {
  const on = view.sort === by;
  const turn = (): void => setView({ ...view, sort: by, descending: on && !view.descending });
  return (
    <div role="columnheader" class={kind} aria-sort={on ? (view.descending ? 'descending' : 'ascending') : 'none'}>
      <button
        type="button"
        onClick={turn}
        onKeyDown={(event) => event.stopPropagation()}
        title={say('fleet.sort_by', { name: name.toLowerCase() })}
      >
        {name}
        <span class="arrow" aria-hidden="true">
          {on ? (view.descending ? '▼' : '▲') : '↕'}
        </span>
      </button>
    </div>
  );
}

interface RowProps {
  row: Row;
  view: View;
  index: number;
  top: number;
  active: boolean;
  /** Tab goes to the link of one row only. */
  reachable: boolean;
  now: number | null;
}

/** A row is made anew only when what it shows has changed: of those in sight most have not, most of the time. */
class FleetRow extends Component<RowProps> {
  private stamp = '';

  override shouldComponentUpdate(next: RowProps): boolean {
    return next.view !== this.props.view || next.row !== this.props.row || stampOf(next) !== this.stamp;
  }

  override render(props: RowProps) {
    this.stamp = stampOf(props);
    return <RowCells {...props} />;
  }
}

function ageText({ row, now }: RowProps): string {
  return span(row.lastSeen === null || now === null ? null : Math.max(0, (now - row.lastSeen) / 1000));
}

function stampOf(props: RowProps): string {
  return `${props.row.version} ${props.row.seriesCount} ${props.index} ${props.top} ${props.active} ${props.reachable} ${ageText(props)}`;
}

function RowCells(props: RowProps) {
  const { row, view, index, top, active, reachable } = props;
  const own = view.metric === null;
  const away = row.online === false;
  const main = row.main(view.metric);
  return (
    <div
      id={rowId(index)}
      class={`row ${active ? 'active' : ''} ${away ? 'away' : ''}`}
      role="row"
      aria-rowindex={index + 2}
      style={{ transform: `translateY(${top}px)` }}
      onClick={(event) => {
        if (!(event.target as HTMLElement).closest('a')) location.hash = deviceHash(row.id);
      }}
    >
      <div role="gridcell" class="state">
        <Lamp level={row.online === null ? 'off' : away ? 'bad' : 'well'} />
        <span class="said">{row.online === null ? say('devices.unknown') : away ? say('devices.offline') : say('devices.online')}</span>
      </div>
      <div role="gridcell" class="device">
        <a href={deviceHash(row.id)} tabIndex={reachable ? 0 : -1} title={row.id}>
          {row.id}
        </a>
      </div>
      <div role="gridcell" class="trend" />
      <Reading cell={main} kind="m1" named={own} />
      {own && <Reading cell={row.keys[1]} kind="m2" named />}
      {own && <Reading cell={row.keys[2]} kind="m3" named />}
      {own && <Reading cell={main === row.word ? null : row.word} kind="word" named />}
      <div role="gridcell" class="series end">
        <Quantity it={row.seriesCount} unit={null} digits={0} />
      </div>
      <div role="gridcell" class="seen end">
        <Measured text={ageText(props)} />
      </div>
    </div>
  );
}

/** A value with its metric's name before it, where the column holds different metrics. */
function Reading({ cell, kind, named }: { cell: Cell | null | undefined; kind: string; named: boolean }) {
  if (cell === null || cell === undefined) {
    return (
      <div role="gridcell" class={`reading ${kind}`}>
        <span class="unknown" title={say('common.nothing')}>
          –
        </span>
      </div>
    );
  }
  return (
    <div role="gridcell" class={`reading ${kind} ${cell.kind}`} title={`${cell.series}${cell.unit === null ? '' : `, ${cell.unit}`}`}>
      {named && <span class="name">{cell.series}</span>}
      <span class="value">
        <Quantity it={cell.value} unit={cell.unit} digits={cell.precision.shown} />
      </span>
    </div>
  );
}
