// The searches of a simulated fleet: one sweep of each kind of strategy, one of them with screening, of owners with weights and quotas, and the
// moves that each has made. A search makes the same moves in a calm world and in any other.

import type { CheckedDocument } from '../../coordinator/decisions/inputs.ts';
import type { Event } from '../../coordinator/model/events.ts';
import type { Quotas } from '../../core/quotas.ts';
import { sweep } from './specs.ts';
import { userOf } from './users.ts';
import { FACTS, type World } from './world.ts';

/** How much of the fleet carol may have. */
export const QUOTAS: Quotas = { carol: { workers: 3, openTrials: 3, windowHours: 24 } };

/** One sweep of each kind, by its owner. */
export function searchesOf(
  trials: number,
): readonly { readonly owner: string; readonly document: CheckedDocument }[] {
  const population = Math.ceil(trials / 3);
  const strategies = [
    ['alice', { kind: 'evolution', population, sample: 2, lag: 6 }, { weight: 2 }],
    ['alice', { kind: 'tpe', startup: population, lag: 4 }, {}],
    ['bob', { kind: 'nsga2', population, lag: 6 }, { objectives: TWO }],
    ['bob', { kind: 'asha', eta: 2, lag: 6 }, { epochs: 4, screening: SCREENING }],
    ['carol', { kind: 'random' }, {}],
    ['alice', { kind: 'asha', mode: 'stop', atRungs: 'go-on', eta: 2, lag: 4 }, { epochs: 4 }],
    ['carol', { kind: 'hyperband', eta: 2, lag: 4 }, { epochs: 4 }],
  ] as const;
  return strategies.map(([owner, strategy, rest]) => {
    const { epochs = 2, ...more } = rest as { readonly epochs?: number };
    const spec = sweep({
      ...{ name: strategy.kind, strategy: { ...strategy, trials }, parallelism: 3 },
      evaluation: { training: { epochs, batch: 16, shards: 8 } },
      ...more,
    });
    return { owner, document: { kind: 'sweep', spec, facts: FACTS } };
  });
}

const SCREENING = { score: 'synflow', keep: 0.5, of: 4 } as const;
const TWO = [{ name: 'accuracy' }, { name: 'parameters', direction: 'minimise' }] as const;

/** Puts quotas in force and submits the searches; asks again until it has an answer. */
export async function beginSearches(world: World, trials: number): Promise<void> {
  await world.call({ kind: 'configured', usageHalfLifeMs: 86_400_000, quotas: QUOTAS });
  for (const { owner, document } of searchesOf(trials))
    await world.call({ kind: 'submit', documents: [document], by: userOf(owner) });
}

/** The moves of each sweep, by its id, in their order. */
export function movesIn(events: readonly Event[]): ReadonlyMap<string, readonly string[]> {
  const moves = new Map<string, string[]>();
  const sweepOfTrial = new Map<string, { readonly sweepId: string; readonly number: number }>();
  for (const event of events) {
    if (event.kind === 'trial.proposed') {
      const { trialId, sweepId, number, genotype, fidelity, parents = [] } = event;
      sweepOfTrial.set(trialId, { sweepId, number });
      const list = moves.get(sweepId) ?? [];
      moves.set(sweepId, list);
      list.push(`${number}: ${genotype} for ${fidelity?.epochs ?? 'all'} epochs of ${parents.join(', ')}`);
    } else if (event.kind === 'trial.promoted' || event.kind === 'trial.stopped') {
      const { sweepId, number } = sweepOfTrial.get(event.trialId)!;
      const epochs = event.kind === 'trial.promoted' ? (event.fidelity?.epochs ?? 'all') : 'no more';
      moves.get(sweepId)!.push(`${number} goes on for ${epochs} epochs`);
    }
  }
  return moves;
}
