// The page of one device: who it is, and all its series on one time span.

import type { ComponentChild } from 'preact';
import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { deviceFeed, fleet, link } from '../app';
import { beat } from '../beat';
import { DEFAULT_VIEW, deviceHash, fleetHash } from '../route';
import type { DeviceFeed } from '../state/device_feed';
import { type Range, RANGES, rangeNamed } from '../state/range';
import type { Trace } from '../state/trace';
import { clock, count, span, UNKNOWN } from '../text/format';
import { Commands } from './commands';
import { DeviceAlerts } from './device_alerts';
import { DeviceFacts } from './device_facts';
import { Lamp } from './instruments';
import { Panel } from './panel';
import { crosshair, zoom } from './plot';
import { lastFleetHash } from './whence';

export function Device({ id, range: name }: { id: string; range: string }) {
  beat.value;
  const range = rangeNamed(name);
  const feed = deviceFeed.value;
  useEffect(() => {
    document.title = `${id} – Tidegate`;
    document.getElementById('main')?.scrollTo(0, 0);
  }, [id]);
  useEffect(() => {
    zoom.value = null;
    crosshair.value = null;
  }, [id, name]);
  const now = link.daemonNow() ?? Date.now();
  return (
    <div class="device-page">
      <Heading id={id} feed={feed} now={now} />
      <div class="device-tools">
        <RangeChoice id={id} chosen={range} />
        {zoom.value !== null && (
          <button type="button" class="choice" aria-pressed="true" onClick={() => (zoom.value = null)}>
            {clock(zoom.value[0], now)} to {clock(zoom.value[1], now)} – show all
          </button>
        )}
      </div>
      <DeviceAlerts id={id} />
      {feed !== null && <Panels feed={feed} range={range} now={now} />}
      <div class="device-room">
        <DeviceFacts id={id} />
        <Commands id={id} />
      </div>
    </div>
  );
}

function Heading({ id, feed, now }: { id: string; feed: DeviceFeed | null; now: number }) {
  const info = feed?.info ?? null;
  const seen = Math.max(info?.last_seen ?? 0, feed?.heard ?? 0);
  const online = info?.online ?? null;
  return (
    <header class="device-head">
      <a class="back" href={lastFleetHash()}>
        <span aria-hidden="true">‹</span> Fleet
      </a>
      <h1>{id}</h1>
      <p class="device-state">
        <Lamp level={online === null ? 'off' : online ? 'well' : 'bad'} />
        <strong>
          {link.lost_s() !== null && online !== null && 'was '}
          {online === null ? 'unknown' : online ? 'online' : 'offline'}
        </strong>
      </p>
      <dl class="facts">
        <Fact name="Last seen" text={seen === 0 ? UNKNOWN : `${span(Math.max(0, now - seen) / 1000)} ago`} />
        <Fact name="First seen" text={info === null ? UNKNOWN : clock(info.first_seen, now)} />
        <Fact name="Series" text={count(info?.series ?? feed?.traces.size)} />
        {info?.software != null && info.software !== '' && <Fact name="Software" text={info.software} />}
        {Object.entries(info?.labels ?? {}).map(([key, text]) => (
          <Fact key={key} name={key} text={text} />
        ))}
      </dl>
      <Neighbours id={id} />
    </header>
  );
}

function Fact({ name, text }: { name: string; text: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd title={text === UNKNOWN ? 'not known' : text}>{text}</dd>
    </div>
  );
}

/** The devices before and after this one, by natural order, as far as the fleet is known. */
function Neighbours({ id }: { id: string }) {
  fleet.rank();
  const here = fleet.rows.get(id);
  if (here === undefined || fleet.rows.size < 2) return null;
  let before: string | null = null;
  let after: string | null = null;
  for (const row of fleet.rows.values()) {
    if (row.rank === here.rank - 1) before = row.id;
    if (row.rank === here.rank + 1) after = row.id;
  }
  const range = new URLSearchParams(location.hash.split('?')[1]).get('range') ?? undefined;
  return (
    <nav class="neighbours" aria-label="Other devices">
      {before !== null && (
        <a href={deviceHash(before, range)} title={before}>
          <span aria-hidden="true">‹</span> {before}
        </a>
      )}
      {after !== null && (
        <a href={deviceHash(after, range)} title={after}>
          {after} <span aria-hidden="true">›</span>
        </a>
      )}
    </nav>
  );
}

function RangeChoice({ id, chosen }: { id: string; chosen: Range }) {
  return (
    <fieldset class="ranges">
      <legend class="unseen">Time range</legend>
      {RANGES.map((range) => (
        <label key={range.name}>
          <input
            type="radio"
            name="range"
            value={range.name}
            checked={range.name === chosen.name}
            onChange={() => location.replace(deviceHash(id, range.name))}
          />
          <span>{range.label}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** The least width of a panel, in rem. */
const PANEL_REM = 27;

/** As many columns as fit, but no more than fill the last row too: no panel stands alone under four others. */
function Grid({ kind, panels }: { kind: string; panels: ComponentChild[] }) {
  const grid = useRef<HTMLDivElement>(null);
  const fit = useSignal(1);
  useLayoutEffect(() => {
    const measure = (): void => {
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
      fit.value = Math.max(1, Math.floor(grid.current!.clientWidth / (PANEL_REM * rem)));
    };
    measure();
    const resized = new ResizeObserver(measure);
    resized.observe(grid.current!);
    return () => resized.disconnect();
  }, []);
  const columns = Math.ceil(panels.length / Math.ceil(panels.length / fit.value));
  return (
    <div ref={grid} class={`panels ${kind}`} style={{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}>
      {panels}
    </div>
  );
}

function Panels({ feed, range, now }: { feed: DeviceFeed; range: Range; now: number }) {
  const traces = feed.ordered();
  if (feed.refusal !== null) return <p class="empty">The daemon refuses this view: {feed.refusal}.</p>;
  if (traces.length === 0) {
    if (feed.lookup === 'asking') return <p class="empty">Asking for its series…</p>;
    return (
      <p class="empty">
        No device “{feed.id}” has ever been seen here. <a href={fleetHash(DEFAULT_VIEW)}>To the fleet</a>
      </p>
    );
  }
  const draw = (trace: Trace) => (
    <Panel key={trace.name} trace={trace} range={range} now={now} retry={() => feed.retry()} />
  );
  const lines = traces.filter((trace) => trace.kind === 'number');
  const states = traces.filter((trace) => trace.kind !== 'number');
  return (
    <>
      {states.length > 0 && <Grid kind="states" panels={states.map(draw)} />}
      {lines.length > 0 && <Grid kind="lines" panels={lines.map(draw)} />}
    </>
  );
}
