// Follows work until it has ended, over restarts of the coordinator. Decides what is requested, and what an
// id or a name selects.

import type { Snapshot, WatchRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { persistently } from './absence.ts';
import type { FleetClient } from './client.ts';
import { findOne } from './context.ts';
import { pictureWith } from './picture.ts';

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

/** Whole pictures, the newest last; on the wire only the first of a call is whole. */
export async function* watch(
  client: FleetClient,
  selection: Selection,
  options: WatchOptions,
): AsyncGenerator<Snapshot> {
  const request = watchRequest(selection, options);
  const open = () => client.follow((service) => service.watch, request, options.signal);
  let picture: Snapshot | undefined;
  for await (const message of persistently(open, options)) {
    picture = pictureWith(picture, message);
    yield picture;
  }
}

function watchRequest(selection: Selection, options: WatchOptions): WatchRequest {
  return {
    planId: selection.kind === 'plan' ? selection.id : '',
    sweepId: selection.kind === 'sweep' ? selection.id : '',
    runId: selection.kind === 'run' ? selection.id : '',
    rateHz: options.rateHz ?? 4,
    untilFinished: options.untilFinished,
    changes: true,
  };
}

/** What an id or a unique name of a plan, sweep or run names, by asking. */
export async function selectionOf(client: FleetClient, idOrName: string): Promise<Selection> {
  const { kind, id } = await findOne(client, idOrName, ['plan', 'sweep', 'run']);
  return { kind: kind as 'plan' | 'sweep' | 'run', id };
}
