// A dialog over the page: the rest cannot be reached while it is open, Escape closes it, and the focus goes back to
// where it was.

import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';

interface DialogProps {
  title: string;
  /** Escape, and whatever else means "not now". */
  leave: () => void;
  wide?: boolean;
  children: ComponentChildren;
}

export function Dialog({ title, leave, wide, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useLayoutEffect(() => {
    const from = document.activeElement;
    const shown = dialog.current!;
    shown.showModal();
    return () => {
      shown.close();
      // A browser gives the focus back by itself, but not if the button was drawn anew meanwhile.
      if (from instanceof HTMLElement && from.isConnected) from.focus();
      else document.getElementById('main')?.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={`confirm ${wide === true ? 'wide' : ''}`}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        leave();
      }}
    >
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  );
}
