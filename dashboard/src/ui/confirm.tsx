// A question before something that cannot be taken back, or that has a price. Escape answers no.

import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';

interface ConfirmProps {
  title: string;
  /** What yes does. */
  verb: string;
  answer: (yes: boolean) => void;
  children: ComponentChildren;
}

export function Confirm({ title, verb, answer, children }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useLayoutEffect(() => {
    const shown = dialog.current!;
    shown.showModal();
    // Closing gives the focus back to where it was.
    return () => shown.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      class="confirm"
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        answer(false);
      }}
    >
      <h2 id={heading}>{title}</h2>
      <div>{children}</div>
      <p class="answers">
        <button type="button" onClick={() => answer(false)}>
          Cancel
        </button>
        <button type="button" class="yes" onClick={() => answer(true)}>
          {verb}
        </button>
      </p>
    </dialog>
  );
}
