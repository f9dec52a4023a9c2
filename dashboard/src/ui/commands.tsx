// Commands to a device: one is sent, and all that were, with what came of them.

import { useSignal } from '@preact/signals';
import { useEffect, useId, useState } from 'preact/hooks';
import { beat } from '../beat';
import { cancel, commands as askCommands, send } from '../link/devices_api';
import { EXAMPLE, typedJson } from '../state/documents';
import { actor } from '../state/me';
import { whyNot } from '../state/standing';
import { COMMAND_LEVELS, isOpen } from '../text/devices';
import { say } from '../text/say';
import type { Command, Delivery } from '../wire_devices';
import { Heads } from './alerts';
import { DesiredConfiguration } from './desired';
import { Lamp } from './instruments';
import { Age, ageOf, Fault, Field, NameField, OutcomeLine, ReadOnly, taking, useFeed, useKept, useOrder, When } from './kit';
import { Told } from './told';

const SHOWN = 20;
/** While something may still come of one of them, and otherwise. */
const SOON_MS = 1000;
const CALM_MS = 10_000;

export function Commands({ id }: { id: string }) {
  return (
    <>
      <Sent id={id} />
      <DesiredConfiguration id={id} />
    </>
  );
}

function Sent({ id }: { id: string }) {
  beat.value;
  const before = useSignal<number | null>(null);
  const [open, setOpen] = useState(false);
  const feed = useFeed(() => askCommands(id, before.value, SHOWN), [id, before.value, open], open ? SOON_MS : CALM_MS);
  const { busy, outcome, give } = useOrder();
  const page = useKept(feed?.value ?? null, `${id} ${before.value}`);
  const some = page?.commands.some(({ state }) => isOpen(state)) === true;
  useEffect(() => setOpen(some), [some]);
  return (
    <section class="card commands" aria-labelledby="commands">
      <header>
        <h2 id="commands">{say('devices.commands')}</h2>
        <Age age_s={ageOf(feed)} />
      </header>
      <ReadOnly scope="command" />
      {whyNot('command') === null && (
        <details class="make">
          <summary>{say('devices.command_new')}</summary>
          <Make id={id} known={[...new Set((page?.commands ?? []).map(({ name }) => name))]} sent={() => setOpen(true)} />
        </details>
      )}
      <Fault of={feed} />
      <OutcomeLine of={outcome} />
      {page !== null && page.commands.length === 0 && <p class="empty">{say('devices.commands_none')}</p>}
      {page !== null && page.commands.length > 0 && (
        <table class="grid orders-given" role="table">
          <caption class="unseen">{say('devices.commands_caption')}</caption>
          <thead role="rowgroup">
            <tr role="row">
              <Heads of={['common.state', 'devices.command_name', 'devices.command_answer', 'devices.command_by', 'devices.command_at']} />
              <td role="cell" />
            </tr>
          </thead>
          <tbody role="rowgroup">
            {page.commands.map((command) => (
              <Row
                key={command.id}
                command={command}
                busy={busy}
                cancel={() =>
                  void give(async () => {
                    await cancel(command.id, actor());
                    await feed?.again();
                    return say('devices.command_cancelled', { id: String(command.id) });
                  })
                }
              />
            ))}
          </tbody>
        </table>
      )}
      {page !== null && (before.value !== null || page.next !== null) && (
        <p class="paging">
          {before.value !== null && (
            <button type="button" class="small" onClick={() => (before.value = null)}>
              {say('devices.command_newest')}
            </button>
          )}
          {page.next !== null && (
            <button type="button" class="small" onClick={() => (before.value = page.next)}>
              {say('devices.command_older')}
            </button>
          )}
        </p>
      )}
    </section>
  );
}

function Row({ command, busy, cancel: stop }: { command: Command; busy: boolean; cancel: () => void }) {
  const open = isOpen(command.state);
  return (
    <tr role="row" data-command={command.id} data-state={command.state}>
      <td role="cell">
        <span class="lamped">
          <Lamp level={COMMAND_LEVELS[command.state]} />
          <span class={`word ${COMMAND_LEVELS[command.state]}`}>{say(`devices.command_state_${command.state}`)}</span>
        </span>
        {command.attempts > 1 && <small>{say('devices.command_attempts', { n: command.attempts })}</small>}
      </td>
      <td role="cell" class="what">
        <strong>{command.name}</strong>
        {command.arguments != null && <code>{JSON.stringify(command.arguments)}</code>}
      </td>
      <td role="cell" class="reason">
        {command.message}
        {command.result != null && <code>{JSON.stringify(command.result)}</code>}
      </td>
      <td role="cell">
        {command.by}
        {command.via !== null && <small>{command.via}</small>}
      </td>
      <td role="cell">
        <When at={command.created_at} />
        {open && (
          <small>
            <Told it="devices.command_expires" with={{ when: <When at={command.expires_at} /> }} />
          </small>
        )}
      </td>
      <td role="cell" class="end">
        {open && (
          <button type="button" class="small" aria-disabled={busy} aria-label={say('devices.command_cancel_this', { name: command.name })} onClick={stop} {...taking('command')}>
            {say('devices.command_cancel')}
          </button>
        )}
      </td>
    </tr>
  );
}

const TTLS: readonly (readonly [seconds: number, text: string])[] = [
  [10, '10 s'],
  [60, '1 min'],
  [600, '10 min'],
  [3600, '1 h'],
  [86_400, '1 d'],
  [604_800, '7 d'],
];
const DELIVERIES: readonly Delivery[] = ['at_most_once', 'at_least_once'];

interface MakeProps {
  id: string;
  /** Names that were used before. */
  known: readonly string[];
  sent: () => void;
}

function Make({ id, known, sent }: MakeProps) {
  const name = useSignal('');
  const args = useSignal('');
  const ttl_s = useSignal(60);
  const delivery = useSignal<Delivery>('at_most_once');
  const needsName = useSignal(false);
  const names = useId();
  const { busy, outcome, give } = useOrder();
  const typed = typedJson(args.value);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const wanted = name.value.trim();
    needsName.value = wanted === '';
    if (wanted === '' || !typed.ok) return;
    await give(async () => {
      const order = { name: wanted, arguments: typed.value, ttl_s: ttl_s.value, delivery: delivery.value, by: actor() };
      const command = await send(id, order);
      sent();
      return say('devices.command_sent', { name: command.name, id: String(command.id) });
    });
  };
  return (
    <form class="fields" onSubmit={(event) => void submit(event)}>
      <Field name={say('devices.command_name')} hint={say('devices.command_name_hint')} error={needsName.value ? say('devices.needs_name') : undefined}>
        {(tie) => (
          <input {...tie} type="text" list={names} maxLength={128} spellcheck={false} autoComplete="off" value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} />
        )}
      </Field>
      <datalist id={names}>
        {known.map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
      <Field name={say('devices.command_ttl')} hint={say('devices.command_ttl_hint')}>
        {(tie) => (
          <select {...tie} value={ttl_s.value} onChange={(event) => (ttl_s.value = Number(event.currentTarget.value))}>
            {TTLS.map(([seconds, text]) => (
              <option key={seconds} value={seconds}>
                {text}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field name={say('devices.command_args')} hint={say('devices.command_args_hint')} error={typed.ok ? undefined : typed.fault} wide>
        {(tie) => (
          <textarea {...tie} rows={3} spellcheck={false} placeholder={EXAMPLE} value={args.value} onInput={(event) => (args.value = event.currentTarget.value)} />
        )}
      </Field>
      <fieldset class="ticks wide">
        <legend>{say('devices.delivery')}</legend>
        {DELIVERIES.map((one) => (
          <label key={one}>
            <input type="radio" name={`${names}-delivery`} value={one} checked={delivery.value === one} onChange={() => (delivery.value = one)} />
            <span>
              {say(`devices.${one}`)} <small>{say(`devices.${one}_why`)}</small>
            </span>
          </label>
        ))}
      </fieldset>
      <NameField />
      <OutcomeLine of={outcome} />
      <p class="answers">
        <button type="submit" class="go" aria-disabled={busy || !typed.ok}>
          {say('devices.command_send')}
        </button>
      </p>
    </form>
  );
}
