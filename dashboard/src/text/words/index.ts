// The tables of all rooms of the page, joined. A key begins with the name of its table, so none hides another.

import { alerts } from './alerts';
import { common } from './common';
import { page } from './page';
import { rules } from './rules';

export const tables = { alerts, common, page, rules } as const;
export const words = { ...alerts, ...common, ...page, ...rules } as const;
