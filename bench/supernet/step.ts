// What a second-order step takes beside its four passes alone, in processor time of this process, all threads. One
// member has all shards, the exchange is a real one, and batches come out of memory on both sides, since loading them
// is no part of a step's arithmetic. The passes alone are the calls that a step has made, made again.
//
// A step and its passes are measured one right after the other, first and second in turn, since they then have about the
// same company on the machine; the median round counts. The arithmetic between the rounds of passes, with the digest of
// what it moves, is also timed by itself on as many weights as the published search network has.

import { createDataPlane } from '../../core/allreduce/plane.ts';
import { createLoader, type Loader } from '../../core/data/loading/loader.ts';
import type { Batch } from '../../core/data/loading/loader-messages.ts';
import { createLogger } from '../../core/log.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { ALPHA_COUNT, buildSupernet } from '../../core/nn/supernet.ts';
import { createAdam } from '../../core/optim/adam.ts';
import {
  commitStep,
  continueStep,
  createWork,
  type OpenStep,
  type SearchStepOptions,
  sizesOf,
} from '../../core/search/bilevel.ts';
import { roundLength, roundsOf } from '../../core/search/rounds.ts';
import { ALPHAS, trainedDigest, WEIGHTS } from '../../core/state-vectors.ts';
import { NAMES } from '../../test/support/names.ts';
import { startNats } from '../../test/support/nats.ts';
import { joinSearch, tinySearch } from '../../test/support/search-gang.ts';
import type { Compute } from '../../worker/compute/client.ts';
import { cpuMs } from '../control/processor.ts';
import { atMost, type Goal, median, say } from '../goals.ts';

/** Images of a shard, the fewest that second order takes without `force`. */
const SHARD_IMAGES = 8;
const PUBLISHED = { kind: 'supernet', channels: 16, layers: 8, classes: 10_572 } as const;

interface StepRow {
  readonly round: number;
  /** Processor seconds. */
  readonly step: number;
  readonly passes: number;
  /** Of `passes`: those of one sign of the finite difference, which a second worker a shard could make meanwhile. */
  readonly sign: number;
}

/** The step's share and the rounds that it comes from. */
export async function measureStep(
  compute: Compute,
  { shards, rounds }: { readonly shards: number; readonly rounds: number },
): Promise<{ readonly goals: Goal[]; readonly rows: readonly StepRow[] }> {
  say(
    `arithmetic of a step on ${layoutOf(buildSupernet(PUBLISHED)).parameterCount} weights: ${arithmeticSeconds().toFixed(3)} CPU s`,
  );
  const nats = await startNats({ jetstream: false });
  const log = createLogger({ program: 'bench', level: 'silent' });
  const plane = await createDataPlane({ ...nats.access, name: 'step', log, prefixes: NAMES.prefixes });
  const images = Math.ceil((shards * SHARD_IMAGES) / 4) * 2;
  const data = { kind: 'synthetic', identities: 8, images, holdout: 4, seed: 5, difficulty: 1 } as const;
  const loader = await createLoader({ data });
  const calls: Parameters<Compute['runGraph']>[] = [];
  const recording: Compute = {
    ...compute,
    runGraph(...call) {
      calls.push(call);
      return compute.runGraph(...call);
    },
  };
  try {
    const batch = shards * SHARD_IMAGES;
    const spec = { ...tinySearch({ order: 'second', variant: 'noleak', epochs: rounds + 2, batch, shards }) };
    spec.search = { ...spec.search!, supernet: { channels: 4, layers: 4 } };
    const { classes, trainingImages } = loader.facts;
    const [member] = await joinSearch({
      ...{ spec, classes, trainingImages, compute: recording, runId: 'step', counts: [shards] },
      loader: await inMemory(loader, rounds + 1),
      planes: () => plane,
    });
    const rows: StepRow[] = [];
    // The first step compiles, and finds the memory that later ones have.
    await member!.step();
    const made = calls.slice();
    const stepSeconds = () => cpuSecondsOf(() => member!.step());
    const again = (some: typeof made) =>
      cpuSecondsOf(() => Promise.all(some.map((call) => compute.runGraph(...call))));
    // The last round is that of both signs, half of all passes.
    const passSeconds = async () => {
      const before = await again(made.slice(0, made.length / 2));
      const signs = await again(made.slice(made.length / 2));
      return { passes: before + signs, sign: signs / 2 };
    };
    for (let round = 1; round <= rounds; round++) {
      const early = round % 2 === 0 ? await passSeconds() : undefined;
      const step = await stepSeconds();
      const { passes, sign } = early ?? (await passSeconds());
      rows.push({ round, step, passes, sign });
      say(
        `round ${round}: a step ${step.toFixed(2)} CPU s, its ${made.length} passes ${passes.toFixed(2)} CPU s`,
      );
    }
    await member!.leave();
    const share = median(rows.map(({ step, sign }) => sign / step));
    say(`one sign of the finite difference: ${(100 * share).toFixed(1)} % of a step`);
    const ratio = median(rows.map(({ step, passes }) => step / passes));
    return {
      goals: [atMost('CPU time of a second-order step against its four passes', ratio, 1.1, 'times')],
      rows,
    };
  } finally {
    await plane.close();
    await loader.close();
    await nats.stop();
  }
}

/** Answers with batches that were loaded before, one step's after the other for as many steps as are asked for. */
async function inMemory(loader: Loader, steps: number): Promise<Pick<Loader, 'batch'>> {
  const kept = new Map<string, Promise<Batch>>();
  return {
    async batch(request) {
      const keyAt = (step: number) => `${request.half?.half}/${step}/${request.shard}`;
      if (request.step === 0)
        for (let step = 0; step < steps; step++) kept.set(keyAt(step), loader.batch({ ...request, step }));
      // All are there before the first step goes on, which is not counted.
      if (request.step === 0) await Promise.all(kept.values());
      return (await kept.get(keyAt(request.step))) ?? loader.batch(request);
    },
  };
}

/** Between and after the rounds of a second-order step of the published search network. */
function arithmeticSeconds(): number {
  const layout = layoutOf(buildSupernet(PUBLISHED));
  const sizes = sizesOf(layout, ALPHA_COUNT);
  const step: SearchStepOptions = {
    ...{ order: 'second', variant: 'noleak', learningRate: 0.1 },
    optimizer: { momentum: 0.9, weightDecay: 3e-4, clipNorm: 5 },
    adam: { learningRate: 1.2e-3, betas: [0.5, 0.999], epsilon: 1e-8, weightDecay: 1e-3 },
  };
  const floats = (length: number) => new Float32Array(length).fill(1e-3);
  const state = {
    ...{ weights: floats(sizes.weights), momentum: floats(sizes.weights), alphas: floats(sizes.alphas) },
    ...{ running: floats(sizes.running), adam: createAdam(sizes.alphas) },
  };
  const open: OpenStep = { layout, state, step, work: createWork(sizes, step) };
  const rounds = roundsOf(step);
  const means = rounds.map((round) => floats(roundLength(sizes, round)));
  const took: number[] = [];
  for (let turn = 0; turn < 4; turn++) {
    const before = cpuMs();
    for (const [place, round] of rounds.entries())
      if (place < rounds.length - 1) continueStep(open, round, means[place]!);
      else commitStep(open, means[place]!);
    trainedDigest([
      { name: WEIGHTS, values: state.weights },
      { name: ALPHAS, values: state.alphas },
    ]);
    took.push((cpuMs() - before) / 1000);
  }
  return Math.min(...took);
}

async function cpuSecondsOf(work: () => Promise<unknown>): Promise<number> {
  const before = cpuMs();
  await work();
  return (cpuMs() - before) / 1000;
}
