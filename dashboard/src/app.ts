// What the page knows, put together once: the link, the fleet, the daemon's status, and which page is shown.

import { computed, effect, signal } from '@preact/signals';
import { startTicking, stir } from './beat';
import { lookWhoIsHere } from './link/access_api';
import { liveAddress, status as askStatus } from './link/api';
import { Link } from './link/link';
import { parseRoute, type Route } from './route';
import { Alerts } from './state/alerts';
import { AlertsFeed } from './state/alerts_feed';
import type { ChartFeed } from './state/chart_feed';
import { DeviceFeed } from './state/device_feed';
import { Fleet } from './state/fleet';
import { FleetFeed } from './state/fleet_feed';
import { pixelsOf } from './state/range';
import { admissions, hasScope, isOut, outOfReach, sameRights, standing } from './state/standing';
import { TrendSeeds } from './state/trend_seeds';
import type { Frame, Status } from './wire';
import type { Session } from './wire_access';

/** Seconds of the samples-per-second curve. */
const RATE_POINTS = 180;
/** How long a tab may be hidden before it lets the link go. */
const SLEEP_AFTER_MS = 60_000;
const STATUS_PATIENCE_MS = 1500;
const SESSION_PATIENCE_MS = 3000;

export const link = new Link(liveAddress(), everywhere);
export const fleet = new Fleet();
export const alerts = new Alerts();
export const alertsFeed = new AlertsFeed(alerts, stir);
export const status = signal<Status | null>(null);
let statusAt = 0;
/** How long ago the status came: what it says of the future has come nearer by that. */
export const statusAge_s = (): number => (performance.now() - statusAt) / 1000;
/** What the daemon told of being slow, by subscription; a new connection begins with none. */
const factors = new Map<number, number>();
/** So many times less often than they could be frames come; 1: all of them come. */
export const slowed = (): number =>
  Math.max(1, ...[...factors].map(([sub, factor]) => (link.has(sub) ? factor : 1)));
export const route = signal<Route>(parseRoute(location.hash));
/** The device page's feed, while there is such a page. */
export const deviceFeed = signal<DeviceFeed | null>(null);
/** The feeds of the board that is shown. */
export const boardFeeds = signal<readonly ChartFeed[]>([]);
/** Samples per second, one a second, oldest first. */
export const rates: number[] = [];
export const seeds = new TrendSeeds(fleet, () => link.daemonNow());

export let windows: readonly string[] = ['1s', '10s', '1m'];
let fleetFeedMade: FleetFeed | null = null;
export const fleetFeed = (): FleetFeed | null => fleetFeedMade;

/** True once it is known that whoever is here may look, or that there is no telling; nothing is asked for before. */
export const begun = signal(false);
const welcome = computed(() => {
  const now = standing.value;
  return now.kind === 'unknown' || (now.kind === 'in' && hasScope(now.session, 'view'));
});

export async function start(): Promise<void> {
  addEventListener('hashchange', () => (route.value = parseRoute(location.hash)));
  document.addEventListener('visibilitychange', onVisibility);
  // Somebody may have logged in meanwhile, in another tab.
  addEventListener('focus', () => isOut() && void lookWhoIsHere());
  startTicking();
  await Promise.race([lookWhoIsHere(), after(SESSION_PATIENCE_MS)]);
  await becomes(welcome);
  begun.value = true;
  await learnWindows();
  const window = windows.includes('10s') ? '10s' : (windows[0] ?? '1s');
  fleet.window_ms = widthOf(window);
  fleetFeedMade = new FleetFeed(fleet, link, window);
  link.start();
  alertsFeed.start();
  effect(() => show(route.value));
  effect(() => {
    if (link.state.value.kind !== 'live') factors.clear();
  });
  effect(() => {
    // A browser does not say why a WebSocket was refused; a question over HTTP does.
    if (link.state.value.kind === 'waiting') void askWhy();
  });
  watchStanding();
}

const after = (ms: number): Promise<null> => new Promise((resolve) => setTimeout(() => resolve(null), ms));

/** Resolves as soon as it is true. */
function becomes(it: { value: boolean }): Promise<void> {
  return new Promise((resolve) => {
    const stop = effect(() => {
      if (it.value) queueMicrotask(() => (stop(), resolve()));
    });
  });
}

/** The link is lost: because nobody is logged in any more, or the daemon is away, or only the link is. */
async function askWhy(): Promise<void> {
  await lookWhoIsHere();
  if (isOut()) return;
  await askStatus().then(learnStatus, () => undefined);
}

/** The page stays as it is while nobody is logged in, and goes on where it was when somebody is again. */
function watchStanding(): void {
  let last: Session | null = null;
  effect(() => {
    const now = standing.value;
    if (now.kind !== 'in') return;
    const before = last;
    last = now.session;
    // What is on the screen may not be for who is here now.
    if (before !== null && !sameRights(before, last)) location.reload();
  });
  effect(() => (isOut() ? link.bar() : link.unbar()));
  effect(() => {
    if (admissions.value === 0) return;
    for (const feed of [deviceFeed.peek(), ...boardFeeds.peek()]) feed?.mend();
    void alertsFeed.ask();
  });
}

/** The live windows are the operator's choice, so they are asked for before anything is subscribed to. */
async function learnWindows(): Promise<void> {
  const known = await Promise.race([askStatus().catch(() => null), after(STATUS_PATIENCE_MS)]);
  if (known === null) return;
  learnStatus(known);
  if (known.windows.length > 0) windows = known.windows;
}

export function learnStatus(known: Status): void {
  statusAt = performance.now();
  status.value = known;
}

let shownDevice = '';

function show(to: Route): void {
  const wanted = to.page === 'device' ? to.id : '';
  if (wanted !== '' && wanted === shownDevice) return;
  shownDevice = wanted;
  deviceFeed.peek()?.close();
  deviceFeed.value = null;
  if (to.page === 'fleet') {
    fleet.choose(to.view.metric);
    fleetFeedMade?.need(to.view.metric);
    fleetFeedMade?.open();
  } else if (to.page === 'device') {
    // The new subscription is asked for before the old one is let go, so that the link never has none.
    const feed = new DeviceFeed(to.id, windows, link, fleet.units);
    feed.open(to.view, pixelsOf(innerWidth / 2));
    fleetFeedMade?.close();
    alertsFeed.uncovered();
    deviceFeed.value = feed;
  } else {
    // The fleet goes on behind it, so that the link always has a subscription and the way back is short.
    fleetFeedMade?.open();
  }
  stir();
}

/** The frames that are about the daemon or alerts, whatever page is shown. `whole`: to a subscription to all devices. */
function everywhere(frame: Frame, whole: boolean): void {
  if (frame.type === 'status') {
    learnStatus(frame.data);
    // The daemon counts all alerts; who reaches some devices only is told of theirs.
    if (outOfReach() === null) alertsFeed.count(frame.data.alerts);
    if (frame.data.intake !== undefined) rates.push(frame.data.intake.samples_per_s);
    if (rates.length > RATE_POINTS) rates.shift();
  } else if (frame.type === 'degraded') {
    factors.set(frame.sub ?? 0, frame.data.factor);
  } else if (frame.type === 'alert') {
    alertsFeed.receive(frame, whole);
  }
  stir();
}

let sleepTimer = 0;

function onVisibility(): void {
  window.clearTimeout(sleepTimer);
  if (document.hidden) sleepTimer = window.setTimeout(() => link.sleep(), SLEEP_AFTER_MS);
  else link.wake();
}

/** `10s` → 10 000. */
function widthOf(window: string): number {
  const match = /^(\d+)(ms|s|m|h)$/.exec(window);
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? 's'] ?? 1000;
  return Number(match?.[1] ?? 1) * unit;
}
