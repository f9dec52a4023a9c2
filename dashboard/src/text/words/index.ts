// The tables of all rooms of the page, joined. A key begins with the name of its table, so none hides another.

import { charts } from './charts';
import { common } from './common';
import { page } from './page';

export const tables = { common, page, charts } as const;
export const words = { ...common, ...page, ...charts } as const;
