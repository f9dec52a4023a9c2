// The page of one device: who it is, and all its series on one time span.

import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { deviceFeed, fleet, link } from '../app';
import { beat } from '../beat';
import { boardHash, DEFAULT_VIEW, deviceHash, fleetHash } from '../route';
import { defaultBoard, groupsOf } from '../state/board';
import type { DeviceFeed } from '../state/device_feed';
import { pixelsOf } from '../state/range';
import type { Span } from '../state/span';
import type { Trace } from '../state/trace';
import { spanAt } from '../state/view';
import { seriesName } from '../wire';
import { count, span, UNKNOWN } from '../text/format';
import { Commands } from './commands';
import { alertsAreKnown, DeviceAlerts } from './device_alerts';
import { DeviceFacts } from './device_facts';
import { say } from '../text/say';
import { saveNew } from './board_store';
import { Said } from './chart';
import { chartView, crosshair, spanNow } from './charting';
import { saveCsv, savePicture } from './export';
import { Lamp } from './instruments';
import { taking } from './kit';
import { Panel, useWide } from './panel';
import { TimeBar } from './time_bar';
import { useTitle } from './title';
import { lastFleetHash } from './whence';

export function Device({ id }: { id: string }) {
  beat.value;
  const feed = deviceFeed.value;
  const charts = useRef<HTMLDivElement>(null);
  useTitle(id);
  useEffect(() => {
    document.getElementById('main')?.scrollTo(0, 0);
    return () => (crosshair.value = null);
  }, [id]);
  const now = link.daemonNow() ?? Date.now();
  const shown = spanAt(chartView.value, now);
  return (
    <div class="device-page">
      <Heading id={id} feed={feed} now={now} />
      <TimeBar
        span={shown}
        now={now}
        csv={() => feed !== null && saveCsv(id, feed.ordered(), feed.bucket_ms, spanNow())}
        png={() => charts.current !== null && void savePicture(id, spanNow(), charts.current)}
      >
        <SaveAsBoard id={id} feed={feed} />
      </TimeBar>
      <DeviceAlerts id={id} />
      <div ref={charts}>
        {feed !== null && alertsAreKnown() && <Panels feed={feed} span={shown} now={now} />}
      </div>
      {/* What stands under the charts comes with them: nobody knows before how high they are. */}
      {feed !== null && feed.lookup !== 'asking' && alertsAreKnown() && (
        <div class="device-room">
          <DeviceFacts id={id} />
          <Commands id={id} />
        </div>
      )}
      <Said />
    </div>
  );
}

/** The charts that a device has by itself become a board that can be changed. */
function SaveAsBoard({ id, feed }: { id: string; feed: DeviceFeed | null }) {
  beat.value;
  const fault = useSignal('');
  const save = async (): Promise<void> => {
    if (feed === null) return;
    try {
      location.hash = boardHash(await saveNew(defaultBoard(id, described(feed.ordered()), chartView.peek().range)));
    } catch (error) {
      fault.value = say('charts.not_saved', { why: error instanceof Error ? error.message : String(error) });
    }
  };
  return (
    <>
      <button type="button" class="choice" disabled={feed === null || feed.traces.size === 0} onClick={() => void save()} {...taking('command', 'all')}>
        {say('charts.save_board')}
      </button>
      {fault.value !== '' && (
        <span class="fault" role="alert">
          {fault.value}
        </span>
      )}
    </>
  );
}

const described = (traces: readonly Trace[]) =>
  traces.map(({ metric, tags, kind, unit }) => ({
    metric,
    tags,
    type: kind === 'text' ? ('text' as const) : kind === 'bool' ? ('bool' as const) : ('float' as const),
    unit,
  }));

function Heading({ id, feed, now }: { id: string; feed: DeviceFeed | null; now: number }) {
  const info = feed?.info ?? null;
  const seen = Math.max(info?.last_seen ?? 0, feed?.heard ?? 0);
  const online = info?.online ?? null;
  const state = online === null ? say('devices.unknown') : online ? say('devices.online') : say('devices.offline');
  return (
    <header class="device-head">
      <a class="back" href={lastFleetHash()}>
        <span aria-hidden="true">‹</span> {say('common.fleet')}
      </a>
      <h1>{id}</h1>
      <p class="device-state">
        <Lamp level={online === null ? 'off' : online ? 'well' : 'bad'} />
        <strong>
          {link.lost_s() !== null && online !== null ? say('fleet.was', { state }) : state}
        </strong>
      </p>
      <dl class="facts">
        <Fact name={say('devices.last_seen')} text={seen === 0 ? UNKNOWN : say('common.ago', { span: span(Math.max(0, now - seen) / 1000) })} />
        <Fact name={say('devices.series')} text={count(info?.series ?? feed?.traces.size)} />
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
      <dd title={text === UNKNOWN ? say('common.unknown') : text}>{text}</dd>
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
  // The neighbour is shown at the same time: an incident seldom stays in one place.
  const view = { ...chartView.value, hidden: [] };
  return (
    <nav class="neighbours" aria-label={say('fleet.others')}>
      {before !== null && (
        <a href={deviceHash(before, view)} title={before}>
          <span aria-hidden="true">‹</span> {before}
        </a>
      )}
      {after !== null && (
        <a href={deviceHash(after, view)} title={after}>
          {after} <span aria-hidden="true">›</span>
        </a>
      )}
    </nav>
  );
}

/** The least width of a panel, in rem. */
const PANEL_REM = 27;

interface PanelsProps {
  feed: DeviceFeed;
  span: Span;
  now: number;
}

function Panels({ feed, span, now }: PanelsProps) {
  const grid = useRef<HTMLDivElement>(null);
  const fit = useSignal(1);
  const pixels = useSignal(0);
  const view = chartView.value;
  useLayoutEffect(() => {
    const measure = (): void => {
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
      const width = grid.current?.clientWidth ?? 0;
      fit.value = Math.max(1, Math.floor(width / (PANEL_REM * rem)));
      pixels.value = pixelsOf(width / fit.value);
    };
    measure();
    const resized = new ResizeObserver(measure);
    resized.observe(grid.current!);
    return () => resized.disconnect();
  }, []);
  useEffect(() => {
    if (pixels.value > 0) feed.look(view, pixels.value);
  }, [feed, view, pixels.value]);
  return (
    <div ref={grid}>
      <Shown feed={feed} span={span} now={now} fit={fit.value} />
    </div>
  );
}

function Shown({ feed, span, now, fit }: PanelsProps & { fit: number }) {
  const traces = feed.ordered();
  if (feed.refusal !== null) return <p class="empty">{say('charts.refused', { why: feed.refusal })}</p>;
  if (traces.length === 0) {
    if (feed.lookup === 'asking') return <p class="empty">{say('charts.asking_series')}</p>;
    return (
      <p class="empty">
        {say('charts.no_device', { id: feed.id })} <a href={fleetHash(DEFAULT_VIEW)}>{say('charts.to_fleet')}</a>
      </p>
    );
  }
  const byName = new Map(traces.map((trace) => [trace.name, trace]));
  const groups = groupsOf(described(traces)).map((group) => ({
    ...group,
    traces: group.metrics.map((one) => byName.get(seriesName(one.metric, one.tags))!),
  }));
  const draw = ({ title, traces: some }: (typeof groups)[number]) => (
    <DevicePanel key={some[0]!.key} title={some.length > 1 ? title : ''} traces={some} feed={feed} span={span} now={now} />
  );
  const states = groups.filter((group) => group.states);
  const lines = groups.filter((group) => !group.states);
  // No more columns than fill the last row too: no panel stands alone under four others.
  const columns = (panels: number) => {
    const fill = Math.ceil(panels / Math.ceil(panels / fit));
    return { gridTemplateColumns: `repeat(${fill}, minmax(0, 1fr))` };
  };
  return (
    <>
      {states.length > 0 && (
        <div class="panels states" style={columns(states.length)}>
          {states.map(draw)}
        </div>
      )}
      {lines.length > 0 && (
        <div class={`panels lines ${lines.length <= 2 * fit ? 'few' : ''}`} style={columns(lines.length)}>
          {lines.map(draw)}
        </div>
      )}
    </>
  );
}

function DevicePanel({ title, traces, feed, span, now }: PanelsProps & { title: string; traces: Trace[] }) {
  beat.value;
  const { wide, button } = useWide(title === '' ? traces[0]!.name : title);
  return (
    <div class={`cell ${wide ? 'wide' : ''}`}>
      <Panel
        title={title}
        traces={traces}
        span={span}
        bucket_ms={feed.bucket_ms}
        now={now}
        retry={() => feed.retry()}
        tools={button}
      />
    </div>
  );
}
