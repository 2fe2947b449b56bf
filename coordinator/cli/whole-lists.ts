// Whole lists of a fleet, each by what it is of, in the coordinator's order.

import type { Checkpoint, Run, Trial, Worker } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from './client.ts';
import { listAll } from './pages.ts';

/** The trials of a sweep. */
export async function trialsOf(client: FleetClient, sweepId: string): Promise<Trial[]> {
  const { items } = await listAll(
    (page) => client.ask((service) => service.listTrials, { sweepId, ...page }),
    (answer) => answer.trials,
  );
  return items;
}

/** The runs of a sweep; without one all runs of the fleet. */
export async function runsOf(client: FleetClient, sweepId = ''): Promise<Run[]> {
  const { items } = await listAll(
    (page) => client.ask((service) => service.listRuns, { planId: '', sweepId, ...page }),
    (answer) => answer.runs,
  );
  return items;
}

/** The stages that a run has stored. */
export async function checkpointsOf(client: FleetClient, runId: string): Promise<Checkpoint[]> {
  const { items } = await listAll(
    (page) => client.ask((service) => service.listCheckpoints, { runId, ...page }),
    (answer) => answer.checkpoints,
  );
  return items;
}

/** The workers of the fleet; each page of them has two seconds. */
export async function workersOf(client: FleetClient, signal?: AbortSignal): Promise<Worker[]> {
  const { items } = await listAll(
    (page) => client.ask((service) => service.listWorkers, page, 2_000, signal),
    (answer) => answer.workers,
  );
  return items;
}
