// What is known of a device, in words. Pure.

import type { DeviceInfo } from '../wire';
import type { Clock, CommandState } from '../wire_devices';
import type { Level } from '../state/verdict';
import { grouped, span } from './format';
import { say } from './say';

/** The newer of what live told and what was asked for; each knows what the other does not. */
export function newest(asked: DeviceInfo | null, live: DeviceInfo | null): DeviceInfo | null {
  if (asked === null || live === null) return asked ?? live;
  const liveIsNewer = (live.since ?? 0) >= (asked.since ?? 0) && live.last_seen >= asked.last_seen;
  const { online, last_seen } = liveIsNewer ? live : asked;
  const reason = (liveIsNewer ? live.reason : asked.reason) ?? null;
  return { ...live, ...asked, online, last_seen: Math.max(last_seen, live.last_seen, asked.last_seen), reason };
}

/** Offsets below this are not worth a number. */
const SAME_MS = 50;

export function clockText(clock: Clock): string {
  if (clock.state === 'unknown') return say('devices.clock_unknown');
  const size = Math.abs(clock.offset_ms);
  if (size < SAME_MS) return say('devices.clock_same');
  return clock.offset_ms > 0 ? say('devices.clock_ahead', { span: fine(size) }) : say('devices.clock_behind', { span: fine(size) });
}

/** Milliseconds where they matter. */
export function fine(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 10_000 ? `${grouped(1).format(ms / 1000)} s` : span(ms / 1000);
}

export const CLOCK_LEVELS: Record<Clock['state'], Level | 'off'> = { ok: 'well', off: 'watch', unknown: 'off' };

export const COMMAND_LEVELS: Record<CommandState, Level | 'off'> = {
  queued: 'off',
  sent: 'off',
  acknowledged: 'well',
  failed: 'bad',
  expired: 'watch',
  cancelled: 'off',
};

/** Something may still come of it. */
export const isOpen = (state: CommandState): boolean => state === 'queued' || state === 'sent';
