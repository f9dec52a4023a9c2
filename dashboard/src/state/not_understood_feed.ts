// The topics with messages that no route understood, asked for again and again while they are shown.

import { puzzlingTopics, replayOrDropMessages } from '../link/api';
import { outcomeText, scope } from '../text/brokers';
import { say } from '../text/say';
import type { PuzzlingTopics, WhichMessages } from '../wire';
import { Asking } from './asking';
import { isOut } from './standing';

/** Topics that are shown; those seen last come first. */
export const TOPICS_SHOWN = 200;

export class NotUnderstoodFeed {
  known: PuzzlingTopics | null = null;
  /** Why there is nothing, or only something old. */
  fault: string | null = null;
  /** When it came, on the page's own clock. */
  at: number | null = null;
  /** What the last order came to. */
  outcome: { ok: boolean; text: string } | null = null;
  private readonly asking: Asking;

  /** `changed` is called whenever there is something new to draw. */
  constructor(
    readonly bridge: string | null,
    private readonly changed: () => void,
  ) {
    this.asking = new Asking(() => this.askOnce(), changed);
  }

  close(): void {
    this.asking.close();
  }

  /** All that is shown. */
  which(): WhichMessages {
    return this.bridge === null ? { all: true } : { bridge: this.bridge };
  }

  async order(order: 'replay' | 'drop', which: WhichMessages, held: number): Promise<void> {
    this.outcome = await ordered(order, which, held);
    this.changed();
    await this.asking.ask();
  }

  private async askOnce(): Promise<void> {
    try {
      this.known = await puzzlingTopics(this.bridge, TOPICS_SHOWN);
      this.at = performance.now();
      this.fault = null;
    } catch (error) {
      if (!isOut()) this.fault = (error as Error).message;
    }
  }
}

/** Gives an order and says what it came to. */
export async function ordered(
  order: 'replay' | 'drop',
  which: WhichMessages,
  held: number,
): Promise<{ ok: boolean; text: string }> {
  try {
    const { messages, cut } = await replayOrDropMessages(order, which);
    return { ok: true, text: outcomeText(order, messages, cut ?? 0) };
  } catch (error) {
    const asked = say(`puzzles.${order}`, { what: scope(which, held) });
    return { ok: false, text: say('letters.order_failed', { order: asked, why: (error as Error).message }) };
  }
}
