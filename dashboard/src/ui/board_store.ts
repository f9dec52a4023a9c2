// Saving and changing boards at the daemon.

import * as api from '../link/api';
import { type Board, idFor } from '../state/board';

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
      if (!(error instanceof api.ApiError && error.status === 412) || tries >= 5) throw error;
      taken.add(id);
    }
  }
}
