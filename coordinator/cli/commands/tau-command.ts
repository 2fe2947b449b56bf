// `tau`: how alike sweeps rank the candidates that they have in common.

import type { Command } from 'commander';
import { FleetError } from '../../../core/errors.ts';
import { type FleetOptions, fleetCommand, withFleet } from '../context.ts';
import { print, printJson, terminalColumns } from '../screen/output.ts';
import { agreementsOf, type Ranking, tauText } from '../screen/tau-view.ts';
import { trialsOf } from '../whole-lists.ts';

export function addTauCommand(program: Command): void {
  fleetCommand(
    program,
    'tau <sweeps...>',
    'how alike sweeps rank the candidates that they have in common',
  ).action((sweeps: readonly string[], flags: FleetOptions) => {
    if (sweeps.length < 2) throw needsSeveral();
    return withFleet(flags, async (client) => {
      const rankings: Ranking[] = [];
      for (const id of sweeps) {
        const sweep = await client.ask((service) => service.getSweep, { id });
        rankings.push({ sweep, trials: await trialsOf(client, sweep.id) });
      }
      if (new Set(rankings.map(({ sweep }) => sweep.id)).size < Math.max(2, sweeps.length))
        throw needsSeveral();
      const agreements = agreementsOf(rankings);
      if (flags.json) printJson({ agreements });
      else print(tauText(rankings, agreements, terminalColumns()));
    });
  });
}

const needsSeveral = () =>
  new FleetError('invalidArgument', 'tau compares two sweeps or more, each named once: tau SWEEP SWEEP');
