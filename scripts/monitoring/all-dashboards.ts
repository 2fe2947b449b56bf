// All dashboards, in the order in which somebody looks at them: from general to specific.

import { BROKER } from './dashboards/broker.ts';
import { COORDINATOR } from './dashboards/coordinator.ts';
import { EXCHANGE } from './dashboards/exchange.ts';
import { GPUS } from './dashboards/gpu.ts';
import { OVERVIEW } from './dashboards/overview.ts';
import { RUN } from './dashboards/run.ts';
import { SWEEP } from './dashboards/sweep.ts';
import type { DashboardSpec } from './panel.ts';

export const DASHBOARDS: readonly DashboardSpec[] = [
  OVERVIEW,
  SWEEP,
  RUN,
  EXCHANGE,
  GPUS,
  COORDINATOR,
  BROKER,
];
