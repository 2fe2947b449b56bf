// Every decoder that is fuzzed.

import type { Target } from './target.ts';
import { commandTargets } from './targets/commands.ts';
import { exchangeTargets } from './targets/exchange.ts';
import { fileTargets } from './targets/files.ts';
import { journalTargets } from './targets/journal.ts';
import { modelTargets } from './targets/models.ts';
import { reportTargets } from './targets/reports.ts';
import { requestTargets } from './targets/requests.ts';
import { setTargets } from './targets/sets.ts';
import { storedTargets } from './targets/stored.ts';
import { textTargets } from './targets/texts.ts';

export const targets: readonly Target[] = [
  ...exchangeTargets,
  ...storedTargets,
  ...journalTargets,
  ...modelTargets,
  ...setTargets,
  ...textTargets,
  ...reportTargets,
  ...requestTargets,
  ...commandTargets,
  ...fileTargets,
];
