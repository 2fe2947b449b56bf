// What a member fetches once the step is agreed on: the state when it was behind, and the residuals of shards
// that it now holds. Decides the order (one transfer at a time) and that a state which is not the announced
// one stops the run for all.

import { FleetError } from '../errors.ts';
import { comparedDigest } from '../state-vectors.ts';
import { giverOfState, type Standings, sourceOfResidual } from './agreement.ts';
import type { Header } from './message.ts';
import type { Residual } from './residuals.ts';
import { createFetch, type Fetch, type Subject } from './state-transfer.ts';
import type { Vectors } from './transfer-pieces.ts';
import type { State, Wire } from './wire.ts';

export interface CatchUp {
  /** The state of `step` from the lowest rank that announced it. */
  fetchState(step: number): Promise<State>;
  /**
   * Hands over each needed residual: from this member, from another that has it, or nothing. Names the shards
   * of the last kind.
   */
  collectResiduals(step: number): Promise<{ readonly residualsLost?: readonly number[] }>;
  acceptPiece(header: Header, data: Uint8Array): void;
  repeatRequest(): void;
  failFetch(error: FleetError): void;
}

export function createCatchUp(options: {
  readonly wire: Wire;
  readonly standings: Standings;
  readonly stateNames: readonly string[];
  /** No vector of a state is longer, nor is the one that is summed. */
  readonly elements: number;
  readonly residuals: () => readonly Residual[];
  readonly needed: readonly number[];
  readonly onResidual: (shard: number, values: Float32Array | undefined) => void;
}): CatchUp {
  const { wire, standings } = options;
  let fetch: Fetch | undefined;

  async function fetchState(step: number): Promise<State> {
    const [rank, { digest: announced }] = giverOfState(standings, step);
    const state = stateOf(
      options.stateNames,
      await fetchFrom(rank, step, { kind: 'state' }),
      wire.nameOf(rank),
    );
    const digest = comparedDigest(options.stateNames.map((name) => ({ name, values: state[name]! })));
    if (digest === announced) return state;
    const error = new FleetError(
      'dataLoss',
      `${wire.nameOf(rank)} gave what has digest ${digest} as the state of step ${step}, and had announced ${announced}`,
      { details: { step, rank, digest, announced } },
    );
    wire.stop(error);
    throw error;
  }

  async function collectResiduals(step: number): Promise<{ readonly residualsLost?: readonly number[] }> {
    const own = options.residuals();
    const lost: number[] = [];
    for (const shard of options.needed) {
      const source = sourceOfResidual({ shard, step }, own, standings);
      let values: Float32Array | undefined;
      if (source === 'own') values = own.find((item) => item.shard === shard && item.step === step)?.values;
      else if (source !== 'nobody') [values] = await fetchFrom(source, step, { kind: 'residual', shard });
      if (values === undefined) lost.push(shard);
      options.onResidual(shard, values);
    }
    return lost.length > 0 ? { residualsLost: lost } : {};
  }

  async function fetchFrom(rank: number, step: number, subject: Subject): Promise<Vectors> {
    const parts = subject.kind === 'state' ? options.stateNames.length : 1;
    const bound = { parts, elements: options.elements };
    fetch = createFetch({ wire, step, provider: rank, subject, bound });
    try {
      return await fetch.vectors;
    } finally {
      fetch = undefined;
    }
  }

  return {
    fetchState,
    collectResiduals,
    acceptPiece: (header, data) => fetch?.acceptPiece(header, data),
    repeatRequest: () => fetch?.repeatRequest(),
    failFetch: (error) => fetch?.failFetch(error),
  };
}

function stateOf(names: readonly string[], vectors: Vectors, giver: string): State {
  if (vectors.length < names.length) throw new FleetError('dataLoss', `${giver} gave less than a state`);
  return Object.fromEntries(names.map((name, place) => [name, vectors[place]!])) as unknown as State;
}
