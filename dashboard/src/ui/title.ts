// The document's title: how many alerts fire, then the page. A critical one is told by a sign, not by colour.

import { effect, signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { alerts } from '../app';
import { beat } from '../beat';
import type { Badge } from '../state/alerts';
import { say } from '../text/say';

const name = signal('');

effect(() => {
  beat.value;
  if (name.value === '') return;
  const title = titleFor(name.value, alerts.badge());
  if (document.title !== title) document.title = title;
});

/** `‼ (3) Fleet – Tidegate` */
export function titleFor(page: string, { firing, critical }: Badge): string {
  const told = firing === 0 ? '' : `${critical > 0 ? '‼ ' : ''}(${firing}) `;
  return told + say('page.title', { name: page });
}

/** Names the page that is shown. */
export function useTitle(page: string): void {
  useEffect(() => {
    name.value = page;
  }, [page]);
}
