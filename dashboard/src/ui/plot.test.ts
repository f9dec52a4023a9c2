import { describe, expect, it, vi } from 'vitest';
import type { Line } from '../state/shape';

vi.stubGlobal('matchMedia', () => ({ addEventListener: () => undefined }));
const { aligned } = await import('./plot');

const line = (x: number[], y: (number | null)[]) => ({ data: [x, y, y, y] as Line['data'], ghost: null });

describe('lines in one chart', () => {
  it('are passed on as they are if there is one', () => {
    const one = line([1, 2], [5, 6]);
    expect(aligned([one], false)).toBe(one.data);
  });

  it('pass over the points of others', () => {
    const [x, slow, , , fast] = aligned([line([0, 4], [1, 2]), line([0, 1, 2, 3, 4], [5, 5, 5, 5, 5])], false);
    expect(x).toEqual([0, 1, 2, 3, 4]);
    expect(slow).toEqual([1, undefined, undefined, undefined, 2]);
    expect(fast).toEqual([5, 5, 5, 5, 5]);
  });

  it('stay broken until their own next point, also where others have points', () => {
    const broken = line([0, 1, 6], [1, null, 2]);
    const [, mid] = aligned([broken, line([0, 2, 4, 6], [5, 5, 5, 5])], false);
    expect(mid).toEqual([1, null, null, null, 2]);
    const haunted = { ...broken, ghost: [[0, 3, 6], [9, 9, 9]] as [number[], number[]] };
    const [x, under, , , ghost] = aligned([haunted], true);
    expect(x).toEqual([0, 1, 3, 6]);
    expect(under).toEqual([1, null, null, 2]);
    expect(ghost).toEqual([9, undefined, 9, 9]);
  });

  it('may have no ghost yet', () => {
    expect(aligned([line([0], [1])], true)).toHaveLength(5);
    expect(aligned([], false)).toEqual([[]]);
  });
});
