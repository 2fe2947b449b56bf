// `goodput`: where worker-seconds went. Decides what a script gets of the answer.

import type { Command } from 'commander';
import { PHASE_FIELDS } from '../../../core/worker-time.ts';
import type { Goodput, PhaseSeconds } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { type FleetOptions, fleetCommand, withFleet } from '../context.ts';
import { goodputText, sumOfPhases } from '../screen/goodput.ts';
import { print, printJson } from '../screen/output.ts';

/** Adds the command. */
export function addGoodputCommand(program: Command): void {
  fleetCommand(
    program,
    'goodput [id]',
    'where worker-seconds went: the fleet, or a plan, sweep, trial, run or worker',
  ).action((id: string | undefined, options: FleetOptions) =>
    withFleet(options, async (client) => {
      const goodput = await client.ask((service) => service.getGoodput, { id: id ?? '' });
      if (options.json) printJson(jsonOf(goodput));
      else print(goodputText(goodput));
    }),
  );
}

function jsonOf({ kind, id, name, seconds, pruned, wallSeconds }: Goodput) {
  const byPhase = (of: PhaseSeconds) =>
    Object.fromEntries(PHASE_FIELDS.map(([phase, field]) => [phase, of[field]]));
  return {
    kind,
    ...(id === '' ? {} : { id }),
    ...(name === '' ? {} : { name }),
    ...(wallSeconds === 0 ? {} : { wallSeconds }),
    totalSeconds: (seconds ? sumOfPhases(seconds) : 0) + (pruned ? sumOfPhases(pruned) : 0),
    seconds: seconds && byPhase(seconds),
    ...(pruned === undefined ? {} : { pruned: byPhase(pruned) }),
  };
}
