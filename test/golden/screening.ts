// Compares the scores of networks at their initial weights with PyTorch's in double precision. The fixture has scores
// alone: weights, images and labels follow from the seed.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { layoutOf } from '../../core/nn/layout.ts';
import { trainingFunction } from '../../core/nn/step-function.ts';
import { initialPass, normalisedPixels } from '../../core/screening/initial-pass.ts';
import { naswot } from '../../core/screening/naswot.ts';
import { synflow } from '../../core/screening/synflow.ts';
import { zen, zenImages } from '../../core/screening/zen.ts';
import { zico } from '../../core/screening/zico.ts';
import { prepare } from './execute.ts';
import { CLASSES, LOSS, SCREENING_CASES, type ScreeningCase, screeningInputs } from './screening-cases.ts';
import { type CheckRow, row } from './verification.ts';

type Scores = Partial<Record<'synflow' | 'naswot' | 'zen' | 'zico', number>>;

/**
 * Of the logarithm, which for synflow and zen is a relative error of the score itself. Synflow is computed in double
 * precision on both sides. The others are those of single precision, four times what PyTorch's own single precision
 * differs from its double: signs of inputs near 0 flip (2e-5), and a change of 0.01 carries the rounding of its images
 * (7e-5). ZiCo divides by differences of gradients that nearly agree, so single precision moves it by up to 0.9 %, where
 * another seed moves it by 2 to 4 % and another genotype by a fifth.
 */
const TOLERANCES = { synflow: 1e-10, naswot: 1e-4, zen: 3e-4 } as const;
const ZICO_RELATIVE = 0.02;

/** `brief`: one seed of the networks that have the kinds of layers of another one. */
export async function checkScreening(
  path: string,
  { scale, brief }: { readonly scale: number; readonly brief: boolean },
): Promise<CheckRow[]> {
  const golden = JSON.parse(readFileSync(path, 'utf8')) as {
    scores: readonly ({ readonly case: string; readonly seed: number } & Scores)[];
  };
  const rows: CheckRow[] = [];
  for (const one of SCREENING_CASES) {
    if (brief && one.isRepeated) continue;
    const wanted = golden.scores.find(({ case: name, seed }) => name === one.name && seed === one.seed);
    const found = await scoresOf(one);
    const compare = (score: keyof Scores, tolerance: number) => {
      const [a, b] = [found[score], wanted?.[score]];
      if (a === undefined && b === undefined) return;
      const difference = Math.abs((a ?? Number.NaN) - (b ?? Number.NaN));
      rows.push(row(basename(path), `${one.name} ${one.seed}: ${score}`, difference, tolerance * scale));
    };
    compare('synflow', TOLERANCES.synflow);
    compare('naswot', TOLERANCES.naswot);
    compare('zen', TOLERANCES.zen);
    compare('zico', ZICO_RELATIVE * Math.abs(wanted?.zico ?? 0));
  }
  return rows;
}

async function scoresOf(one: ScreeningCase): Promise<Scores> {
  const { network, layout, weights, batches } = screeningInputs(one);
  const { images } = one;
  const backbone = weights.subarray(0, layout.parameterCount);
  const found = { synflow: synflow(network, layout, backbone) };
  if (images === 0) return found;
  const pass = await prepare('eager', '', initialPass({ network, layout, images }));
  const [x, changed] = zenImages(one.seed, images);
  const [base, other] = [pass.run([backbone, x]), pass.run([backbone, changed])];
  const [, , shared] = pass.run([backbone, normalisedPixels(batches[0]!.images)]);
  const withHead = layoutOf(network, { classes: CLASSES });
  const step = await prepare(
    'eager',
    '',
    trainingFunction({ network, layout: withHead, batch: images, loss: LOSS }),
  );
  const gradients = batches.map((batch) => step.run([weights, batch.images, batch.labels])[0]!);
  return {
    ...found,
    naswot: naswot(network, images, shared!),
    zen: zen({ layout, images, embeddings: [base[0]!, other[0]!], statistics: base[1]! }),
    zico: zico(network, withHead, gradients),
  };
}
