// Following work until it has ended, over restarts of the coordinator. Decides what is asked for and what an id or a name
// selects; nothing about how it is shown.

import type { Snapshot, WatchRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from './client.ts';
import { persistently } from './patience.ts';

export type Selection =
  | { readonly kind: 'fleet' }
  | { readonly kind: 'plan' | 'sweep' | 'run'; readonly id: string };

export interface WatchOptions {
  readonly signal: AbortSignal;
  /** End when everything selected has ended. */
  readonly untilFinished: boolean;
  readonly rateHz?: number;
  /** Receives a sentence when the coordinator goes away and one when it is back. */
  say?(text: string): void;
}

export function watch(
  client: FleetClient,
  selection: Selection,
  options: WatchOptions,
): AsyncGenerator<Snapshot> {
  const request = watchRequest(selection, options);
  return persistently(() => client.follow((service) => service.watch, request, options.signal), options);
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
