// Which axis each series of a chart gets: one per unit, and a chart has two. Pure.

export const AXES_MAX = 2;

export interface Axes {
  /** The unit of each axis, left first; a unit that nobody told is the empty one. */
  units: string[];
  /** Units for which no axis is left: their series are not drawn, and the chart says so. */
  over: string[];
}

export const unitName = (unit: string | null): string => unit ?? '';

/** In the order in which they first come. */
export function axesFor(units: Iterable<string | null>): Axes {
  const known = [...new Set([...units].map(unitName))];
  return { units: known.slice(0, AXES_MAX), over: known.slice(AXES_MAX) };
}

/** The axis of a unit: 0 left, 1 right; null: there is none for it. */
export function axisOf(axes: Axes, unit: string | null): 0 | 1 | null {
  const place = axes.units.indexOf(unitName(unit));
  return place === 0 || place === 1 ? place : null;
}

/** Whether one more series finds an axis in a chart of these units. */
export function fits(units: Iterable<string | null>, more: string | null): boolean {
  return axesFor([...units, more]).over.length === 0;
}
