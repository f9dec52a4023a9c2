// The frame of every page: the strip on top, the navigation and what has to be said loudly under it, then the
// page itself.

import { useEffect } from 'preact/hooks';
import { link, route } from '../app';
import { beat } from '../beat';
import { DEFAULT_VIEW, type Route } from '../route';
import { languageTag } from '../text/language';
import { say } from '../text/say';
import { BoardPage } from './board';
import { Boards } from './boards';
import { DeadLetterPage } from './dead_letter';
import { DeadLetters } from './dead_letters';
import { Device } from './device';
import { MessagePage } from './message';
import { Nav } from './nav';
import { NotUnderstood } from './not_understood';
import { Overview } from './overview';
import { Strip } from './strip';

export function Page() {
  beat.value;
  const to = route.value;
  const tag = languageTag();
  useEffect(() => {
    document.documentElement.lang = tag;
  }, [tag]);
  return (
    <>
      <a class="skip" href="#main" onClick={focusMain}>
        {say('page.skip')}
      </a>
      <Strip />
      <Nav />
      <Outdated />
      <main id="main" tabIndex={-1} class={link.lost_s() === null ? '' : 'aged'}>
        <Shown to={to} />
      </main>
    </>
  );
}

function Shown({ to }: { to: Route }) {
  switch (to.page) {
    case 'fleet':
      return <Overview view={to.view} />;
    case 'device':
      return <Device id={to.id} />;
    case 'boards':
      return <Boards />;
    case 'board':
      return <BoardPage key={to.id} id={to.id} />;
    case 'dead-letters':
      return <DeadLetters sink={to.sink} after={to.after} />;
    case 'dead-letter':
      return <DeadLetterPage id={to.id} sink={to.sink} />;
    case 'not-understood':
      return <NotUnderstood bridge={to.bridge} />;
    case 'message':
      return <MessagePage id={to.id} bridge={to.bridge} />;
    default:
      return <Overview view={DEFAULT_VIEW} />;
  }
}

/** The hash is the address of the view, so the skip link must not change it. */
function focusMain(event: Event): void {
  event.preventDefault();
  document.getElementById('main')?.focus();
}

function Outdated() {
  const type = link.outdated.value;
  if (type === null) return null;
  return (
    <div class="banner" role="alert">
      <strong>{say('page.older')}</strong>
      <span>{say('page.older_why', { type })}</span>
      <button type="button" onClick={() => location.reload()}>
        {say('page.reload')}
      </button>
    </div>
  );
}
