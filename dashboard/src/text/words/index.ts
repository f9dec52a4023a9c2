// The tables of all rooms of the page, joined. A key begins with the name of its table, so none hides another.

import { access } from './access';
import { alerts } from './alerts';
import { brokers } from './brokers';
import { charts } from './charts';
import { common } from './common';
import { devices } from './devices';
import { fleet } from './fleet';
import { flow } from './flow';
import { letters } from './letters';
import { page } from './page';
import { pipeline } from './pipeline';
import { puzzles } from './puzzles';
import { rules } from './rules';
import { settings } from './settings';
import { sinks } from './sinks';
import { strip } from './strip';
import { verdict } from './verdict';

export const tables = {
  access,
  alerts,
  brokers,
  charts,
  common,
  devices,
  fleet,
  flow,
  letters,
  page,
  pipeline,
  puzzles,
  rules,
  settings,
  sinks,
  strip,
  verdict,
} as const;
export const words = {
  ...access,
  ...alerts,
  ...brokers,
  ...charts,
  ...common,
  ...devices,
  ...fleet,
  ...flow,
  ...letters,
  ...page,
  ...pipeline,
  ...puzzles,
  ...rules,
  ...settings,
  ...sinks,
  ...strip,
  ...verdict,
} as const;
