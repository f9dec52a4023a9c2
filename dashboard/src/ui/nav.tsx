// The way to every page. On a phone it is one line that can be pushed sideways.

import { useEffect, useRef } from 'preact/hooks';
import { alerts, route } from '../app';
import { beat } from '../beat';
import { alertsHash, deadLettersHash, DEFAULT_VIEW, fleetHash, notUnderstoodHash, type Route, WHOLE } from '../route';
import { outOfReach } from '../state/standing';
import { count } from '../text/format';
import { type PlainKey, say } from '../text/say';
import { Lamp } from './instruments';

interface Entry {
  name: PlainKey;
  href: string;
  /** The pages that it stands for. */
  pages: readonly Route['page'][];
}

const ENTRIES: readonly Entry[] = [
  { name: 'page.overview', href: fleetHash(DEFAULT_VIEW), pages: ['fleet', 'device', 'inbox'] },
  { name: 'page.boards', href: '#/boards', pages: ['boards', 'board'] },
  { name: 'page.alerts', href: alertsHash(), pages: ['alerts', 'alert-history', 'alert', 'rules', 'silences', 'notifications'] },
  { name: 'page.pipeline', href: '#/pipeline', pages: ['pipeline'] },
  { name: 'page.dead_letters', href: deadLettersHash(), pages: ['dead-letters', 'dead-letter'] },
  { name: 'page.not_understood', href: notUnderstoodHash(), pages: ['not-understood', 'message'] },
  { name: 'page.settings', href: '#/settings', pages: ['settings'] },
];

export function Nav() {
  const shown: Route['page'] = route.value.page;
  const bar = useRef<HTMLElement>(null);
  useEffect(() => {
    bar.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [shown]);
  return (
    <nav ref={bar} class="nav" aria-label={say('page.nav')}>
      {ENTRIES.filter(({ pages }) => outOfReach() === null || !pages.every((page) => WHOLE.has(page))).map(({ name, href, pages }) => (
        <a key={name} href={href} {...(pages.includes(shown) ? { 'aria-current': 'page' } : {})}>
          {say(name)}
          {name === 'page.alerts' && <AlertsBadge />}
        </a>
      ))}
    </nav>
  );
}

/** How many alerts fire; that some of them are critical is told by the lamp's shape and to readers in words. */
function AlertsBadge() {
  beat.value;
  const { firing, critical } = alerts.badge();
  if (firing === 0) return null;
  return (
    <span class={`badge ${critical > 0 ? 'bad' : 'watch'}`} data-badge="alerts">
      <Lamp level={critical > 0 ? 'bad' : 'watch'} />
      <span aria-hidden="true">{count(firing)}</span>
      <span class="unseen">
        {critical > 0 ? say('page.badge', { n: firing, critical }) : say('page.badge_calm', { n: firing })}
      </span>
    </span>
  );
}
