// One page of the dead letters, asked for again and again while it is shown: other operators and the command
// line change them too. Keeps which of them are chosen.

import { deadLetters, replayOrDrop } from '../link/api';
import type { DeadLetters, Which } from '../wire';
import { scope } from '../text/sinks';
import { say } from '../text/say';
import { Asking } from './asking';
import { isOut } from './standing';

/** Letters on a page. */
export const PAGE_LETTERS = 50;

export class DeadLettersFeed {
  page: DeadLetters | null = null;
  /** Why there is no page, or only an old one. */
  fault: string | null = null;
  /** When the page came, on this page's own clock. */
  at: number | null = null;
  readonly chosen = new Set<number>();
  /** What the last order came to. */
  outcome: { ok: boolean; text: string } | null = null;
  private readonly asking: Asking;

  /** `changed` is called whenever there is something new to draw. */
  constructor(
    readonly sink: string | null,
    readonly after: number | null,
    private readonly changed: () => void,
  ) {
    this.asking = new Asking(() => this.askOnce(), changed);
  }

  close(): void {
    this.asking.close();
  }

  choose(ids: readonly number[], wanted: boolean): void {
    for (const id of ids) wanted ? this.chosen.add(id) : this.chosen.delete(id);
    this.changed();
  }

  /** The chosen ones; all of the sink, or all there are, if none is chosen. */
  which(): Which {
    if (this.chosen.size > 0) return { ids: [...this.chosen].sort((a, b) => a - b) };
    return this.sink === null ? { all: true } : { sink: this.sink };
  }

  async order(order: 'replay' | 'drop', which: Which): Promise<void> {
    const asked = say(`letters.${order}`, { what: scope(which, this.page?.totals.letters ?? 0) });
    try {
      const { letters } = await replayOrDrop(order, which);
      this.chosen.clear();
      this.outcome = { ok: true, text: outcomeText(order, letters) };
    } catch (error) {
      this.outcome = { ok: false, text: say('letters.order_failed', { order: asked, why: (error as Error).message }) };
    }
    this.changed();
    await this.asking.ask();
  }

  private async askOnce(): Promise<void> {
    try {
      this.page = await deadLetters(this.sink, this.after, PAGE_LETTERS);
      this.at = performance.now();
      this.fault = null;
      const here = new Set(this.page.letters.map((letter) => letter.id));
      for (const id of this.chosen) if (!here.has(id)) this.chosen.delete(id);
    } catch (error) {
      if (!isOut()) this.fault = (error as Error).message;
    }
  }
}

/** What an order came to, in words. */
export function outcomeText(order: 'replay' | 'drop', letters: number): string {
  const told = { letters: say('sinks.letters', { n: letters }) };
  return order === 'drop' ? say('letters.dropped', told) : say('letters.replayed', told);
}
