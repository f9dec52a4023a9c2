// Panels on a grid of twelve columns: they never overlap, never leave the grid, and fall up into what is free.
// Pure; the same for pointer and keyboard.

export const COLUMNS = 12;
export const WIDTH_MIN = 2;
export const HEIGHT_MIN = 1;
export const HEIGHT_MAX = 12;

export interface Box {
  id: string;
  x: number;
  y: number;
  w: number;
  h: number;
}

const clamp = (it: number, least: number, most: number): number => Math.min(most, Math.max(least, Math.round(it)));

function overlap(a: Box, b: Box): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

/** Whole, and inside of the grid. */
function held<It extends Box>(box: It): It {
  const w = clamp(box.w, WIDTH_MIN, COLUMNS);
  const h = clamp(box.h, HEIGHT_MIN, HEIGHT_MAX);
  return { ...box, w, h, x: clamp(box.x, 0, COLUMNS - w), y: Math.max(0, Math.round(box.y)) };
}

/** From top to bottom, from left to right: the order in which they are read. */
export function inOrder<It extends Box>(boxes: readonly It[]): It[] {
  return [...boxes].sort((a, b) => a.y - b.y || a.x - b.x);
}

/** Puts every box in its place. `first` keeps the one that was asked for; others make room for it. */
export function settled<It extends Box>(boxes: readonly It[], first: string | null = null): It[] {
  const whole = boxes.map(held);
  const chosen = whole.filter((box) => box.id === first);
  const others = inOrder(whole.filter((box) => box.id !== first));
  const placed: It[] = [...chosen];
  for (const box of others) {
    let at = box;
    for (let hit = find(placed, at); hit !== undefined; hit = find(placed, at)) at = { ...at, y: hit.y + hit.h };
    placed.push(at);
  }
  return risen(placed, first);
}

const find = <It extends Box>(placed: readonly It[], box: It): It | undefined =>
  placed.find((other) => overlap(other, box));

/** Each as far up as it gets without passing another. */
function risen<It extends Box>(boxes: readonly It[], first: string | null): It[] {
  const order = [...boxes].sort((a, b) => a.y - b.y || Number(b.id === first) - Number(a.id === first) || a.x - b.x);
  const placed: It[] = [];
  for (const box of order) {
    let at = box;
    while (at.y > 0 && find(placed, { ...at, y: at.y - 1 }) === undefined) at = { ...at, y: at.y - 1 };
    placed.push(at);
  }
  return placed;
}

/** One moved or resized, all others where they have to be then. */
export function changed<It extends Box>(boxes: readonly It[], id: string, to: Partial<Omit<Box, 'id'>>): It[] {
  return settled(boxes.map((box) => (box.id === id ? { ...box, ...to } : box)), id);
}

/**
 * One step by keyboard. Up and down jump over the neighbour there: a step of one row would fall back again.
 */
export function stepped<It extends Box>(boxes: readonly It[], id: string, dx: number, dy: number): It[] {
  const box = boxes.find((one) => one.id === id);
  if (box === undefined) return [...boxes];
  if (dy === 0) return changed(boxes, id, { x: box.x + dx });
  const beside = boxes.filter((one) => one.id !== id && one.x < box.x + box.w && box.x < one.x + one.w);
  if (dy < 0) {
    const above = beside.filter((one) => one.y < box.y).sort((a, b) => b.y - a.y)[0];
    return above === undefined ? [...boxes] : changed(boxes, id, { y: above.y });
  }
  const below = beside.filter((one) => one.y >= box.y + box.h).sort((a, b) => a.y - b.y)[0];
  if (below === undefined) return [...boxes];
  // The neighbour goes first, and this one directly under it.
  const swapped = boxes.map((one) => {
    if (one.id === id) return { ...one, y: box.y + below.h };
    return one.id === below.id ? { ...one, y: box.y } : one;
  });
  return settled(swapped, id);
}

/** A place for one more of this size: the first that is free, read from the top. */
export function placeFor(boxes: readonly Box[], w: number, h: number): { x: number; y: number } {
  const bottom = Math.max(0, ...boxes.map((box) => box.y + box.h));
  for (let y = 0; y < bottom; y++) {
    for (let x = 0; x + w <= COLUMNS; x++) {
      if (find(boxes, { id: '', x, y, w, h }) === undefined) return { x, y };
    }
  }
  return { x: 0, y: bottom };
}
