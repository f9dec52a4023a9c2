// Saving boards at the daemon, and what was changed here and is not saved yet: it outlives the page it was made on.

import { signal } from '@preact/signals';
import * as api from '../link/boards_api';
import { ApiError } from '../link/http';
import { type Board, type Fault, idFor, readBoard } from '../state/board';
import { say } from '../text/say';

/** A board as it was read, with the tag of what was read. */
export interface Kept {
  board: Board;
  tag: string;
  /** Something was changed since. */
  changed?: boolean;
}

/** Changes that are not saved yet, by the board's id, each with the tag of what it began with. */
export const drafts = signal<ReadonlyMap<string, Kept>>(new Map());

export function keepDraft(id: string, draft: Kept | null): void {
  const next = new Map(drafts.peek());
  if (draft === null) next.delete(id);
  else next.set(id, draft);
  drafts.value = next;
}

/** Browsers ask before they close a page with something unsaved. */
addEventListener('beforeunload', (event) => {
  if ([...drafts.peek().values()].some((draft) => draft.changed === true)) event.preventDefault();
});

export async function readKept(id: string): Promise<Kept | Fault> {
  const { document, tag } = await api.board(id);
  const read = readBoard(document);
  return 'board' in read ? { board: read.board, tag } : read.fault;
}

/** Saves a board under an id that nobody has; returns that. */
export async function saveNew(board: Board): Promise<string> {
  const taken = new Set((await api.boards()).map((one) => one.id));
  // Somebody else may take the id in the same moment.
  for (let tries = 0; ; tries++) {
    const id = idFor(board.name, taken);
    try {
      await api.saveBoard(id, board, null);
      return id;
    } catch (error) {
      if (!isConflict(error) || tries >= 5) throw error;
      taken.add(id);
    }
  }
}

export const isConflict = (error: unknown): boolean => error instanceof ApiError && error.status === 412;

export const reasonOf = (error: unknown): string => (error instanceof ApiError ? error.message : say('charts.no_answer'));

export function faultText(fault: Fault): string {
  if (fault.kind === 'newer') return say('charts.fault_newer', { version: fault.version });
  if (fault.kind === 'broken') return say('charts.fault_broken', { where: fault.where });
  return say('charts.fault_much', { where: fault.where, max: fault.max });
}
