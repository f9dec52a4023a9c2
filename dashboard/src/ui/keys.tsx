// For administrators: the keys that there are, and what was done by whom. Keys are made and ended by the command line,
// which can be trusted to show them once and to one person.

import { useSignal } from '@preact/signals';
import { beat } from '../beat';
import { keys as askKeys, trail as askTrail } from '../link/access_api';
import { link } from '../app';
import { UNKNOWN } from '../text/format';
import { isKey, type PlainKey, say } from '../text/say';
import type { Deed, Key } from '../wire_access';
import { Heads, shortClock } from './alerts';
import { Lamp } from './instruments';
import { Age, ageOf, Fault, useFeed, useKept, When } from './kit';
import { ISSUE } from './login';
import { Told } from './told';

const REVOKE = 'tidegate token revoke';
const KEYS_EVERY_MS = 10_000;
const TRAIL_EVERY_MS = 10_000;
const DEEDS = 25;

export function Keys() {
  beat.value;
  const feed = useFeed(askKeys, [], KEYS_EVERY_MS);
  const now = link.daemonNow() ?? Date.now();
  const list = feed?.value ?? null;
  return (
    <section class="card wide key-list" aria-labelledby="keys">
      <header>
        <h2 id="keys">{say('access.keys')}</h2>
        <Age age_s={ageOf(feed)} />
      </header>
      <p class="said">
        <Told it="access.keys_how" with={{ issue: <code>{ISSUE}</code>, revoke: <code>{REVOKE}</code> }} />
      </p>
      <Fault of={feed} />
      {list !== null && list.length === 0 && <p class="empty">{say('access.keys_none')}</p>}
      {list !== null && list.length > 0 && (
        <table class="grid" role="table">
          <caption class="unseen">{say('access.keys')}</caption>
          <thead role="rowgroup">
            <tr role="row">
              <Heads of={['access.key', 'common.state', 'access.scopes', 'access.devices', 'access.issued', 'access.last_used']} />
            </tr>
          </thead>
          <tbody role="rowgroup">
            {[...list].sort((a, b) => rank(a, now) - rank(b, now) || a.name.localeCompare(b.name)).map((key) => (
              <KeyRow key={key.id} of={key} now={now} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

type State = 'in_force' | 'expired' | 'revoked';

function stateOf({ expires_at, revoked_at }: Key, now: number): State {
  if (revoked_at !== null) return 'revoked';
  return expires_at !== null && expires_at <= now ? 'expired' : 'in_force';
}

const rank = (key: Key, now: number): number => Number(stateOf(key, now) !== 'in_force');

function KeyRow({ of, now }: { of: Key; now: number }) {
  const state = stateOf(of, now);
  const end = of.revoked_at ?? of.expires_at;
  return (
    <tr role="row" data-key={of.id} data-state={state}>
      <th role="rowheader" scope="row">
        {of.name} <small>{of.id}</small>
      </th>
      <td role="cell" data-name={say('common.state')}>
        <span class="lamped">
          <Lamp level={state === 'in_force' ? 'well' : 'off'} />
          {say(`access.${state}`)}
        </span>
        {end !== null && (
          <small>
            <Told it={state === 'in_force' ? 'access.ends' : 'access.ended_at'} with={{ when: <When at={end} /> }} />
          </small>
        )}
      </td>
      <td role="cell" data-name={say('access.scopes')}>{of.scopes.join(', ')}</td>
      <td role="cell" data-name={say('access.devices')}>{of.devices.join(', ')}</td>
      <td role="cell" data-name={say('access.issued')}>
        {shortClock(of.issued_at)} <small>{say('access.by', { name: of.by })}</small>
      </td>
      <td role="cell" data-name={say('access.last_used')}>
        {of.last_used_at === null ? say('access.never') : <When at={of.last_used_at} />}
      </td>
    </tr>
  );
}

export function Trail() {
  beat.value;
  const before = useSignal<number | null>(null);
  const feed = useFeed(() => askTrail(before.value, DEEDS), [before.value], TRAIL_EVERY_MS);
  const page = useKept(feed?.value ?? null, String(before.value));
  return (
    <section class="card wide trail-list" aria-labelledby="trail">
      <header>
        <h2 id="trail">{say('access.trail')}</h2>
        <Age age_s={ageOf(feed)} />
      </header>
      <p class="said">{say('access.trail_why')}</p>
      <Fault of={feed} />
      {page !== null && page.entries.length === 0 && <p class="empty">{say('access.trail_none')}</p>}
      {page !== null && page.entries.length > 0 && (
        <table class="grid" role="table">
          <caption class="unseen">{say('access.trail')}</caption>
          <thead role="rowgroup">
            <tr role="row">
              <Heads of={['access.when', 'access.who', 'access.what', 'access.from']} />
            </tr>
          </thead>
          <tbody role="rowgroup">
            {page.entries.map((deed) => (
              <tr key={deed.id} role="row" data-deed={deed.did}>
                <td role="cell">{shortClock(deed.at)}</td>
                <td role="cell">
                  <strong>{deed.by || UNKNOWN}</strong> <small>{howText(deed.how)}</small>
                </td>
                <td role="cell" class="reason">
                  <strong>{didText(deed)}</strong> {deed.what}
                </td>
                <td role="cell">{deed.address}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {page !== null && (before.value !== null || page.next !== null) && (
        <p class="paging">
          {before.value !== null && (
            <button type="button" class="small" onClick={() => (before.value = null)}>
              {say('access.newest')}
            </button>
          )}
          {page.next !== null && (
            <button type="button" class="small" onClick={() => (before.value = page.next)}>
              {say('access.older')}
            </button>
          )}
        </p>
      )}
    </section>
  );
}

/** In words where there are some: a later daemon may know more. */
function didText({ did }: Deed): string {
  const key = `access.did_${did.replaceAll('-', '_')}`;
  return isKey(key) ? say(key as PlainKey) : did;
}

export function howText(how: string): string {
  const key = `access.how_${how}`;
  return isKey(key) ? say(key as PlainKey) : how;
}
