// Answers a Score command: the scores of some networks at their initial weights, each a job of the compute thread
// between those of the runs that train here. Decides which images they see. A failure is part of the answer.

import { z } from 'zod';
import type { Loader } from '../../core/data/loading/loader.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Scored } from '../../core/screening/score.ts';
import { dataSchema } from '../../core/spec/data.ts';
import { type NetworkSpec, networkSchema } from '../../core/spec/network.ts';
import { SCORES, type ScoreName } from '../../core/spec/screening.ts';
import { type TrainingSpec, trainingSchema } from '../../core/spec/training.ts';
import { shapedJson } from '../../core/text/shape.ts';
import type { NetworkScores, Score } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { OwnServices } from '../run/services.ts';

/** Images of a batch at most; half of the training images where they are few. */
const IMAGES_MAX = 16;
/** ZiCo compares two. */
const BATCHES = 2;

const OF_IMAGES: ReadonlySet<ScoreName> = new Set(['naswot', 'zico']);

export async function answerScore(services: OwnServices, request: Score, signal: AbortSignal): Promise<void> {
  const { requestId } = request;
  const send = (networks: NetworkScores[], end: { ended: boolean; error: string }) =>
    services.report({ $case: 'scoreResult', value: { requestId, networks, ...end } });
  try {
    const { networks, scores, training, batches } = await checked(services, request);
    for (const [place, network] of networks.entries()) {
      const scored: Scored[] = [];
      // A job for each, so that no run waits longer than for one of them.
      for (const score of scores) {
        const request = { network, scores: [score], ...batches, seed: training.seed, loss: training.loss };
        scored.push(...(await services.compute.scoreNetwork(request)));
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
  if (!scores.some((score) => OF_IMAGES.has(score)))
    return { scores, training, networks, batches: { batches: [], classes: 1 } };
  const data = shapedJson(dataSchema, request.dataJson, unknown('data spec'));
  const { loader, release } = await services.datasets.acquire(data);
  try {
    return { scores, training, networks, batches: await batchesOf(loader, training) };
  } finally {
    await release();
  }
}

/** The first batches of an epoch of this seed, with labels that count from 0 within them. */
async function batchesOf(loader: Loader, { seed }: TrainingSpec) {
  const { trainingImages } = loader.facts;
  const batch = Math.max(1, Math.min(IMAGES_MAX, Math.floor(trainingImages / BATCHES)));
  const schedule = {
    ...{ images: trainingImages, batch, shards: 1, epochs: 1, roundSteps: 1 },
    stepsTotal: BATCHES,
  };
  const found = [];
  for (let step = 0; step < BATCHES; step++)
    found.push(await loader.batch({ schedule, seed, flip: false, step, shard: 0 }));
  const classes = new Map<number, number>();
  for (const { labels } of found)
    for (const label of labels) if (!classes.has(label)) classes.set(label, classes.size);
  return {
    batches: found.map(({ images, labels }) => ({
      images,
      labels: labels.map((label) => classes.get(label)!),
    })),
    classes: classes.size,
  };
}
