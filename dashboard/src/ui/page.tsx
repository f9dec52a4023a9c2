// The frame of every page: the strip on top, the navigation and what has to be said loudly under it, then the
// page itself.

import { useEffect } from 'preact/hooks';
import { begun, link, route } from '../app';
import { beat } from '../beat';
import { type Route, WHOLE } from '../route';
import { denied } from '../link/http';
import { outOfReach } from '../state/standing';
import { languageTag } from '../text/language';
import { say } from '../text/say';
import { AlertPage } from './alert';
import { AlertHistory } from './alert_history';
import { AlertsPage } from './alerts';
import { BoardPage } from './board';
import { Boards } from './boards';
import { DeadLetterPage } from './dead_letter';
import { DeadLetters } from './dead_letters';
import { Device } from './device';
import { Inbox } from './inbox';
import { PageHead } from './kit';
import { Ended, Threshold } from './login';
import { MessagePage } from './message';
import { Nav } from './nav';
import { NotUnderstood } from './not_understood';
import { Notifications } from './notifications';
import { Overview } from './overview';
import { Pipeline } from './pipeline';
import { Rules } from './rules';
import { Settings } from './settings';
import { Silences } from './silences';
import { Strip } from './strip';

export function Page() {
  beat.value;
  const to = route.value;
  const tag = languageTag();
  useEffect(() => {
    document.documentElement.lang = tag;
  }, [tag]);
  if (!begun.value) return <Threshold />;
  return (
    <>
      <a class="skip" href="#main" onClick={focusMain}>
        {say('page.skip')}
      </a>
      <Strip />
      <Nav />
      <Outdated />
      <Denied />
      <Ended />
      <main id="main" tabIndex={to.page === 'pipeline' ? 0 : -1} class={link.lost_s() === null ? '' : 'aged'}>
        {WHOLE.has(to.page) && outOfReach() !== null ? <OutOfReach /> : <Shown to={to} />}
      </main>
    </>
  );
}

function OutOfReach() {
  return (
    <div class="out-of-reach">
      <PageHead title={say('access.out_of_reach')} age_s={0} />
      <p class="empty">{outOfReach()}</p>
    </div>
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
    case 'alerts':
      return <AlertsPage filter={to.filter} />;
    case 'alert-history':
      return <AlertHistory filter={to.filter} before={to.before} />;
    case 'alert':
      return <AlertPage id={to.id} />;
    case 'rules':
      return <Rules edit={to.edit} />;
    case 'silences':
      return <Silences />;
    case 'notifications':
      return <Notifications />;
    case 'inbox':
      return <Inbox />;
    case 'pipeline':
      return <Pipeline />;
    case 'settings':
      return <Settings />;
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

/** The daemon does not tell this viewer what it asks for: what is shown may be old, and stays so. */
function Denied() {
  if (!denied.value) return null;
  return (
    <div class="banner" role="alert" data-denied>
      <strong>{say('page.denied_right')}</strong>
      <span>{say('page.denied_stale')}</span>
      <button type="button" onClick={() => location.reload()}>
        {say('page.reload')}
      </button>
    </div>
  );
}
