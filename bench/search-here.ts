// A differentiable search in this process, by the procedure and the compiled passes of a worker; the sum over shards is
// made here, because there is one worker. For benchmarks that compare searches.

import type { Loader } from '../core/data/loading/loader.ts';
import { genotypeOfText } from '../core/nn/genotype-code.ts';
import { skipConnections } from '../core/search/policy.ts';
import type { RunSpec } from '../core/spec/run.ts';
import { scheduleOf, stageEndingAt } from '../core/spec/schedule.ts';
import type { SearchFound } from '../core/spec/search.ts';
import { createSums, joinSearch } from '../test/support/search-gang.ts';
import type { Compute } from '../worker/compute/client.ts';

/** What the alphas stand for at the end of an epoch. */
export interface SearchedEpoch extends SearchFound {
  /** From 1. */
  readonly epoch: number;
  /** Skip connections among the eight edges of the normal cell. */
  readonly skips: number;
}

/** Runs a search of kind `search` to its last epoch, and returns what was found at the end of each. */
export async function searchHere(
  { loader, compute }: { readonly loader: Loader; readonly compute: Compute },
  spec: RunSpec,
): Promise<SearchedEpoch[]> {
  const { classes, trainingImages } = loader.facts;
  const schedule = scheduleOf(spec.training, trainingImages);
  const [member] = await joinSearch({
    ...{ spec, classes, trainingImages, loader, compute },
    planes: () => createSums(),
    counts: [schedule.shards],
    runId: 'bench',
  });
  const { replica, procedure } = member!;
  const epochs: SearchedEpoch[] = [];
  try {
    while (replica.step < schedule.stepsTotal) {
      await member!.step();
      const epoch = stageEndingAt(schedule, replica.step);
      if (epoch === 0) continue;
      const found = (await member!.found(epoch))!;
      epochs.push({ ...found, epoch, skips: skipConnections(genotypeOfText(found.genotype)) });
    }
  } finally {
    await member!.leave();
    procedure.dispose();
  }
  return epochs;
}
