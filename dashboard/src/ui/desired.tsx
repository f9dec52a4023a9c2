// The configuration that a device is to have, and what it made of it.

import { useSignal } from '@preact/signals';
import { beat } from '../beat';
import { desire, desired as askDesired } from '../link/devices_api';
import { typedObject } from '../state/documents';
import { actor } from '../state/me';
import { say } from '../text/say';
import type { Desired } from '../wire_devices';
import { Dialog } from './dialog';
import { Lamp } from './instruments';
import { Age, ageOf, Fault, Field, NameField, OutcomeLine, taking, useFeed, useOrder, When } from './kit';

const EVERY_MS = 5000;

export function DesiredConfiguration({ id }: { id: string }) {
  beat.value;
  const feed = useFeed(() => askDesired(id), [id], EVERY_MS);
  const editing = useSignal(false);
  const { outcome, give } = useOrder();
  const now = feed?.value ?? null;
  const none = feed?.missing === true || now?.version === 0;
  return (
    <section class="card desired" aria-labelledby="desired">
      <header>
        <h2 id="desired">{say('devices.desired')}</h2>
        {feed?.missing !== true && <Age age_s={ageOf(feed)} />}
        <button type="button" class="small" aria-label={say('devices.desired_edit_this')} onClick={() => (editing.value = true)} {...taking('command')}>
          {say('devices.desired_edit')}
        </button>
      </header>
      <p class="said">{say('devices.desired_means')}</p>
      {feed?.missing !== true && <Fault of={feed} />}
      <OutcomeLine of={outcome} />
      {none && <p class="empty">{say('devices.desired_none')}</p>}
      {!none && now !== null && (
        <>
          <p>
            {say('devices.desired_version', { n: now.version, by: now.by })}, <When at={now.at} />
          </p>
          <pre tabIndex={0} aria-label={say('devices.desired_document')}>
            {pretty(now.document)}
          </pre>
          <Reported of={now} />
        </>
      )}
      {editing.value && (
        <Edit
          id={id}
          now={none ? null : now}
          leave={(made) => {
            editing.value = false;
            if (made === null) return;
            void give(async () => {
              await feed?.again();
              return say('devices.desired_saved', { n: made.version });
            });
          }}
        />
      )}
    </section>
  );
}

const pretty = (document: unknown): string => JSON.stringify(document, null, 2);

function Reported({ of }: { of: Desired }) {
  const { reported, version } = of;
  if (reported === null) return <p class="lamped"><Lamp level="off" /> {say('devices.reported_none')}</p>;
  const n = reported.version;
  const same = n === version && reported.ok;
  const text = !reported.ok ? 'devices.reported_bad' : same ? 'devices.reported_ok' : 'devices.reported_old';
  const differs = reported.document !== null && pretty(reported.document) !== pretty(of.document);
  return (
    <>
      <p>
        <span class="lamped">
          <Lamp level={same ? 'well' : reported.ok ? 'watch' : 'bad'} />
          <strong>{say(text, { n })}</strong>
        </span>{' '}
        {reported.message} <When at={reported.at} />
      </p>
      {differs && (
        <>
          <h3>{say('devices.reported_document')}</h3>
          <pre tabIndex={0} aria-label={say('devices.reported_document')}>
            {pretty(reported.document)}
          </pre>
        </>
      )}
    </>
  );
}

interface EditProps {
  id: string;
  now: Desired | null;
  leave: (made: Desired | null) => void;
}

function Edit({ id, now, leave }: EditProps) {
  const text = useSignal(now === null ? '{\n}' : pretty(now.document));
  const { busy, outcome, give } = useOrder();
  const typed = typedObject(text.value);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!typed.ok) return;
    let made: Desired | null = null;
    const done = await give(async () => {
      made = await desire(id, typed.value, actor());
      return '';
    });
    if (done) leave(made);
  };
  return (
    <Dialog title={say('devices.desired')} leave={() => leave(null)} wide>
      <form class="fields" onSubmit={(event) => void submit(event)}>
        <Field name={say('devices.desired_document')} error={typed.ok ? undefined : typed.fault} wide>
          {(tie) => <textarea {...tie} rows={12} spellcheck={false} value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />}
        </Field>
        <NameField />
        <OutcomeLine of={outcome} />
        <p class="answers">
          <button type="button" onClick={() => leave(null)}>
            {say('common.cancel')}
          </button>
          <button type="submit" class="go" aria-disabled={busy || !typed.ok}>
            {say('devices.desired_save', { n: (now?.version ?? 0) + 1 })}
          </button>
        </p>
      </form>
    </Dialog>
  );
}
