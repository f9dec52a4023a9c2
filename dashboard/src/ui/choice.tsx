// A question with more than two answers. Escape leaves things as they are.

import { useId, useLayoutEffect, useRef } from 'preact/hooks';
import { say } from '../text/say';

interface ChoiceProps {
  title: string;
  why: string;
  choices: readonly { name: string; act: () => void }[];
  cancel: () => void;
}

export function Choice({ title, why, choices, cancel }: ChoiceProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useLayoutEffect(() => {
    const shown = dialog.current!;
    shown.showModal();
    return () => shown.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      class="confirm choice-of"
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        cancel();
      }}
    >
      <h2 id={heading}>{title}</h2>
      <p>{why}</p>
      <p class="answers">
        <button type="button" onClick={cancel}>
          {say('common.cancel')}
        </button>
        {choices.map(({ name, act }) => (
          <button key={name} type="button" onClick={act}>
            {name}
          </button>
        ))}
      </p>
    </dialog>
  );
}
