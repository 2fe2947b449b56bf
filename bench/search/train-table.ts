// `npm run generate:search-table -- --candidates N --seconds S --first F`: trains N candidates of our own table
// (own-table.ts) from number F on, for S seconds of processor time at most, and stores what each verification on the way
// said, beside the scores of their initial weights. One candidate after the other in this process, by the loop, the compiled step and the
// verification of a worker; only the sum over shards is missing, because there is one shard.
//
// What the stored table has already is not trained again, and it is written after each candidate: so a table can be
// stopped and extended.

import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { type CellSpace, cellSpace } from '../../coordinator/strategies/cell-space.ts';
import { createLoader } from '../../core/data/loading/loader.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { genotypeOfKey } from '../../core/nn/genotype-code.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { type Layout, layoutOf } from '../../core/nn/layout.ts';
import type { Network } from '../../core/nn/network.ts';
import { trainingFunction } from '../../core/nn/step-function.ts';
import { randomStream } from '../../core/rng.ts';
import { initialPass, normalisedPixels } from '../../core/screening/initial-pass.ts';
import { naswot } from '../../core/screening/naswot.ts';
import { synflow } from '../../core/screening/synflow.ts';
import { zen, zenImages } from '../../core/screening/zen.ts';
import { zico } from '../../core/screening/zico.ts';
import type { Op } from '../../core/spec/network.ts';
import { type RunSpec, runSchema } from '../../core/spec/run.ts';
import { scheduleOf } from '../../core/spec/schedule.ts';
import { sweepSchema } from '../../core/spec/sweep.ts';
import { prepare } from '../../test/golden/execute.ts';
import { createCompute } from '../../worker/compute/client.ts';
import { optionsOf, say } from '../goals.ts';
import { heldOutOf, trainHere, verifyHere } from '../train-here.ts';
import { writeWhole } from '../whole-file.ts';
import {
  type Choice,
  keyOfChoice,
  OWN_TABLE,
  type OwnCandidate,
  readOwnTable,
  SETTING,
} from './own-table.ts';

/** Images of a batch for NASWOT, zen and ZiCo. */
const SCREENED = 10;
/** Of ZiCo. */
const BATCHES = 2;

const { candidates: wanted, seconds: most, first } = optionsOf({ candidates: 300, seconds: 9_000, first: 0 });
const { space, training, verification, data, drawSeed, trainingSeeds, seededEvery } = SETTING;
const loader = await createLoader({ data });
const compute = createCompute({ cacheDir: '' });
const heldOut = await heldOutOf(loader);
const commit = execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).trim();
const begun = process.cpuUsage();
for (let number = first; number < first + wanted && processorSeconds() < most; number++) {
  const { cells, ...choice } = drawn(number);
  const key = keyOfChoice(choice);
  if (readOwnTable()?.candidates.some((one) => one.key === key)) continue;
  store(await candidateOf(number, choice, cells));
}
await loader.close();
await compute.close();

function processorSeconds(): number {
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1e6;
}

/** Adds a candidate to what is stored now, because another process may train others beside this one. */
function store(candidate: OwnCandidate): void {
  const { commits = [], candidates = [] } = readOwnTable() ?? {};
  const table = {
    command: 'npm run generate:search-table',
    commits: [...new Set([...commits, commit])],
    ...{ deviceClass: 'cpu', setting: SETTING },
    candidates: [...candidates, candidate].sort((a, b) => a.number - b.number),
  };
  writeWhole(OWN_TABLE, gzipSync(JSON.stringify(table), { level: 9 }));
  const auc = candidate.auc.map((stages) => stages.at(-1)!.toFixed(3)).join(' | ');
  say(`${candidate.number} ${candidate.key}: ${auc}`);
  say(`${table.candidates.length} candidates, ${processorSeconds().toFixed(0)} s of processor time here`);
}

/** The cells of a space of these widths. */
function cellsOf(choice: {
  readonly channels: number;
  readonly embedding: number;
  readonly ops: readonly Op[];
}) {
  const { channels, embedding, ops } = choice;
  const document = {
    ...{ kind: 'sweep', name: 'table', space: { channels, embedding, layers: space.layers, ops } },
    ...{
      strategy: { kind: 'random', trials: 1, seed: 1 },
      evaluation: { training: { epochs: 1, batch: 2, shards: 1 } },
      data,
    },
  };
  return cellSpace({ space: sweepSchema.parse(document).space, constraints: {} });
}

/** What a number stands for: widths, a list of operations and cells of these, and a learning rate. */
function drawn(number: number): Choice & { readonly cells: CellSpace } {
  const stream = randomStream({ seed: drawSeed, purpose: 'own-table', at: [number, 0] });
  const pick = <T>(from: readonly T[]): T => from[stream.integer(from.length)]!;
  const channels = pick(space.channels);
  const embedding = pick(space.embeddings);
  const ops = pick<readonly Op[]>(space.ops);
  const cells = cellsOf({ channels, embedding, ops });
  const learningRate = pick(space.learningRates);
  const genotype = cells.keyOf(cells.draw(drawSeed, number));
  return { channels, embedding, genotype, learningRate, cells };
}

async function candidateOf(number: number, choice: Choice, cells: CellSpace): Promise<OwnCandidate> {
  const { channels, embedding, genotype, learningRate } = choice;
  const { milestones, gamma, ...others } = training;
  const optimizer = { learningRate, milestones, gamma };
  const { parameters, multiplyAdds } = cells.costsOf(cells.genesOf(genotype));
  const seeds = number % seededEvery === 0 ? trainingSeeds : trainingSeeds.slice(0, 1);
  const specs = seeds.map((seed) =>
    runSchema.parse({
      ...{ kind: 'candidate', name: 'table', data, verification, training: { ...others, optimizer, seed } },
      network: {
        ...{ kind: 'pocketnet', genotype: genotypeOfKey(genotype) },
        ...{ channels, embedding, layers: space.layers },
      },
    }),
  );
  const scores = await scoresOf(specs[0]!);
  const found: { auc: number[]; accuracy: number[] }[] = [];
  for (const spec of specs) found.push(await verifiedOn(spec));
  return {
    ...{ number, key: keyOfChoice(choice), parameters, multiplyAdds },
    ...{ auc: found.map(({ auc }) => auc), accuracy: found.map(({ accuracy }) => accuracy) },
    scores,
  };
}

/** What the verifications after the stages said. */
async function verifiedOn(spec: RunSpec): Promise<{ auc: number[]; accuracy: number[] }> {
  const [auc, accuracy]: [number[], number[]] = [[], []];
  await trainHere({ loader, compute }, spec, async (_, network) => {
    const found = await verifyHere(compute, spec, network, heldOut);
    auc.push(Number(found.auc.toFixed(4)));
    accuracy.push(Number(found.accuracy.toFixed(4)));
  });
  return { auc, accuracy };
}

/** The scores at the weights with which the seed begins. */
async function scoresOf(spec: RunSpec): Promise<Record<string, number | null>> {
  const network = buildNetwork(spec.network);
  const { seed } = spec.training;
  const { classes } = loader.facts;
  const withHead = layoutOf(network, { classes });
  const layout = layoutOf(network);
  const weights = initialWeights(withHead, seed);
  const backbone = weights.subarray(0, layout.parameterCount);
  const pass = await prepare('eager', '', initialPass({ network, layout, images: SCREENED }));
  const [x, changed] = zenImages(seed, SCREENED);
  const [base, other] = [pass.run([backbone, x]), pass.run([backbone, changed])];
  const batches = await screenedBatches(spec);
  const [, , shared] = pass.run([backbone, normalisedPixels(batches[0]!.images)]);
  return {
    synflow: finite(() => synflow(network, layout, backbone)),
    naswot: finite(() => naswot(network, SCREENED, shared!)),
    zen: finite(() =>
      zen({ layout, images: SCREENED, embeddings: [base[0]!, other[0]!], statistics: base[1]! }),
    ),
    zico: await zicoOf(network, withHead, { weights, batches, spec }),
  };
}

/** The first batches of the training. */
async function screenedBatches({ training: { seed, flip, ...of } }: RunSpec) {
  const schedule = scheduleOf({ ...of, seed, flip, batch: SCREENED, shards: 1 }, loader.facts.trainingImages);
  return Promise.all(
    Array.from({ length: BATCHES }, (_, step) => loader.batch({ schedule, seed, flip, step, shard: 0 })),
  );
}

async function zicoOf(
  network: Network,
  layout: Layout,
  given: {
    readonly weights: Float32Array;
    readonly batches: readonly { readonly images: Uint8Array; readonly labels: Int32Array }[];
    readonly spec: RunSpec;
  },
): Promise<number | null> {
  const { weights, batches, spec } = given;
  const { loss } = spec.training;
  const step = await prepare('eager', '', trainingFunction({ network, layout, batch: SCREENED, loss }));
  const gradients = batches.map(({ images, labels }) => step.run([weights, images, labels])[0]!);
  return finite(() => zico(network, layout, gradients));
}

/** Null where a score has no value. */
function finite(score: () => number): number | null {
  try {
    return Number(score().toPrecision(8));
  } catch {
    return null;
  }
}
