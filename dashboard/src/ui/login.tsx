// Logging in: the page before anybody is known, and over a page whose login has ended, which stays and goes on after it.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { link } from '../app';
import { beat } from '../beat';
import { logIn, logOut } from '../link/access_api';
import { ApiError } from '../link/http';
import { standing, tidyToken } from '../state/standing';
import { span } from '../text/format';
import { say } from '../text/say';
import { Dialog } from './dialog';
import { Field, OutcomeLine, useOrder } from './kit';
import { useTitle } from './title';
import { Told } from './told';

/** What stands there until it is known who looks: nothing, the login, or that there is nothing to see for them. */
export function Threshold() {
  beat.value;
  const now = standing.value;
  const out = now.kind === 'out';
  useTitle(out ? say('access.title') : '');
  return (
    <main id="main" tabIndex={-1} class="threshold">
      {out && (
        <section class="card login" aria-labelledby="login">
          <Brand />
          <h1 id="login">{say('access.title')}</h1>
          <LoginForm focus />
        </section>
      )}
      {now.kind === 'in' && <Blind name={now.session.name} />}
    </main>
  );
}

/** What makes a key, on the daemon's machine. */
export const ISSUE = 'tidegate token issue';

function Brand() {
  return (
    <p class="brand">
      <svg viewBox="0 0 32 32" aria-hidden="true">
        <path d="M4 19c4 0 4-4 8-4s4 4 8 4 4-4 8-4M4 26c4 0 4-4 8-4s4 4 8 4 4-4 8-4M9 11V5m7 5V5m7 6V5M5 5h22" />
      </svg>
      <span>Tidegate</span>
    </p>
  );
}

/** A token that only sends. */
function Blind({ name }: { name: string }) {
  useTitle(say('access.blind'));
  return (
    <section class="card login" aria-labelledby="login">
      <Brand />
      <h1 id="login">{say('access.blind')}</h1>
      <p>{say('access.blind_why', { name })}</p>
      <LogOut />
    </section>
  );
}

/** Over a page whose login has ended. Who only wants to look closes it, and finds it again under the navigation. */
export function Ended() {
  beat.value;
  const looking = useSignal(false);
  if (standing.value.kind !== 'out') {
    if (looking.peek()) looking.value = false;
    return null;
  }
  const why = say('access.ended_why', { span: span(link.silence_s()) });
  if (looking.value) {
    return (
      <div class="banner" role="alert" data-login="ended">
        <strong>{say('access.ended')}</strong>
        <span>{why}</span>
        <button type="button" onClick={() => (looking.value = false)}>
          {say('access.enter')}
        </button>
      </div>
    );
  }
  return (
    <Dialog title={say('access.ended')} leave={() => (looking.value = true)}>
      <p data-login="ended">{why}</p>
      <LoginForm look={() => (looking.value = true)} />
    </Dialog>
  );
}

/** `wait`: wrong ones are not even looked at until then; a right one is taken all the same. */
type Fault = { kind: 'said'; text: string } | { kind: 'wait'; until: number };

interface LoginFormProps {
  /** Takes the focus; a dialog does so by itself. */
  focus?: boolean;
  look?: () => void;
}

function LoginForm({ focus, look }: LoginFormProps) {
  beat.value;
  const field = useRef<HTMLInputElement>(null);
  const busy = useSignal(false);
  const fault = useSignal<Fault | null>(null);
  useEffect(() => {
    if (focus === true) field.current?.focus();
  }, []);
  const wait_s = fault.value?.kind === 'wait' ? (fault.value.until - performance.now()) / 1000 : 0;
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy.value) return;
    const token = tidyToken(field.current!.value);
    if (token === '') {
      fault.value = { kind: 'said', text: say('access.missing') };
      return field.current!.focus();
    }
    busy.value = true;
    try {
      await logIn(token);
    } catch (error) {
      fault.value = faultOf(error);
      field.current?.select();
    }
    busy.value = false;
  };
  return (
    <form class="login-form" onSubmit={(event) => void submit(event)}>
      {/* Password managers keep what they are given under a name. */}
      <input type="text" name="username" autoComplete="username" value="tidegate" hidden readOnly />
      <Field name={say('access.token')} hint={say('access.token_hint')}>
        {(tie) => (
          <input
            {...tie}
            ref={field}
            type="password"
            name="password"
            autoComplete="current-password"
            autoCapitalize="off"
            spellcheck={false}
            required
            aria-invalid={fault.value !== null}
          />
        )}
      </Field>
      <p class="fault" role="alert">
        {fault.value !== null && told(fault.value, wait_s)}
      </p>
      <p class="said">
        <Told it="access.how" with={{ command: <code>{ISSUE}</code> }} />
      </p>
      <p class="answers">
        {look !== undefined && (
          <button type="button" onClick={look}>
            {say('access.look_on')}
          </button>
        )}
        <button type="submit" class="go" aria-disabled={busy.value}>
          {say('access.enter')}
        </button>
      </p>
    </form>
  );
}

function told(fault: Fault, wait_s: number): string {
  if (fault.kind === 'said') return fault.text;
  return wait_s > 0 ? say('access.too_many', { span: span(Math.ceil(wait_s)) }) : say('access.again');
}

/** What the daemon may answer if nothing is said of how long. */
const WAIT_S = 30;

function faultOf(error: unknown): Fault {
  if (!(error instanceof ApiError)) return { kind: 'said', text: say('access.other', { why: (error as Error).message }) };
  if (error.status === 429) return { kind: 'wait', until: performance.now() + (error.retry_s ?? WAIT_S) * 1000 };
  if (error.status === 401) return { kind: 'said', text: say('access.wrong') };
  if (error.status === 0) return { kind: 'said', text: say('access.away') };
  return { kind: 'said', text: say('access.other', { why: error.message }) };
}

/** Nothing of what was seen stays on the screen. */
export function LogOut() {
  const { busy, outcome, give } = useOrder();
  const leave = (): void =>
    void give(async () => {
      await logOut();
      location.reload();
      return '';
    });
  return (
    <>
      <OutcomeLine of={outcome?.text === '' ? null : outcome} />
      <p class="answers">
        <button type="button" aria-disabled={busy} title={say('access.leave_why')} onClick={leave}>
          {say('access.leave')}
        </button>
      </p>
    </>
  );
}
