// One page of the dead letters, asked for again and again while it is shown: other operators and the command
// line change them too. Keeps which of them are chosen.

import { deadLetters, replayOrDrop } from '../link/api';
import type { DeadLetters, Which } from '../wire';
import { scope } from '../text/sinks';

/** Letters on a page. */
export const PAGE_LETTERS = 50;
const INTERVAL_MS = 2000;

export class DeadLettersFeed {
  page: DeadLetters | null = null;
  /** Why there is no page, or only an old one. */
  fault: string | null = null;
  readonly chosen = new Set<number>();
  /** What the last order came to. */
  outcome: { ok: boolean; text: string } | null = null;
  private asking = false;
  private again = false;
  private closed = false;
  private readonly timer: number;

  /** `changed` is called whenever there is something new to draw. */
  constructor(
    readonly sink: string | null,
    readonly after: number | null,
    private readonly changed: () => void,
  ) {
    this.timer = window.setInterval(() => document.hidden || void this.ask(), INTERVAL_MS);
    void this.ask();
  }

  close(): void {
    this.closed = true;
    window.clearInterval(this.timer);
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
    const asked = `${order === 'replay' ? 'Replay' : 'Drop'} ${scope(which, this.page?.totals.letters ?? 0)}`;
    try {
      const { letters } = await replayOrDrop(order, which);
      this.chosen.clear();
      this.outcome = { ok: true, text: outcomeText(order, letters) };
    } catch (error) {
      this.outcome = { ok: false, text: `${asked}: ${(error as Error).message}` };
    }
    this.changed();
    await this.ask();
  }

  private async ask(): Promise<void> {
    // What is asked while an answer is under way is asked once more behind it: the answer may be too old.
    if (this.asking) {
      this.again = true;
      return;
    }
    this.asking = true;
    do {
      this.again = false;
      await this.askOnce();
    } while (this.again && !this.closed);
    this.asking = false;
    if (!this.closed) this.changed();
  }

  private async askOnce(): Promise<void> {
    try {
      this.page = await deadLetters(this.sink, this.after, PAGE_LETTERS);
      this.fault = null;
      const here = new Set(this.page.letters.map((letter) => letter.id));
      for (const id of this.chosen) if (!here.has(id)) this.chosen.delete(id);
    } catch (error) {
      this.fault = (error as Error).message;
    }
  }
}

/** What an order came to, in words. */
export function outcomeText(order: 'replay' | 'drop', letters: number): string {
  const what = letters === 1 ? '1 dead letter' : `${letters} dead letters`;
  if (order === 'drop') return `${what} dropped.`;
  return `${what} will be sent again; what is stored leaves this list.`;
}
