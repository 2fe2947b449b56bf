// What a sweep or a search by gradient has spent and found, asked of the coordinator. Decides what stands for the
// result of a search: the accuracy of a run that has trained the cells of its last stage as the candidates of the
// sweeps beside it are trained, with the seconds of that run on top of the search's.

import { FleetError } from '../../../core/errors.ts';
import { genotypeKey } from '../../../core/nn/genotype-code.ts';
import { canonicalJson } from '../../../core/spec/canonical-json.ts';
import { type Genotype, genotypeSchema } from '../../../core/spec/network.ts';
import type { Run, Sweep } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import type { Spent, SpentResult } from '../screen/equal-seconds.ts';
import { sumOfPhases } from '../screen/goodput.ts';
import { runsOf, trialsOf } from '../whole-lists.ts';

/** The parts of a spec that this needs; those of a sweep and of a run are alike in them. */
interface Spec {
  readonly name?: string;
  readonly data?: unknown;
  readonly verification?: unknown;
  readonly training?: { readonly seed?: number };
  readonly network?: { readonly genotype?: unknown } & Partial<Record<Size, unknown>>;
  readonly search?: {
    readonly order: string;
    readonly variant: string;
    readonly decode?: string;
    readonly strategy?: string;
    readonly auxiliarySkip?: unknown;
  };
  readonly strategy?: {
    readonly kind: string;
    readonly seed: number;
    readonly supernet?: unknown;
    readonly seeds?: readonly number[];
  };
  readonly space?: Partial<Record<Size, unknown>>;
  readonly evaluation?: { readonly training: { readonly seed?: number }; readonly verification?: unknown };
}

const SIZES = ['channels', 'layers', 'embedding'] as const;
type Size = (typeof SIZES)[number];

/** Worker-seconds of a sweep, trial or run. */
export async function workerSeconds(client: FleetClient, id: string): Promise<number> {
  const { seconds } = await client.ask((service) => service.getGoodput, { id });
  return seconds === undefined ? Number.NaN : sumOfPhases(seconds);
}

/** All of them, with methods that are named apart where specs differ in more than name and seed. */
export async function spentOf(client: FleetClient, things: readonly (Sweep | Run)[]): Promise<Spent[]> {
  const specs = things.map(({ specJson }) => JSON.parse(specJson) as Spec);
  const how = specs.flatMap(({ evaluation, space, data }) =>
    evaluation === undefined ? [] : [candidateKey({ ...evaluation, data, network: space ?? {} })],
  );
  if (new Set(how).size > 1)
    throw new FleetError(
      'invalidArgument',
      'the sweeps train or verify their candidates differently (training, verification, data, channels, layers or embedding), so their accuracies do not compare',
    );
  const all: Spent[] = [];
  for (const [at, thing] of things.entries()) {
    const spec = specs[at]!;
    all.push(
      'strategy' in thing
        ? await ofSweep(client, thing, spec)
        : await ofSearch(client, thing, { spec, how: how[0] }),
    );
  }
  return namedApart(all, specs);
}

async function ofSweep(client: FleetClient, { id }: Sweep, { strategy }: Spec): Promise<Spent> {
  const items = await trialsOf(client, id);
  const { kind, seeds } = strategy!;
  const isOfSeeds = seeds !== undefined;
  const seed = seeds?.[0] ?? strategy!.seed;
  const results: SpentResult[] = [];
  let seconds = 0;
  for (const trial of [...items].sort((a, b) => a.number - b.number)) {
    // A result that was taken cost what its run cost.
    const isReused = trial.reusedFrom !== '';
    // Cells that another seed had found are trained once, but searched for twice.
    if (isReused && isOfSeeds) seconds += await workerSeconds(client, trial.id);
    if (trial.runId !== '') seconds += await workerSeconds(client, isReused ? trial.reusedFrom : trial.id);
    if (trial.state === 'done' && Number.isFinite(trial.objective))
      results.push({ of: trial.id, seconds, accuracy: trial.objective });
  }
  const { supernet } = strategy!;
  const common = { id, method: kind, seed, total: seconds, isSearch: false };
  // Weights that were inherited are other weights than trained ones, whose accuracy is asked for here.
  if (supernet !== undefined && !isOfSeeds)
    return { ...common, results: [], missing: `its candidates inherit the weights of ${supernet}` };
  return { ...common, results, missing: results.length === 0 ? 'no candidate is done' : '' };
}

async function ofSearch(
  client: FleetClient,
  run: Run,
  { spec, how }: { readonly spec: Spec; readonly how: string | undefined },
): Promise<Spent> {
  const { order, variant, auxiliarySkip, decode, strategy } = spec.search!;
  const method = [
    ...(strategy === 'uniform' ? ['uniform'] : ['darts', order, variant]),
    ...(auxiliarySkip === undefined ? [] : ['auxiliary-skip']),
    ...(decode === 'perturb' ? ['perturb'] : []),
  ].join(' ');
  const own = await workerSeconds(client, run.id);
  const common = { id: run.id, method, seed: spec.training?.seed ?? 1, isSearch: true };
  const none = (missing: string): Spent => ({ ...common, total: own, results: [], missing });
  if (strategy === 'uniform') return none('it trains random paths and decodes no cells');
  if (run.state !== 'done' || run.found === undefined) return none(`it is ${run.state}`);
  const key = genotypeKey(genotypeSchema.parse(JSON.parse(run.found.genotypeJson)));
  const [trained] = (await runsOf(client)).filter(
    (one) => one.state === 'done' && one.evaluation !== undefined && trainsCells(one, key, how),
  );
  if (trained === undefined)
    return none(
      `its cells are not trained yet${how === undefined ? '' : ' as the candidates are'}: network: { genotype: ${run.id} }`,
    );
  const total = own + (await workerSeconds(client, trained.reusedFrom || trained.id));
  const results = [{ of: trained.id, seconds: total, accuracy: trained.evaluation!.accuracy }];
  return { ...common, total, results, missing: '' };
}

/** Whether a run trains these cells, as candidates are trained where there are some. */
function trainsCells({ kind, specJson }: Run, key: string, how: string | undefined): boolean {
  if (kind === 'search') return false;
  const spec = JSON.parse(specJson) as Spec;
  const genotype = genotypeSchema.safeParse(spec.network?.genotype);
  if (!genotype.success || genotypeKey(genotype.data as Genotype) !== key) return false;
  return how === undefined || candidateKey(spec) === how;
}

/** Equal for what is trained and verified alike, apart from the seed and the cells. */
function candidateKey({ data, network = {}, training, verification }: Spec): string {
  const { seed: _, ...trained } = training ?? {};
  return canonicalJson({ data, verification, training: trained, sizes: SIZES.map((size) => network[size]) });
}

function namedApart(all: readonly Spent[], specs: readonly Spec[]): Spent[] {
  const keys = specs.map(({ name: _, training, strategy, ...spec }) =>
    canonicalJson({
      ...spec,
      training: { ...training, seed: 0 },
      strategy: { ...strategy, seed: 0 },
    }),
  );
  const known = new Map<string, string[]>();
  return all.map((one, at) => {
    const before = known.get(one.method) ?? [];
    if (!before.includes(keys[at]!)) before.push(keys[at]!);
    known.set(one.method, before);
    const number = before.indexOf(keys[at]!) + 1;
    return number === 1 ? one : { ...one, method: `${one.method} (${number})` };
  });
}
