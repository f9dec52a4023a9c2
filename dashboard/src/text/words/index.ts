// The tables of all rooms of the page, joined. A key begins with the name of its table, so none hides another.

import { alerts } from './alerts';
import { charts } from './charts';
import { common } from './common';
import { devices } from './devices';
import { page } from './page';
import { pipeline } from './pipeline';
import { rules } from './rules';
import { settings } from './settings';
import { sinks } from './sinks';
import { verdict } from './verdict';

export const tables = { alerts, charts, common, devices, page, pipeline, rules, settings, sinks, verdict } as const;
export const words = { ...alerts, ...charts, ...common, ...devices, ...page, ...pipeline, ...rules, ...settings, ...sinks, ...verdict } as const;
