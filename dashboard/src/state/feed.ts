// One answer of the daemon, asked for again and again while a page shows it: with its age, and why it is old.

import { Asking } from './asking';
import { isOut } from './standing';

export class Feed<Answer> {
  value: Answer | null = null;
  /** Why there is no answer, or only an old one. */
  fault: string | null = null;
  /** The daemon says that there is no such thing. */
  missing = false;
  /** When it came, on the page's own clock. */
  at: number | null = null;
  private readonly asking: Asking;

  /** `changed` is called whenever there is something new to draw. */
  constructor(
    private readonly question: () => Promise<Answer>,
    changed: () => void,
    every_ms?: number,
  ) {
    this.asking = new Asking(() => this.askOnce(), changed, every_ms);
  }

  close(): void {
    this.asking.close();
  }

  /** Asks at once, after something was changed. */
  again(): Promise<void> {
    return this.asking.ask();
  }

  private async askOnce(): Promise<void> {
    try {
      this.value = await this.question();
      this.at = performance.now();
      this.fault = null;
      this.missing = false;
    } catch (error) {
      // Told over the whole page, which stays as it is.
      if (isOut()) return;
      this.fault = (error as Error).message;
      this.missing = (error as { status?: number }).status === 404;
    }
  }
}
