// Commands that hold work or workers back without ending anything: pause, priority, drain. Decides flags and what
// is printed.

import type { Command } from 'commander';
import { type FleetOptions, fleetCommand, wholeNumber, withFleet } from '../context.ts';
import { printJson, say } from '../screen/output.ts';
import { userName } from '../user-name.ts';

interface ReasonFlags extends FleetOptions {
  readonly reason: string;
}

/** Adds them to the program. */
export function addPauseCommands(program: Command): void {
  const username = userName();
  fleetCommand(
    program,
    'pause <id>',
    'stop a plan, sweep, trial or run at its next step until it is resumed, and free its workers',
  )
    .option('--reason <text>', 'kept in the journal', `paused by ${username}`)
    .action((id: string, flags: ReasonFlags) =>
      withFleet(flags, async (client) => {
        const { pausedIds } = await client.ask((service) => service.pause, { id, reason: flags.reason });
        if (flags.json) printJson({ pausedIds });
        else say(`paused ${pausedIds.join(', ')}; \`resume ${pausedIds[0]}\` goes on`);
      }),
    );
  fleetCommand(program, 'priority <id>', 'give a plan, sweep, trial or run another priority')
    .argument('<number>', '0 to 100; the higher is placed first', wholeNumber(0, 100))
    .option('--reason <text>', 'kept in the journal', `set by ${username}`)
    .action((id: string, priority: number, flags: ReasonFlags) =>
      withFleet(flags, async (client) => {
        await client.ask((service) => service.prioritise, { id, priority, reason: flags.reason });
        if (flags.json) printJson({ id, priority });
        else say(`${id} has priority ${priority}`);
      }),
    );
  fleetCommand(program, 'drain <worker>', 'give a worker no more work; its runs go on elsewhere')
    .option('--undo', 'give it work again')
    .option('--reason <text>', 'kept in the journal', `by ${username}`)
    .action((workerId: string, flags: ReasonFlags & { undo?: boolean }) =>
      withFleet(flags, async (client) => {
        const request = { workerId, undo: flags.undo ?? false, reason: flags.reason };
        const { runIds } = await client.ask((service) => service.drain, request);
        if (flags.json) printJson({ workerId, draining: !request.undo, runIds });
        else if (request.undo) say(`${workerId} gets work again`);
        else say(`${workerId} drains${runIds.length === 0 ? '' : `; ${runIds.join(', ')} leave it`}`);
      }),
    );
}
