// The frame of every page: the strip on top, what has to be said loudly under it, then the page itself.

import { link, route } from '../app';
import { beat } from '../beat';
import type { Route } from '../route';
import { DeadLetterPage } from './dead_letter';
import { DeadLetters } from './dead_letters';
import { Device } from './device';
import { MessagePage } from './message';
import { NotUnderstood } from './not_understood';
import { Overview } from './overview';
import { Strip } from './strip';

export function Page() {
  beat.value;
  const to = route.value;
  return (
    <>
      <a class="skip" href="#main" onClick={focusMain}>
        Skip to the page
      </a>
      <Strip />
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
      return <Device id={to.id} range={to.range} />;
    case 'dead-letters':
      return <DeadLetters sink={to.sink} after={to.after} />;
    case 'dead-letter':
      return <DeadLetterPage id={to.id} sink={to.sink} />;
    case 'not-understood':
      return <NotUnderstood bridge={to.bridge} />;
    case 'message':
      return <MessagePage id={to.id} bridge={to.bridge} />;
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
      <strong>This page is older than your data: reload.</strong>
      <span>The daemon sent “{type}”, which this page does not know.</span>
      <button type="button" onClick={() => location.reload()}>
        Reload
      </button>
    </div>
  );
}
