// The daemon's keeping of boards.

import { asked, get, remove } from './http';

export interface BoardEntry {
  id: string;
  name: string;
  changed_at: number;
  panels: number;
}

const at = (id: string): string => `api/v1/boards/${encodeURIComponent(id)}`;

export async function boards(): Promise<BoardEntry[]> {
  return (await get<{ boards: BoardEntry[] }>('api/v1/boards')).boards;
}

/** A board's document, unread, and the tag of what was read. */
export async function board(id: string): Promise<{ document: unknown; tag: string }> {
  const response = await asked(at(id), {});
  return { document: await response.json(), tag: response.headers.get('ETag') ?? '' };
}

/** `tag`: of what is to be replaced; null: there must be none yet. Returns the new tag. */
export async function saveBoard(id: string, document: object, tag: string | null): Promise<string> {
  const expected: Record<string, string> = tag === null ? { 'If-None-Match': '*' } : { 'If-Match': tag };
  const headers = { 'Content-Type': 'application/json', ...expected };
  const response = await asked(at(id), { method: 'PUT', body: JSON.stringify(document), headers });
  return response.headers.get('ETag') ?? '';
}

export const deleteBoard = (id: string): Promise<void> => remove(at(id));
