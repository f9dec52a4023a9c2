// Asks the daemon the same again and again while a page is shown; not while nobody is logged in, and at once when
// somebody is again.

import { admissions, isOut } from './standing';

const INTERVAL_MS = 2000;

export class Asking {
  private asking = false;
  private again = false;
  private closed = false;
  private readonly timer: number;
  private readonly ignore: () => void;

  /** `once` asks and keeps the answer; `changed` is called after it. */
  constructor(
    private readonly once: () => Promise<void>,
    private readonly changed: () => void,
    every_ms = INTERVAL_MS,
  ) {
    this.timer = window.setInterval(() => document.hidden || isOut() || void this.ask(), every_ms);
    // The first time at once: a signal tells its value to who begins to listen.
    this.ignore = admissions.subscribe(() => void this.ask());
  }

  close(): void {
    this.closed = true;
    window.clearInterval(this.timer);
    this.ignore();
  }

  /** What is asked while an answer is under way is asked once more behind it: the answer may be too old. */
  async ask(): Promise<void> {
    if (this.asking) {
      this.again = true;
      return;
    }
    this.asking = true;
    do {
      this.again = false;
      await this.once();
    } while (this.again && !this.closed);
    this.asking = false;
    if (!this.closed) this.changed();
  }
}
