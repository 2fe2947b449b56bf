// From a YAML text to documents that may be journalled: well-formed, with a teacher that exists and with data
// behind them. Decides what only the fleet and the data can refuse. Nothing takes effect here: a document
// that passes is an input of the core.

import type { Inspection } from '../../core/data/inspection/inspection.ts';
import { toFleetError } from '../../core/errors.ts';
import { assertClassesDivide } from '../../core/head/classes.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { DataSpec } from '../../core/spec/data.ts';
import type { DocumentSpec } from '../../core/spec/document.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { TrainingSpec } from '../../core/spec/training.ts';
import { assertPairsPossible } from '../../core/verify/pairs.ts';
import { usableTeacher } from '../decisions/decide.ts';
import type { CheckedDocument } from '../decisions/inputs.ts';
import { specOf } from '../model/spec-of.ts';
import type { DataFacts, State } from '../model/state.ts';
import { prepareSpaces } from '../strategies/spaces.ts';
import { type Located, refusal, type Submission } from './submission.ts';
import type { SubmissionReader } from './submission-reader.ts';

/** Every document of the text, checked, or a FleetError that names each field that is wrong. */
export async function checkSubmission(
  submission: Submission,
  state: () => State,
  {
    reader,
    inspect,
    signal,
  }: {
    readonly reader: SubmissionReader;
    readonly inspect: Inspect;
    readonly signal?: AbortSignal;
  },
): Promise<CheckedDocument[]> {
  const located = await reader.read(submission, signal);
  for (const document of located) checkTeacher(document, located, state());
  const inspections = new Map<string, Inspection>();
  const documents: CheckedDocument[] = [];
  for (const document of located) {
    const key = canonicalJson(document.spec.data);
    const known = inspections.get(key) ?? (await inspected(document, inspect));
    inspections.set(key, known);
    checkAgainstData(document, known);
    const facts = { ...known.facts, digest: known.digest };
    documents.push(checked({ ...document, spec: withSkipped(document.spec, known) }, facts));
  }
  // The decision proposes at once, and other calls do not wait until networks are counted for it.
  await prepareSpaces(located.map(({ spec }) => spec));
  return documents;
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

/**
 * A run's teacher is a teacher of the same text by name, or a run of the fleet by id, and embeds into the
 * same space.
 */
function checkTeacher(document: Located, all: readonly Located[], state: State): void {
  const { spec, where } = document;
  if (spec.kind === 'plan' || spec.kind === 'sweep' || spec.distillation === undefined) return;
  const { teacher: named } = spec.distillation;
  const local = all.find(
    (other): other is Located & { spec: RunSpec } =>
      other.spec.kind === 'teacher' && other.spec.name === named,
  );
  let teacher: RunSpec;
  try {
    teacher = local?.spec ?? specOf(state, usableTeacher(state, named));
  } catch (caught) {
    throw toFleetError(caught, where === '' ? undefined : where.slice(0, -2));
  }
  if (teacher.network.embedding !== spec.network.embedding)
    throw refusal(
      document,
      'network.embedding',
      `${spec.network.embedding} differs from the ${teacher.network.embedding} of teacher ${named}; distillation compares them directly`,
    );
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
  if (spec.kind === 'sweep') return [entry('evaluation.', spec.evaluation)];
  if (spec.kind !== 'plan') return [entry('', spec)];
  return [
    ...(spec.search ? [entry('search.evaluation.', spec.search.evaluation)] : []),
    ...(spec.teacher ? [entry('teacher.', spec.teacher)] : []),
    ...spec.students.map((student, i) => entry(`students.${i}.`, student)),
  ];
}

/** Refuses what does not fit the data. */
function checkAgainstData(document: Located, { facts, heldOutSizes }: Inspection): void {
  for (const { path, training, pairs } of trainingsOf(document.spec)) {
    // Several epochs would end within one step then, and only the last of them would leave a checkpoint
    // (core/spec/schedule.ts).
    if (training.batch > facts.trainingImages)
      throw refusal(
        document,
        `${path}training.batch`,
        `${training.batch} images a step, but there are only ${facts.trainingImages} training images; an epoch needs at least one step of its own`,
      );
    if (training.head === 'sharded')
      against(document, path, () => assertClassesDivide(facts.classes, training.shards));
    against(document, path, () => assertPairsPossible(heldOutSizes, pairs));
  }
}

/**
 * Runs a check whose error begins with the name of its field, and gives that error its place in the document.
 */
function against(document: Located, path: string, check: () => void): void {
  try {
    check();
  } catch (caught) {
    const { message, details } = toFleetError(caught);
    const field = String(details.field);
    throw refusal(document, path + field, message.replace(`${field}: `, ''), { cause: caught, details });
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
    // The message begins with its field where one is known.
    const field = /^data(\.[a-zA-Z]+)*(?=: )/.exec(message)?.[0] ?? 'data';
    const text = message.startsWith(`${field}: `) ? message.slice(field.length + 2) : message;
    throw refusal(document, field, text, { cause: caught, details });
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
