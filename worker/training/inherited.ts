// A candidate with the weights that it inherits from a search network, on this worker: the search network's stage, which
// candidates share, and the statistics that a sub-network gets of its own. Decides which batches these are of. Nothing is
// compiled for a candidate: its alphas are an input of graphs that all candidates have.

import type { Loader } from '../../core/data/loading/loader.ts';
import { FleetError } from '../../core/errors.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { buildSupernet, type SupernetSpec } from '../../core/nn/supernet.ts';
import { halfSizes } from '../../core/search/halves.ts';
import { calibratedStatistics } from '../../core/search/inherited.ts';
import type { Inherits } from '../../core/spec/inherits.ts';
import type { Schedule } from '../../core/spec/schedule.ts';
import { type StateVectors, vectorNamed, WEIGHTS } from '../../core/state-vectors.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { Compute } from '../compute/client.ts';
import type { GraphSpec } from '../compute/messages.ts';

/** The weights of a search network at a stage. */
export interface TrainedSupernet {
  /** [P], in shared memory. */
  readonly weights: Float32Array;
  /** Of all weights; 16 hex digits. */
  readonly weightsDigest: string;
}

/** Where the stages of search networks are stored. */
interface StoredStages {
  /** SHA-256 of a stage as it is stored; undefined where there is none. */
  find(runId: string, stage: number, signal: AbortSignal): Promise<{ readonly digest: string } | undefined>;
  load(
    runId: string,
    stage: number,
    signal: AbortSignal,
  ): Promise<{ readonly vectors: StateVectors; readonly weightsDigest: string }>;
}

/** The search networks whose weights are in memory. */
export interface Supernets {
  /** The one that a spec names, loaded once for all candidates here; `dataLoss` when another one is stored there. */
  of(checkpoints: StoredStages, inherits: Inherits, signal: AbortSignal): Promise<TrainedSupernet>;
}

/** Keeps one: candidates of a sweep have the same. */
export function createSupernets(): Supernets {
  let kept: { readonly digest: string; readonly loaded: Promise<TrainedSupernet> } | undefined;
  return {
    of(checkpoints, inherits, signal) {
      if (kept?.digest !== inherits.digest) {
        // The signal of one candidate may not end the loading, because others may wait for it too.
        const own = { digest: inherits.digest, loaded: loadSupernet(checkpoints, inherits) };
        kept = own;
        own.loaded.catch(() => {
          if (kept === own) kept = undefined;
        });
      }
      return untilAborted(kept.loaded, signal);
    },
  };
}

async function loadSupernet(
  checkpoints: StoredStages,
  { run, stage, digest }: Inherits,
): Promise<TrainedSupernet> {
  const { signal } = new AbortController();
  const manifest = await checkpoints.find(run, stage, signal);
  if (manifest !== undefined && manifest.digest !== digest)
    throw new FleetError(
      'dataLoss',
      `stage ${stage} of ${run} is another one (${manifest.digest}) than the sweep began with (${digest})`,
    );
  const { vectors, weightsDigest } = await checkpoints.load(run, stage, signal);
  return { weights: vectorNamed(vectors, WEIGHTS), weightsDigest };
}

/** The search network that a candidate over so many classes is a part of. */
export const supernetOf = ({ supernet }: Inherits, classes: number): SupernetSpec => ({
  ...{ kind: 'supernet', ...supernet, classes },
});

/** The graph of batch statistics. */
export const statisticsGraph = (inherits: Inherits, classes: number): GraphSpec => ({
  ...{ kind: 'search-statistics', supernet: supernetOf(inherits, classes), batch: inherits.batch },
});

/** Running statistics [S] of the sub-network with these alphas, of the first batches of the half of the weights. */
export async function calibrate(of: {
  readonly inherits: Inherits;
  readonly alphas: Float32Array;
  readonly weights: Float32Array;
  readonly compute: Pick<Compute, 'runGraph'>;
  readonly loader: Pick<Loader, 'batch' | 'facts'>;
  readonly signal: AbortSignal;
}): Promise<Float32Array> {
  const { inherits, alphas, weights, compute, loader, signal } = of;
  const { classes, trainingImages } = loader.facts;
  const layout = layoutOf(buildSupernet(supernetOf(inherits, classes)));
  if (weights.length !== layout.parameterCount)
    throw new FleetError(
      'dataLoss',
      `the search network over ${classes} people needs ${layout.parameterCount} weights, stage ${inherits.stage} of ${inherits.run} has ${weights.length}`,
    );
  const { halves, seed, flip, cropFrom, calibration } = inherits;
  const schedule = calibrationSchedule(inherits, halfSizes(trainingImages).weights);
  const half = { half: 'weights', seed: halves.seed } as const;
  const graph = statisticsGraph(inherits, classes);
  return calibratedStatistics(calibration, async (step) => {
    signal.throwIfAborted();
    const { images } = await loader.batch({ schedule, seed, flip, cropFrom, half, step, shard: 0 });
    const [statistics] = await compute.runGraph(graph, [weights, alphas, images]);
    return statistics!;
  });
}

/** Steps of one shard each over a half of so many images, as many as the calibration takes. */
function calibrationSchedule({ batch, calibration }: Inherits, images: number): Schedule {
  const epochs = Math.ceil((calibration * batch) / images);
  return { images, batch, shards: 1, epochs, stepsTotal: calibration, roundSteps: 1 };
}
