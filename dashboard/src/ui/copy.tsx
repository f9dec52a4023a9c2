// Text to be copied: shown as it is, with a button.

import { useEffect, useRef, useState } from 'preact/hooks';
import { say } from '../text/say';

const SAID_MS = 3000;

export function Copyable({ text, name }: { text: string; name: string }) {
  const shown = useRef<HTMLPreElement>(null);
  const [said, setSaid] = useState('');
  useEffect(() => {
    if (said === '') return;
    const timer = window.setTimeout(() => setSaid(''), SAID_MS);
    return () => window.clearTimeout(timer);
  }, [said]);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid(say('common.copied'));
    } catch {
      // Browsers lend the clipboard to secure pages only; whoever looks can still press the keys.
      select(shown.current!);
      setSaid(say('common.selected'));
    }
  };
  return (
    <div class="copyable">
      <pre ref={shown} tabIndex={0} aria-label={name}>
        {text}
      </pre>
      <button type="button" onClick={() => void copy()}>
        {say('common.copy')}
      </button>
      <span role="status">{said}</span>
    </div>
  );
}

function select(element: Element): void {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection?.removeAllRanges();
  selection?.addRange(range);
}
