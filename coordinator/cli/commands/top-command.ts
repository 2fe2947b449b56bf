// `top`: what computes now and what waits. Decides that it is drawn anew on a terminal until Ctrl-C, and printed once
// with --once or where a terminal takes no pictures.

import type { Command } from 'commander';
import { FleetError } from '../../../core/errors.ts';
import type { Snapshot } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import { type FleetOptions, fleetCommand, interruptible, withFleet } from '../context.ts';
import { print, printJson, say } from '../screen/output.ts';
import { drawsOn, openScreen } from '../screen/screen.ts';
import { jsonDisplay } from '../screen/status-display.ts';
import { topLines } from '../screen/top-view.ts';
import { watch } from '../watching.ts';

interface TopFlags extends FleetOptions {
  readonly once?: boolean;
}

export function addTopCommand(program: Command): void {
  fleetCommand(program, 'top', 'workers, runs by pace and the queue, as they change')
    .option('--once', 'print them once')
    .action((flags: TopFlags) =>
      withFleet(flags, (client) => interruptible((signal) => top(client, flags, signal))),
    );
}

/** How long a command waits for the first answer of a coordinator, milliseconds. */
const READY_MS = 5_000;

async function top(client: FleetClient, flags: TopFlags, signal: AbortSignal): Promise<void> {
  await client.ready(READY_MS);
  if (flags.once || !(flags.json || drawsOn(process.stdout))) {
    const snapshot = await first(client, signal);
    if (flags.json) printJson(snapshot);
    else for (const line of topLines(snapshot, SIZE_ONCE)) print(line);
    return;
  }
  const display = flags.json ? jsonDisplay() : drawn();
  try {
    for await (const snapshot of watch(client, FLEET, { signal, untilFinished: false, say: display.say }))
      display.show(snapshot);
  } finally {
    display.close();
  }
}

const FLEET = { kind: 'fleet' } as const;
/** Nothing is cut in a pipe. */
const SIZE_ONCE = { rows: 1_000_000, columns: Number.MAX_SAFE_INTEGER };

async function first(client: FleetClient, signal: AbortSignal): Promise<Snapshot> {
  for await (const snapshot of watch(client, FLEET, { signal, untilFinished: false, say })) return snapshot;
  throw new FleetError('unavailable', 'the coordinator ended the answer before it had begun');
}

function drawn() {
  const screen = openScreen(process.stdout);
  return {
    show: (snapshot: Snapshot) => screen.show((size) => topLines(snapshot, size)),
    say: screen.say,
    close: screen.close,
  };
}
