// Answers a Score command: the scores of some networks at their initial weights, each a job of the compute thread
// between those of the runs that train here. A failure is part of the answer.

import { z } from 'zod';
import { toFleetError } from '../../core/errors.ts';
import type { Scored } from '../../core/screening/score.ts';
import { dataSchema } from '../../core/spec/data.ts';
import { type NetworkSpec, networkSchema } from '../../core/spec/network.ts';
import { SCORES } from '../../core/spec/screening.ts';
import { trainingSchema } from '../../core/spec/training.ts';
import { shapedJson } from '../../core/text/shape.ts';
import type { NetworkScores, Score } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { OwnServices } from '../run/services.ts';
import { needsImages, scoreBatches } from './score-batches.ts';

export async function answerScore(services: OwnServices, request: Score, signal: AbortSignal): Promise<void> {
  const { requestId } = request;
  const send = (networks: NetworkScores[], end: { ended: boolean; error: string }) =>
    services.report({ $case: 'scoreResult', value: { requestId, networks, ...end } });
  try {
    const { networks, scores, training, batches } = await checked(services, request);
    // A job for each score, so that no run waits longer than for one of them, and after the jobs of runs.
    const compute = services.compute.ranked('last');
    for (const [place, network] of networks.entries()) {
      const scored: Scored[] = [];
      for (const score of scores) {
        const request = { network, scores: [score], ...batches, seed: training.seed, loss: training.loss };
        scored.push(...(await compute.scoreNetwork(request)));
        signal.throwIfAborted();
      }
      send([scoresOf(place, scored)], { ended: place === networks.length - 1, error: '' });
    }
  } catch (caught) {
    if (signal.aborted) return;
    const { message } = toFleetError(caught);
    services.log.warn({ requestId }, `scoring failed: ${message}`);
    send([], { ended: true, error: message });
  }
}

const scoresOf = (place: number, scored: readonly Scored[]): NetworkScores => ({
  place,
  values: scored.map(({ value = Number.NaN }) => value),
  reason: scored.find(({ reason }) => reason !== undefined)?.reason ?? '',
});

async function checked(services: OwnServices, request: Score) {
  const unknown = (what: string) => `this worker does not understand the ${what}`;
  const scores = z.array(z.enum(SCORES)).parse(request.scores);
  const training = shapedJson(trainingSchema, request.trainingJson, unknown('training spec'));
  const networks = request.networksJson.map(
    (text): NetworkSpec => shapedJson(networkSchema, text, unknown('network')),
  );
  if (!needsImages(scores)) return { scores, training, networks, batches: { batches: [], classes: 1 } };
  const data = shapedJson(dataSchema, request.dataJson, unknown('data spec'));
  const { loader, release } = await services.datasets.acquire({ data, digest: request.dataDigest });
  try {
    return { scores, training, networks, batches: await scoreBatches(loader, training.seed) };
  } finally {
    await release();
  }
}
