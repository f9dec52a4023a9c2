// What pages about alerts, devices and the daemon are put together from: heads with their age, faults, fields, tabs.

import type { ComponentChildren } from 'preact';
import { useEffect, useId, useMemo, useState } from 'preact/hooks';
import { link } from '../app';
import { stir } from '../beat';
import { Feed } from '../state/feed';
import { myName, NAME_MAX, rename } from '../state/me';
import { type About, known, whyNot } from '../state/standing';
import { clock, span } from '../text/format';
import { say } from '../text/say';
import type { Scope } from '../wire_access';
import { Lamp } from './instruments';
import { useTitle } from './title';

/** A question that is asked again and again while the component is shown; `about` begins it anew. */
export function useFeed<Answer>(question: () => Promise<Answer>, about: readonly unknown[], every_ms?: number): Feed<Answer> | null {
  const [feed, setFeed] = useState<Feed<Answer> | null>(null);
  useEffect(() => {
    const made = new Feed(question, stir, every_ms);
    setFeed(made);
    return () => made.close();
  }, about);
  return feed;
}

interface PageHeadProps {
  title: string;
  /** Seconds since what is shown was true; null: nothing is shown yet. */
  age_s: number | null;
  back?: { href: string; text: string };
  children?: ComponentChildren;
}

export function PageHead({ title, age_s, back, children }: PageHeadProps) {
  useTitle(title);
  return (
    <header class="page-head">
      {back !== undefined && (
        <a class="back" href={back.href}>
          <span aria-hidden="true">‹</span> {back.text}
        </a>
      )}
      <h1>{title}</h1>
      {children}
      <Age age_s={age_s} />
    </header>
  );
}

/** Beyond this it is worth a warning that what is shown is old. */
const OLD_S = 10;

export function Age({ age_s }: { age_s: number | null }) {
  const lost = link.lost_s();
  const age = age_s === null ? null : Math.max(age_s, 0);
  const old = (age !== null && age > OLD_S) || lost !== null;
  return <p class={`as-of ${old ? 'old' : ''}`}>{age === null ? say('common.loading') : say('common.as_of', { span: span(age) })}</p>;
}

export const ageOf = (feed: { at: number | null } | null): number | null =>
  feed?.at == null ? null : (performance.now() - feed.at) / 1000;

/** Why there is nothing to show, or only something old. */
export function Fault({ of }: { of: { fault: string | null } | null }) {
  if (of?.fault == null) return null;
  return (
    <p class="fault" role="alert">
      {say('common.not_asked', { why: of.fault })}
    </p>
  );
}

/** A point in time, and how long ago that was. */
export function When({ at }: { at: number }) {
  const now = link.daemonNow() ?? Date.now();
  return (
    <time dateTime={new Date(at).toISOString()} title={clock(at, now)}>
      {at > now ? say('common.in', { span: span((at - now) / 1000) }) : say('common.ago', { span: span((now - at) / 1000) })}
    </time>
  );
}

interface FieldProps {
  name: string;
  hint?: string | undefined;
  error?: string | undefined;
  wide?: boolean;
  /** Gets what ties the input to its label, hint and error. */
  children: (tie: { id: string; 'aria-describedby': string; 'aria-invalid': boolean }) => ComponentChildren;
}

export function Field({ name, hint, error, wide, children }: FieldProps) {
  const id = useId();
  return (
    <div class={`field ${wide === true ? 'wide' : ''} ${error === undefined ? '' : 'wrong'}`}>
      <label for={id}>{name}</label>
      {children({ id, 'aria-describedby': `${id}-hint`, 'aria-invalid': error !== undefined })}
      <p id={`${id}-hint`} class="hint">
        {error !== undefined && <strong class="wrong">{error}</strong>}
        {error === undefined && hint}
      </p>
    </div>
  );
}

/** Who acts: as they are known to the daemon, or as they say. */
export function NameField() {
  const session = known();
  if (session !== null) return <p class="field said">{say('access.you_act', { name: session.name })}</p>;
  return (
    <Field name={say('common.your_name')} hint={say('common.your_name_hint')}>
      {(tie) => (
        <input
          {...tie}
          type="text"
          autoComplete="name"
          maxLength={NAME_MAX}
          placeholder="operator"
          value={myName.value}
          onInput={(event) => rename(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** For a button that takes a right: who lacks it cannot press it, and reads why. */
export function taking(scope: Scope, about?: About): { disabled?: true; title?: string } {
  const why = whyNot(scope, about);
  return why === null ? {} : { disabled: true, title: why };
}

/** Says that there is nothing to be done here by who looks, and why. */
export function ReadOnly({ scope, about }: { scope: Scope; about?: About }) {
  const why = whyNot(scope, about);
  if (why === null) return null;
  return (
    <p class="read-only said">
      <Lamp level="off" /> <strong>{say('access.read_only')}</strong> {why}
    </p>
  );
}

/** What was last known of the same thing, while it is asked for anew. */
export function useKept<Answer>(value: Answer | null, about: string): Answer | null {
  const [kept] = useState<{ about: string; value: Answer | null }>(() => ({ about, value }));
  if (value !== null || kept.about !== about) Object.assign(kept, { about, value });
  return kept.value;
}

export interface Outcome {
  ok: boolean;
  text: string;
}

/** Gives an order once at a time, and keeps what came of it. */
export function useOrder(): { busy: boolean; outcome: Outcome | null; give: (order: () => Promise<string>) => Promise<boolean>; clear: () => void } {
  const [busy, setBusy] = useState(false);
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const running = useMemo(() => ({ now: false }), []);
  const give = async (order: () => Promise<string>): Promise<boolean> => {
    if (running.now) return false;
    running.now = true;
    setBusy(true);
    let ok = true;
    try {
      setOutcome({ ok: true, text: await order() });
    } catch (error) {
      ok = false;
      setOutcome({ ok: false, text: (error as Error).message });
    }
    running.now = false;
    setBusy(false);
    return ok;
  };
  return { busy, outcome, give, clear: () => setOutcome(null) };
}

export function OutcomeLine({ of }: { of: Outcome | null }) {
  return (
    <p class={`outcome ${of?.ok === false ? 'fault' : ''}`} role="status">
      {of?.text}
    </p>
  );
}
