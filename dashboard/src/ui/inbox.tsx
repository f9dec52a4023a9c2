// Devices that were never seen before, until somebody accepts them.

import { useSignal } from '@preact/signals';
import { link } from '../app';
import { beat } from '../beat';
import { accept, newcomers } from '../link/devices_api';
import { DEFAULT_VIEW, deviceHash, fleetHash } from '../route';
import { count, UNKNOWN } from '../text/format';
import { say } from '../text/say';
import type { DeviceInfo } from '../wire';
import { Heads, Tick } from './alerts';
import { Lamp } from './instruments';
import { ageOf, Fault, OutcomeLine, PageHead, ReadOnly, taking, useFeed, useOrder, When } from './kit';

const EVERY_MS = 5000;
/** Rows that are drawn before somebody asks for more. */
const ROWS = 200;
/** Devices that one order may name. */
const IDS_MAX = 1000;

export function Inbox() {
  beat.value;
  const feed = useFeed(newcomers, [], EVERY_MS);
  const chosen = useSignal<ReadonlySet<string>>(new Set());
  const rows = useSignal(ROWS);
  const { busy, outcome, give } = useOrder();
  const all = [...(feed?.value ?? [])].sort((a, b) => b.first_seen - a.first_seen);
  const picked = all.filter(({ id }) => chosen.value.has(id));
  const which = (picked.length > 0 ? picked : all).map(({ id }) => id);
  const take = (ids: readonly string[]): void =>
    void give(async () => {
      for (let at = 0; at < ids.length; at += IDS_MAX) await accept(ids.slice(at, at + IDS_MAX));
      chosen.value = new Set();
      await feed?.again();
      return say('devices.accepted', { n: ids.length });
    });
  const choose = (ids: readonly string[], on: boolean): void => {
    const next = new Set(chosen.value);
    for (const id of ids) on ? next.add(id) : next.delete(id);
    chosen.value = next;
  };
  return (
    <div class="inbox">
      <PageHead title={say('devices.inbox')} age_s={ageOf(feed)} back={{ href: fleetHash(DEFAULT_VIEW), text: say('common.fleet') }} />
      <Fault of={feed} />
      <div class="toolbar">
        <p class="said">{say('devices.inbox_means')}</p>
        {all.length > 0 && (
          <button type="button" class="act" aria-disabled={busy} onClick={() => take(which)} {...taking('command')}>
            {say('devices.accept_n', { n: which.length })}
          </button>
        )}
      </div>
      <ReadOnly scope="command" />
      <OutcomeLine of={outcome} />
      {feed?.value != null && all.length === 0 && <p class="empty">{say('devices.inbox_none')}</p>}
      {all.length > 0 && (
        <table class="grid newcomers" role="table">
          <caption class="unseen">{say('devices.inbox')}</caption>
          <thead role="rowgroup">
            <tr role="row">
              <th role="columnheader" class="choose">
                <Tick
                  label={say('common.choose_all')}
                  on={picked.length === all.length}
                  some={picked.length > 0}
                  set={(on) => choose(all.map(({ id }) => id), on)}
                />
              </th>
              <Heads of={['common.device', 'common.state', 'devices.first_seen', 'devices.client', 'devices.protocol', 'devices.series']} />
              <td role="cell" />
            </tr>
          </thead>
          <tbody role="rowgroup">
            {all.slice(0, rows.value).map((device) => (
              <Row key={device.id} device={device} on={chosen.value.has(device.id)} choose={choose} take={() => take([device.id])} />
            ))}
          </tbody>
        </table>
      )}
      {all.length > rows.value && (
        <p class="more">
          <button type="button" onClick={() => (rows.value += ROWS)}>
            {say('common.more', { n: Math.min(ROWS, all.length - rows.value) })}
          </button>
        </p>
      )}
    </div>
  );
}

interface RowProps {
  device: DeviceInfo;
  on: boolean;
  choose: (ids: string[], on: boolean) => void;
  take: () => void;
}

function Row({ device, on, choose, take }: RowProps) {
  const now = link.daemonNow() ?? Date.now();
  return (
    <tr role="row" data-newcomer={device.id} class={on ? 'chosen' : ''}>
      <td role="cell" class="choose">
        <Tick label={say('common.choose', { name: device.id })} on={on} set={(wanted) => choose([device.id], wanted)} />
      </td>
      <td role="cell" class="what">
        <a href={deviceHash(device.id)}>{device.id}</a>
        <small>
          {Object.entries(device.labels ?? {})
            .map(([key, text]) => `${key}=${text}`)
            .join(', ')}
        </small>
      </td>
      <td role="cell">
        <span class="lamped">
          <Lamp level={device.online ? 'well' : 'bad'} />
          {device.online ? say('devices.online') : say('devices.offline')}
        </span>
      </td>
      <td role="cell" data-name={say('devices.first_seen')}>
        <When at={Math.min(device.first_seen, now)} />
      </td>
      <td role="cell" data-name={say('devices.client')}>{device.client ?? UNKNOWN}</td>
      <td role="cell" data-name={say('devices.protocol')}>{device.protocol ?? UNKNOWN}</td>
      <td role="cell" data-name={say('devices.series')}>{count(device.series)}</td>
      <td role="cell" class="end">
        <button type="button" class="small" aria-label={say('devices.accept_this', { name: device.id })} onClick={take} {...taking('command')}>
          {say('devices.accept')}
        </button>
      </td>
    </tr>
  );
}
