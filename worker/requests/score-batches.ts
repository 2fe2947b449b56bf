// Which images the scores of networks at initial weights see: the first batches of an epoch, the same for every network
// of a seed. Decides how many, and how their people are numbered.

import type { Loader } from '../../core/data/loading/loader.ts';
import type { ScoreName } from '../../core/spec/screening.ts';

/** Images of a batch at most; half of the training images where they are few. */
const IMAGES_MAX = 16;
/** ZiCo compares two. */
const BATCHES = 2;

const OF_IMAGES: ReadonlySet<ScoreName> = new Set(['naswot', 'zico']);

/** Whether one of these scores is computed from images. */
export const needsImages = (scores: readonly ScoreName[]): boolean =>
  scores.some((score) => OF_IMAGES.has(score));

/** The first batches of an epoch of this seed, with labels that count from 0 within them. */
export async function scoreBatches(loader: Loader, seed: number) {
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
