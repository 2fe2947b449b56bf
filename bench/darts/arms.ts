// One seed of `bench:darts`: a search by gradient as it is, the same with an unweighted skip that fades out, and a search
// at random that takes as many seconds of processor time; then the winner of each is trained alike. Decides what is equal:
// sizes, images, the order of them, first weights, pairs.
//
// No search sees the people on whom winners are verified. Those by gradient have all others, in two halves; the search at
// random trains its candidates on a part of the others and chooses by verification on the rest of them.

import type { Loader } from '../../core/data/loading/loader.ts';
import { genotypeKey, genotypeOfText } from '../../core/nn/genotype-code.ts';
import { randomGenotype } from '../../core/nn/random-genotype.ts';
import { skipConnections } from '../../core/search/policy.ts';
import { documentOf, documentSchema } from '../../core/spec/document.ts';
import { OPS, type Op } from '../../core/spec/network.ts';
import { type RunSpec, runSchema } from '../../core/spec/run.ts';
import type { Compute } from '../../worker/compute/client.ts';
import { cpuMs } from '../control/processor.ts';
import { searchHere } from '../search-here.ts';
import { type HeldOut, heldOutOf, trainHere, verifyHere } from '../train-here.ts';

/** By gradient, the same with an auxiliary skip, at random. */
export const ARMS = ['darts', 'auxiliary-skip', 'random'] as const;
/** One of these. */
export type Arm = (typeof ARMS)[number];

/** What is searched and on what. */
export interface DartsSetting {
  /** A folder a person. */
  readonly path: string;
  /** People on whom winners are verified. */
  readonly testPeople: number;
  /** People on whom candidates of the search at random are verified. */
  readonly choicePeople: number;
  readonly channels: number;
  readonly layers: number;
  /** Of the searches by gradient. */
  readonly epochs: number;
  readonly batch: number;
  readonly shards: number;
  /** Epochs for which a candidate of the search at random is trained. */
  readonly candidateEpochs: number;
  /** Epochs for which winners are trained. */
  readonly winnerEpochs: number;
  /** Pairs of a verification: of the winners, and of candidates. */
  readonly pairs: { readonly test: number; readonly choice: number };
}

/** What an arm of a seed came to. */
export interface ArmResult {
  readonly seed: number;
  readonly arm: Arm;
  /** Seconds of processor time of the search, without the training of its winner. */
  readonly searchSeconds: number;
  /** The winner, as a text of `keyOfCode`. */
  readonly genotype: string;
  /** Skip connections among the eight edges of the winner's normal cell. */
  readonly skips: number;
  /** By epoch, of a search by gradient; of that at random by candidate. */
  readonly skipsOnTheWay: readonly number[];
  /** Of the trained winner on the people of the test: percent, and the area under the curve. */
  readonly accuracy: number;
  readonly auc: number;
  /** The pairs behind it; `right` as a text, a 1 for each pair that was judged rightly. */
  readonly judged: {
    readonly personA: readonly number[];
    readonly personB: readonly number[];
    readonly right: string;
  };
}

/** The data sets of a setting, open. */
export interface DartsData {
  readonly compute: Compute;
  /** All but the people of the test are to train on. */
  readonly searched: Loader;
  /** People to choose by are held out too. */
  readonly chosenBy: Loader;
}

const EMBEDDING = 32;
const FIRST_RATE = 0.05;

/** One arm of one seed. `secondsMax`: what the search at random may take; the others end with their last epoch. */
export async function runArm(
  open: DartsData,
  setting: DartsSetting,
  of: { readonly seed: number; readonly arm: Arm; readonly secondsMax: number },
): Promise<ArmResult> {
  const begun = cpuMs();
  const found = of.arm === 'random' ? await atRandom(open, setting, of) : await byGradient(open, setting, of);
  const searchSeconds = (cpuMs() - begun) / 1000;
  const spec = networkSpec(setting, {
    ...{ genotype: found.genotype, seed: of.seed, epochs: setting.winnerEpochs },
    ...{ holdout: setting.testPeople, pairs: setting.pairs.test },
  });
  const heldOut = await heldOutOf(open.searched);
  const {
    accuracy,
    auc,
    right,
    of: pairs,
  } = await trainedAndVerified(open.compute, open.searched, spec, heldOut);
  const judged = {
    personA: pairs.map(({ a }) => heldOut.labels[a]!),
    personB: pairs.map(({ b }) => heldOut.labels[b]!),
    right: right.map((one) => (one ? '1' : '0')).join(''),
  };
  const skips = skipsOf(found.genotype);
  const { seed, arm } = of;
  return { seed, arm, searchSeconds, ...found, skips, accuracy: 100 * accuracy, auc, judged };
}

const skipsOf = (key: string): number => skipConnections(genotypeOfText(key));

interface Found {
  readonly genotype: string;
  readonly skipsOnTheWay: readonly number[];
}

async function byGradient(
  { compute, searched: loader }: DartsData,
  setting: DartsSetting,
  { seed, arm }: { readonly seed: number; readonly arm: Arm },
): Promise<Found> {
  const { channels, layers, epochs, batch, shards, path, testPeople } = setting;
  const spec = documentOf(
    documentSchema.parse({
      ...{ kind: 'search', name: arm, supernet: { channels, layers } },
      data: { kind: 'folder', path, holdout: testPeople },
      halves: { seed },
      search: {
        ...{ order: 'first', variant: 'noleak', epochs, batch, shards, seed },
        ...(arm === 'auxiliary-skip' ? { auxiliarySkip: { from: 1, to: 0 } } : {}),
      },
      workers: { max: 1 },
    }),
  ) as RunSpec;
  const stages = await searchHere({ loader, compute }, spec);
  return { genotype: stages.at(-1)!.genotype, skipsOnTheWay: stages.map(({ skips }) => skips) };
}

const ops = OPS.filter((op): op is Exclude<Op, 'none'> => op !== 'none');

/** Candidates drawn at random one after the other, as long as there is time for one more: the best by AUC. */
async function atRandom(
  { compute, chosenBy }: DartsData,
  setting: DartsSetting,
  { seed, secondsMax }: { readonly seed: number; readonly secondsMax: number },
): Promise<Found> {
  const begun = cpuMs();
  const heldOut = peopleOf(await heldOutOf(chosenBy), setting.choicePeople);
  const skipsOnTheWay: number[] = [];
  let best: { readonly genotype: string; readonly auc: number } | undefined;
  for (let number = 0; ; number++) {
    const genotype = genotypeKey(randomGenotype(ops, seed, number));
    const spec = networkSpec(setting, {
      ...{ genotype, seed, epochs: setting.candidateEpochs, pairs: setting.pairs.choice },
      holdout: setting.testPeople + setting.choicePeople,
    });
    const { auc } = await trainedAndVerified(compute, chosenBy, spec, heldOut);
    if (best === undefined || auc > best.auc) best = { genotype, auc };
    skipsOnTheWay.push(skipsOf(genotype));
    const spent = (cpuMs() - begun) / 1000;
    if (spent + spent / (number + 1) > secondsMax) return { genotype: best.genotype, skipsOnTheWay };
  }
}

/** The first people of a held-out set, which is in the order of people. */
function peopleOf({ labels, images, flipped }: HeldOut, people: number): HeldOut {
  const first = [...new Set(labels)].slice(0, people);
  const count = labels.filter((label) => first.includes(label)).length;
  const bytes = (images.length / labels.length) * count;
  return {
    labels: labels.slice(0, count),
    images: images.slice(0, bytes),
    flipped: flipped.slice(0, bytes),
  };
}

function networkSpec(
  { path, channels, layers, batch }: DartsSetting,
  of: {
    readonly genotype: string;
    readonly seed: number;
    readonly epochs: number;
    readonly holdout: number;
    readonly pairs: number;
  },
): RunSpec {
  return runSchema.parse({
    ...{ kind: 'candidate', name: 'bench', data: { kind: 'folder', path, holdout: of.holdout } },
    network: {
      ...{ kind: 'pocketnet', channels, layers, embedding: EMBEDDING },
      genotype: genotypeOfText(of.genotype),
    },
    training: {
      ...{ epochs: of.epochs, batch, shards: 2, seed: of.seed },
      optimizer: { learningRate: FIRST_RATE },
      loss: { scale: 32, margin: 0.3 },
    },
    verification: { pairs: of.pairs },
  });
}

async function trainedAndVerified(compute: Compute, loader: Loader, spec: RunSpec, heldOut: HeldOut) {
  let last: Awaited<ReturnType<typeof verifyHere>> | undefined;
  await trainHere({ loader, compute }, spec, async (stage, network) => {
    if (stage === spec.training.epochs) last = await verifyHere(compute, spec, network, heldOut);
  });
  return last!;
}
