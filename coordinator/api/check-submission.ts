// From a YAML text to documents that may be journalled: well-formed, with a teacher that exists and with data
// behind them. Decides what only the fleet and the data can refuse. Nothing takes effect here: a document
// that passes is an input of the core.

import type { Inspection } from '../../core/data/inspection/inspection.ts';
import { toFleetError } from '../../core/errors.ts';
import { assertClassesDivide } from '../../core/head/classes.ts';
import { halfSizes, strictFault } from '../../core/search/halves.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { DataSpec } from '../../core/spec/data.ts';
import type { DocumentSpec } from '../../core/spec/document.ts';
import { searchRunIn, sweepIn } from '../../core/spec/plan-search.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { trainedImages } from '../../core/spec/schedule.ts';
import { searchOfSeed, withSeeds } from '../../core/spec/seed-searches.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { TrainingSpec } from '../../core/spec/training.ts';
import { problemsIn } from '../../core/text/text-problems.ts';
import { assertPairsPossible } from '../../core/verify/pairs.ts';
import type { CheckedDocument } from '../decisions/inputs.ts';
import { quotaFaults } from '../decisions/quotas.ts';
import type { Fleet } from '../decisions/reuse.ts';
import { withStartById } from '../decisions/warm-start.ts';
import type { Caller } from '../model/caller.ts';
import type { DataFacts, State } from '../model/state.ts';
import { requirementFaults } from '../scheduling/requirement.ts';
import { fidelityKindOf } from '../strategies/fidelity.ts';
import { type HalvingSpec, rungsFor } from '../strategies/rungs.ts';
import { prepareSpaces } from '../strategies/spaces.ts';
import { withGenotypes } from './genotype-references.ts';
import { checkInherited } from './inherited-weights.ts';
import { type Located, refusal, refusedField, refuseTogether, type Submission } from './submission.ts';
import type { SubmissionReader } from './submission-reader.ts';
import { checkPeople, checkRows, checkStages, checkTeacher } from './teacher-checks.ts';

/** Every document of the text, checked, or a FleetError that names each field that is wrong. */
export async function checkSubmission(
  submission: Submission,
  state: () => State,
  {
    reader,
    inspect,
    imageRowsBytes: bytesMax,
    pools = () => [],
    by,
    signal,
  }: {
    readonly reader: SubmissionReader;
    readonly inspect: Inspect;
    /** Bytes in which a worker may keep its teachers' embeddings of single images; absent: not known. */
    readonly imageRowsBytes?: number | undefined;
    /** The fleet's workers, who decide whether a result can be taken. */
    readonly pools?: Fleet['pools'];
    /** Whose limits hold for it. */
    readonly by?: Caller | undefined;
    readonly signal?: AbortSignal;
  },
): Promise<CheckedDocument[]> {
  const located = withGenotypes(await reader.read(submission, signal), state());
  const context = { all: located, state };
  refuseTogether(
    located.flatMap((document) => [
      () => checkTeacher(document, context),
      () => checkStart(document, state()),
      ...fleetChecks(document, state(), by),
    ]),
  );
  const found = new Map<Located, DataFacts & { readonly digest: string }>();
  const inspections = new Map<string, Inspection>();
  const documents: CheckedDocument[] = [];
  const checks: (() => void)[] = [];
  for (const document of located) {
    const key = canonicalJson(document.spec.data);
    try {
      const known = inspections.get(key) ?? (await inspected(document, inspect));
      inspections.set(key, known);
      checks.push(...dataChecks(document, known));
      const facts = { ...known.facts, digest: known.digest };
      found.set(document, facts);
      checks.push(() => checkStages(document, context, { fleet: { state: state(), pools }, facts }));
      if (bytesMax !== undefined) checks.push(() => checkRows(document, { facts, bytesMax }, context));
      documents.push(checked({ ...document, spec: withSkipped(document.spec, known) }, facts));
    } catch (caught) {
      const error = toFleetError(caught);
      if (problemsIn(error).length === 0) throw caught;
      checks.push(() => {
        throw error;
      });
    }
  }
  refuseTogether([
    ...checks,
    ...located.map((document) => () => checkPeople(document, context, found)),
    ...located.map((document) => () => checkInherited(document, { state: state(), found })),
  ]);
  // The decision proposes at once, and other calls do not wait until networks are counted for it.
  await prepareSpaces(located.map(({ spec }) => spec));
  return documents;
}

/**
 * What refuses a document that its owner may never have, or no worker can ever train. The decision checks it again,
 * since configurations change.
 */
function fleetChecks(document: Located, state: State, by: Caller | undefined): (() => void)[] {
  const faults = [...quotaFaults(state, document.spec, by), ...requirementFaults(state, document.spec)];
  return faults.map(({ field, reason }) => () => {
    throw refusal(document, field, reason, { code: 'failedPrecondition' });
  });
}

/** Looks at a data set: its facts, or a FleetError that says what is wrong with it. */
export type Inspect = (data: DataSpec) => Promise<Inspection>;

/**
 * Adds the images that are left out to the spec's data, since the result of a run has to follow from its spec
 * alone.
 */
function withSkipped(spec: DocumentSpec, { skipped }: Inspection): DocumentSpec {
  return skipped === undefined || spec.data.kind === 'synthetic'
    ? spec
    : { ...spec, data: { ...spec.data, skipped } };
}

/** The sweep that a search begins with has results that count in it. */
function checkStart(document: Located, state: State): void {
  const { spec } = document;
  const search = spec.kind === 'plan' ? sweepIn(spec) : spec.kind === 'sweep' ? spec : undefined;
  if (search !== undefined)
    against(document, spec.kind === 'plan' ? 'search.' : '', () => withStartById(state, search));
}

/** Every training of a document, by the field that it is under. */
function trainingsOf(
  spec: DocumentSpec,
): { readonly path: string; readonly training: TrainingSpec; readonly pairs: number }[] {
  const entry = (path: string, at: { training: TrainingSpec; verification: { pairs: number } }) => ({
    path,
    training: at.training,
    pairs: at.verification.pairs,
  });
  const search = (path: string, { strategy, evaluation }: Pick<SweepSpec, 'strategy' | 'evaluation'>) => {
    const full = entry(`${path}evaluation.`, evaluation);
    if (fidelityKindOf(strategy) !== 'images') return [full];
    const [lowest] = rungsFor(strategy as HalvingSpec, 1);
    const fraction = lowest! * (full.training.fraction ?? 1);
    return [{ ...full, training: { ...full.training, fraction } }];
  };
  if (spec.kind === 'sweep') return search('', spec);
  if (spec.kind !== 'plan') return [entry('', spec)];
  const sweep = sweepIn(spec);
  return [
    ...(sweep ? search('search.', sweep) : []),
    ...(spec.teacher ? [entry('teacher.', spec.teacher)] : []),
    ...spec.students.map((student, i) => entry(`students.${i}.`, student)),
  ];
}

/** What refuses a document that does not fit its data. */
function dataChecks(document: Located, { facts, heldOutSizes }: Inspection): (() => void)[] {
  const { spec } = document;
  if (spec.kind === 'search') return halfChecks(document, spec, facts);
  const cells = spec.kind === 'plan' ? searchRunIn(spec) : undefined;
  const ofCells = cells === undefined ? [] : halfChecks(document, cells, facts, 'search.');
  const ofTrainings = trainingsOf(spec).flatMap(({ path, training, pairs }) => [
    () => {
      // Several epochs would end within one step then, and only the last of them would leave a checkpoint
      // (core/spec/schedule.ts).
      const { batch, fraction = 1 } = training;
      const images = trainedImages(training, facts.trainingImages);
      const part = fraction < 1 ? ` in ${fraction.toFixed(4)} of them, the least that is trained on` : '';
      if (batch > images)
        throw refusal(
          document,
          `${path}training.batch`,
          `${batch} images a step, but there are only ${images} training images${part}; an epoch needs at least one step of its own`,
        );
    },
    () => {
      if (training.head === 'sharded')
        against(document, path, () => assertClassesDivide(facts.classes, training.shards));
    },
    () => against(document, path, () => assertPairsPossible(heldOutSizes, pairs)),
  ]);
  return [...ofCells, ...seedChecks(document, facts), ...ofTrainings];
}

/** What refuses a sweep over seeds whose searches do not fit its data. */
function seedChecks(document: Located, facts: DataFacts): (() => void)[] {
  const { spec } = document;
  const sweep = spec.kind === 'plan' ? sweepIn(spec) : spec.kind === 'sweep' ? spec : undefined;
  const searched = withSeeds(sweep && { ...sweep, name: spec.name, data: spec.data });
  if (searched === undefined) return [];
  const path = spec.kind === 'plan' ? 'search.strategy.' : 'strategy.';
  return halfChecks(document, searchOfSeed(searched, searched.strategy.seeds[0]!), facts, path);
}

/** What refuses a search whose halves are too small: the half of the alphas is the smaller one. */
function halfChecks(
  document: Located,
  { training, search }: RunSpec,
  facts: DataFacts,
  path = '',
): (() => void)[] {
  const { batch } = training;
  const { alphas } = halfSizes(facts.trainingImages);
  return [
    () => {
      if (batch > alphas)
        throw refusal(
          document,
          `${path}search.batch`,
          `${batch} images of each half a step, but of ${facts.trainingImages} training images the smaller half has ${alphas}; an epoch needs at least one step of its own`,
        );
    },
    () => {
      const fault = search?.halves.stratify === 'strict' ? strictFault(facts) : undefined;
      if (fault !== undefined) throw refusal(document, `${path}halves.stratify`, fault);
    },
  ];
}

/** Runs a check whose error names its field, and gives that error its place in the document. */
function against(document: Located, path: string, check: () => void): void {
  try {
    check();
  } catch (caught) {
    throw refusedField(document, path, caught);
  }
}

/** Codes that are not about the data: the same text may be taken another time. */
const PASSED_ON: ReadonlySet<string> = new Set([
  'cancelled',
  'resourceExhausted',
  'unavailable',
  'aborted',
  'internal',
]);

async function inspected(document: Located, inspect: Inspect): Promise<Inspection> {
  let inspection: Inspection;
  try {
    inspection = await inspect(document.spec.data);
  } catch (caught) {
    const { code, message, details } = toFleetError(caught);
    if (PASSED_ON.has(code)) throw caught;
    // Each line begins with its field where one is known.
    refuseTogether(
      message.split('\n').map((line) => () => {
        const field = /^data(\.[a-zA-Z]+)*(?=: )/.exec(line)?.[0];
        const text = field === undefined ? line : line.slice(field.length + 2);
        throw refusal(document, field ?? 'data', text, { cause: caught, details });
      }),
    );
    throw caught;
  }
  const { facts } = inspection;
  if (facts.classes > facts.trainingImages)
    throw refusal(
      document,
      'data',
      `${facts.classes} classes but only ${facts.trainingImages} training images; each identity needs at least one`,
    );
  return inspection;
}

function checked({ spec, text }: Located, facts: DataFacts): CheckedDocument {
  if (spec.kind === 'plan') return { kind: 'plan', spec, facts, yaml: text };
  if (spec.kind === 'sweep') return { kind: 'sweep', spec, facts };
  return { kind: 'run', spec, facts };
}
