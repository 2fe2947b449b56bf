// `npm run generate:search-table -- --candidates N`: trains the first N candidates of our own table (own-table.ts) and
// stores what each epoch's verification said, beside the scores of their initial weights. One candidate after the other
// in this process, by the loop, the compiled step and the verification of a worker; only the sum over shards is
// missing, because there is one shard.
//
// What the stored table has already is not trained again, and it is written after each candidate: so a table can be
// stopped and extended.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { cellSpace } from '../../coordinator/strategies/cell-space.ts';
import { createLoader } from '../../core/data/loading/loader.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { genotypeOfKey } from '../../core/nn/genotype-code.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { type Layout, layoutOf } from '../../core/nn/layout.ts';
import type { Network } from '../../core/nn/network.ts';
import { trainingFunction } from '../../core/nn/step-function.ts';
import { initialPass, normalisedPixels } from '../../core/screening/initial-pass.ts';
import { naswot } from '../../core/screening/naswot.ts';
import { synflow } from '../../core/screening/synflow.ts';
import { zen, zenImages } from '../../core/screening/zen.ts';
import { zico } from '../../core/screening/zico.ts';
import { type RunSpec, runSchema } from '../../core/spec/run.ts';
import { scheduleOf } from '../../core/spec/schedule.ts';
import { sweepSchema } from '../../core/spec/sweep.ts';
import { prepare } from '../../test/golden/execute.ts';
import { createCompute } from '../../worker/compute/client.ts';
import { optionsOf, say } from '../goals.ts';
import { heldOutOf, trainHere, verifyHere } from '../train-here.ts';
import { OWN_TABLE, type OwnCandidate, readOwnTable, SETTING } from './own-table.ts';

/** Images of a batch for NASWOT, zen and ZiCo. */
const SCREENED = 10;
/** Of ZiCo. */
const BATCHES = 2;

const { candidates: wanted } = optionsOf({ candidates: 240 });
const { training, verification, data, drawSeed, trainingSeeds } = SETTING;
const { space } = sweepSchema.parse({
  ...{ kind: 'sweep', name: 'table', space: SETTING.space, strategy: { kind: 'random', trials: 1, seed: 1 } },
  ...{ evaluation: { training }, data },
});
const cells = cellSpace({ space, constraints: {} });
const loader = await createLoader({ data });
const compute = createCompute({ cacheDir: '' });
const heldOut = await heldOutOf(loader);
const known = readOwnTable()?.candidates ?? [];
const table: OwnCandidate[] = [];
const begun = process.cpuUsage();
for (let draw = 0; table.length < wanted; draw++) {
  const genes = cells.draw(drawSeed, draw);
  const key = cells.keyOf(genes);
  if (table.some((one) => one.key === key)) continue;
  const found = known.find((one) => one.key === key);
  table.push(found ?? (await candidateOf(key)));
  if (found === undefined) store();
}
await loader.close();
await compute.close();

function store(): void {
  const kept = [...table, ...known.slice(table.length)];
  const text = JSON.stringify({ setting: SETTING, deviceClass: 'cpu', candidates: kept });
  writeFileSync(`${OWN_TABLE}.part`, gzipSync(text, { level: 9 }));
  renameSync(`${OWN_TABLE}.part`, OWN_TABLE);
  const { user, system } = process.cpuUsage(begun);
  const bytes = readFileSync(OWN_TABLE).length;
  say(`${kept.length} candidates, ${bytes} bytes, ${((user + system) / 1e6).toFixed(0)} s of processor time`);
}

async function candidateOf(key: string): Promise<OwnCandidate> {
  const { parameters, multiplyAdds } = cells.costsOf(cells.genesOf(key));
  const accuracy: number[][] = [];
  const scores: Record<string, (number | null)[]> = {};
  for (const seed of trainingSeeds) {
    const spec = runSchema.parse({
      ...{ kind: 'candidate', name: 'table', data, verification, training: { ...training, seed } },
      network: {
        ...{ kind: 'pocketnet', genotype: genotypeOfKey(key) },
        ...{ channels: space.channels, layers: space.layers, embedding: space.embedding },
      },
    });
    accuracy.push(await accuraciesOf(spec));
    for (const [name, score] of Object.entries(await scoresOf(spec)))
      scores[name] = [...(scores[name] ?? []), score];
  }
  return { key, parameters, multiplyAdds, accuracy, scores };
}

/** The accuracy after each epoch. */
async function accuraciesOf(spec: RunSpec): Promise<number[]> {
  const found: number[] = [];
  await trainHere({ loader, compute }, spec, async (_stage, network) => {
    found.push((await verifyHere(compute, spec, network, heldOut)).accuracy);
  });
  return found.map((value) => Number(value.toFixed(4)));
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
