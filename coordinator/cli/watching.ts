// Following work until it has ended, over restarts of the coordinator: a broken stream is opened again for a while, since
// the work itself goes on meanwhile. Decides nothing about how it is shown.

import { systemClock } from '../../core/clock.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Snapshot, WatchRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from './client.ts';

export type Selection =
  | { readonly kind: 'fleet' }
  | { readonly kind: 'plan' | 'sweep' | 'run'; readonly id: string };

export interface WatchOptions {
  readonly signal: AbortSignal;
  /** End when everything selected has ended. */
  readonly untilFinished: boolean;
  readonly rateHz?: number;
  /** Told once for each time that the coordinator cannot be reached. */
  onInterruption?(reason: string): void;
}

/** How long a coordinator may be away before the command gives up, milliseconds. */
const AWAY_MAX_MS = 60_000;

export async function* watch(
  client: FleetClient,
  selection: Selection,
  options: WatchOptions,
): AsyncGenerator<Snapshot> {
  let awaySince: number | undefined;
  while (!options.signal.aborted) {
    try {
      const request = watchRequest(selection, options);
      for await (const snapshot of client.follow((service) => service.watch, request, options.signal)) {
        awaySince = undefined;
        yield snapshot;
      }
      return;
    } catch (caught) {
      const error = toFleetError(caught);
      const now = performance.now();
      if (error.code !== 'unavailable' || (awaySince !== undefined && now - awaySince > AWAY_MAX_MS))
        throw error;
      if (awaySince === undefined) options.onInterruption?.(error.message);
      awaySince ??= now;
      await systemClock.sleep(300, options.signal).catch(() => undefined);
    }
  }
}

function watchRequest(selection: Selection, options: WatchOptions): WatchRequest {
  return {
    planId: selection.kind === 'plan' ? selection.id : '',
    sweepId: selection.kind === 'sweep' ? selection.id : '',
    runId: selection.kind === 'run' ? selection.id : '',
    rateHz: options.rateHz ?? 4,
    untilFinished: options.untilFinished,
  };
}

/** What an id names, by asking; names of plans, sweeps and runs work too where they are unique. */
export async function selectionOf(client: FleetClient, idOrName: string): Promise<Selection | undefined> {
  const [{ plans }, { sweeps }, { runs }] = await Promise.all([
    client.ask((service) => service.listPlans, {}),
    client.ask((service) => service.listSweeps, {}),
    client.ask((service) => service.listRuns, { planId: '', sweepId: '' }),
  ]);
  const all = [
    ...plans.map(({ id, name }) => ({ kind: 'plan' as const, id, name })),
    ...sweeps.map(({ id, name }) => ({ kind: 'sweep' as const, id, name })),
    ...runs.map(({ id, name }) => ({ kind: 'run' as const, id, name })),
  ];
  const named = all.filter((one) => one.name === idOrName);
  const found = all.find((one) => one.id === idOrName) ?? (named.length === 1 ? named[0] : undefined);
  return found === undefined ? undefined : { kind: found.kind, id: found.id };
}
