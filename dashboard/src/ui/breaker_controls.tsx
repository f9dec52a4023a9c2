// What an operator can tell the breaker of a sink. Only what would change something is offered, each with what it
// does; a hold is asked for twice, because data piles up behind it.

import { useSignal } from '@preact/signals';
import { status } from '../app';
import { breaker } from '../link/api';
import { actionDoes, actionsOf, actionWord, holdConsequence } from '../text/sinks';
import { say } from '../text/say';
import type { BreakerAction, SinkStatus } from '../wire';
import { Confirm } from './confirm';
import { taking } from './kit';

export function BreakerControls({ sink }: { sink: SinkStatus }) {
  const asking = useSignal(false);
  const busy = useSignal(false);
  const fault = useSignal<string | null>(null);
  const act = async (action: BreakerAction): Promise<void> => {
    if (busy.value) return;
    busy.value = true;
    fault.value = null;
    try {
      adopt(await breaker(sink.name, action));
    } catch (error) {
      fault.value = say('sinks.action_failed', { action: actionWord(action), why: (error as Error).message });
    }
    busy.value = false;
  };
  const actions = actionsOf(sink);
  if (actions.length === 0) return null;
  return (
    <>
      <span class="controls">
        {actions.map((action, place) => (
          // The button at a place stays when its action changes, and so keeps the focus.
          <button
            key={place}
            type="button"
            aria-disabled={busy.value}
            aria-label={say('sinks.action_of', { action: actionWord(action), sink: sink.name })}
            title={say('sinks.action_title', { action: actionWord(action), does: actionDoes(action) })}
            onClick={() => (action === 'hold' ? (asking.value = true) : void act(action))}
            {...taking('admin', 'all')}
          >
            {actionWord(action)}
          </button>
        ))}
      </span>
      {fault.value !== null && (
        <p class="fault" role="alert">
          {fault.value}
        </p>
      )}
      {asking.value && (
        <Confirm
          title={say('sinks.hold_q', { sink: sink.name })}
          verb={actionWord('hold')}
          answer={(yes) => {
            asking.value = false;
            if (yes) void act('hold');
          }}
        >
          <p>
            {say('sinks.hold_means', { does: actionDoes('hold') })} {status.value !== null && holdConsequence(status.value)}
          </p>
        </Confirm>
      )}
    </>
  );
}

/** The answer is newer than the last status, which comes but once a second. */
function adopt(told: SinkStatus): void {
  const known = status.peek();
  if (known === null) return;
  status.value = { ...known, sinks: known.sinks.map((sink) => (sink.name === told.name ? told : sink)) };
}
