// A question before something that cannot be taken back, or that has a price. Escape answers no.

import type { ComponentChildren } from 'preact';
import { say } from '../text/say';
import { Dialog } from './dialog';

interface ConfirmProps {
  title: string;
  /** What yes does. */
  verb: string;
  answer: (yes: boolean) => void;
  children: ComponentChildren;
}

export function Confirm({ title, verb, answer, children }: ConfirmProps) {
  return (
    <Dialog title={title} leave={() => answer(false)}>
      <div>{children}</div>
      <p class="answers">
        <button type="button" onClick={() => answer(false)}>
          {say('common.cancel')}
        </button>
        <button type="button" class="yes" onClick={() => answer(true)}>
          {verb}
        </button>
      </p>
    </Dialog>
  );
}
