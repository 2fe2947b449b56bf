// From a YAML text to documents that may be journalled: parsed, strict, buildable and with data behind them. Decides every
// refusal of a submit and words it as `field.path: reason`. Nothing takes effect here; a document that passes is the
// input of step(). Where data lies and whether its images are readable is core/data/inspect.ts'.

import { isAbsolute, resolve } from 'node:path';
import { heldOutLabels, inspectData } from '../core/data/inspect.ts';
import { FleetError, toFleetError } from '../core/errors.ts';
import { assertClassesDivide } from '../core/head/classes.ts';
import { buildNetwork } from '../core/nn/build.ts';
import {
  canonicalJson,
  type DataSpec,
  type DocumentSpec,
  documentSchema,
  type NetworkSpec,
  type RunSpec,
  type TrainingSpec,
} from '../core/spec.ts';
import { assertPairsPossible } from '../core/verify/pairs.ts';
import type { CheckedDocument } from './inputs.ts';
import { issueSentences } from './issues.ts';
import type { DataFacts, State } from './state.ts';
import { usableTeacher } from './step.ts';
import { type Parsed, parseDocuments } from './yaml-text.ts';

export interface Submission {
  readonly yaml: string;
  /** Absolute folder that relative data paths start from; empty when the text has none. */
  readonly baseDir: string;
  readonly overrides: Readonly<Record<string, string>>;
}

/** Every document of the text, checked, or a FleetError that names each field that is wrong. */
export async function checkSubmission(submission: Submission, state: State): Promise<CheckedDocument[]> {
  const parsed = parseDocuments(submission.yaml, submission.overrides);
  const specs = validated(parsed).map(({ spec, where }) => ({
    spec: withAbsolutePath(spec, submission.baseDir, where),
    where,
  }));
  for (const { spec, where } of specs) checkNetworks(spec, where);
  for (const { spec, where } of specs) checkTeacher(spec, { specs, state, where });
  const inspections = new Map<string, Inspection>();
  const documents: CheckedDocument[] = [];
  for (const { spec, where } of specs) {
    const key = canonicalJson(spec.data);
    const known = inspections.get(key) ?? (await inspected(spec.data, where));
    inspections.set(key, known);
    checkAgainstData(spec, known, where);
    documents.push(checked(spec, known.facts, submission.yaml));
  }
  return documents;
}

/** A data set as far as documents are checked against it. */
interface Inspection {
  readonly facts: DataFacts;
  readonly heldOut: Int32Array;
}

interface Located {
  readonly spec: DocumentSpec;
  /** `document 2: ` where a text has several; otherwise empty. */
  readonly where: string;
}

function validated(documents: readonly Parsed[]): Located[] {
  const problems: string[] = [];
  const specs: Located[] = [];
  for (const { value, where } of documents) {
    const result = documentSchema.safeParse(value);
    if (result.success) specs.push({ spec: result.data, where });
    else problems.push(...issueSentences(result.error, value).map((sentence) => where + sentence));
  }
  if (problems.length > 0)
    throw new FleetError('invalidArgument', problems.join('\n'), { details: { problems } });
  return specs;
}

function withAbsolutePath(spec: DocumentSpec, baseDir: string, where: string): DocumentSpec {
  const { data } = spec;
  if (data.kind === 'synthetic' || isAbsolute(data.path)) return spec;
  if (!isAbsolute(baseDir))
    throw new FleetError(
      'invalidArgument',
      `${where}data.path: ${JSON.stringify(data.path)} is relative, and the request names no folder to start from (base_dir)`,
    );
  return { ...spec, data: { ...data, path: resolve(baseDir, data.path) } };
}

/** Every network of a document by its field; a search's space is tried with a published genotype. */
function networksOf(spec: DocumentSpec): (readonly [string, NetworkSpec])[] {
  if (spec.kind === 'plan') {
    const students = spec.students.flatMap(({ network }, i) =>
      network === 'best' ? [] : [[`students.${i}.network`, network] as const],
    );
    const teacher = spec.teacher ? [['teacher.network', spec.teacher.network] as const] : [];
    const space = spec.search ? [['search.space', spaceExample(spec.search.space)] as const] : [];
    return [...space, ...teacher, ...students];
  }
  if (spec.kind === 'sweep') return [['space', spaceExample(spec.space)]];
  return [['network', spec.network]];
}

function spaceExample(space: { channels: number; layers: number; embedding: number }): NetworkSpec {
  const { channels, layers, embedding } = space;
  return { kind: 'pocketnet', channels, layers, embedding, genotype: 'casia' };
}

function checkNetworks(spec: DocumentSpec, where: string): void {
  for (const [path, network] of networksOf(spec)) {
    try {
      buildNetwork(network);
    } catch (caught) {
      throw new FleetError('invalidArgument', `${where}${path}: ${toFleetError(caught).message}`, {
        cause: caught,
      });
    }
  }
  if (spec.kind !== 'plan') return;
  // The schema of a run says the same; a plan's runs become runs only later, when it is too late to refuse.
  const runs = [
    ...(spec.teacher ? [['teacher', spec.teacher] as const] : []),
    ...spec.students.map((student, i) => [`students.${i}`, student] as const),
  ];
  for (const [path, { workers, training }] of runs)
    if (workers.max > training.shards)
      throw new FleetError(
        'invalidArgument',
        `${where}${path}.workers.max: ${workers.max} workers cannot share ${training.shards} shards`,
      );
}

/** A run's teacher is a teacher of the same text by name, or a run of the fleet by id, and embeds into the same space. */
function checkTeacher(
  spec: DocumentSpec,
  context: { specs: readonly Located[]; state: State; where: string },
): void {
  if (spec.kind === 'plan' || spec.kind === 'sweep' || spec.distillation === undefined) return;
  const { teacher: named } = spec.distillation;
  const local = context.specs.find(
    (other): other is Located & { spec: RunSpec } =>
      other.spec.kind === 'teacher' && other.spec.name === named,
  );
  let teacher: RunSpec;
  try {
    teacher = local?.spec ?? usableTeacher(context.state, named).spec;
  } catch (caught) {
    throw toFleetError(caught, context.where === '' ? undefined : context.where.slice(0, -2));
  }
  if (teacher.network.embedding !== spec.network.embedding)
    throw new FleetError(
      'invalidArgument',
      `${context.where}network.embedding: ${spec.network.embedding} differs from the ${teacher.network.embedding} of teacher ${named}; distillation compares them directly`,
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

/** What only the data can refuse. */
function checkAgainstData(spec: DocumentSpec, { facts, heldOut }: Inspection, where: string): void {
  for (const { path, training, pairs } of trainingsOf(spec)) {
    // Several epochs would end within one step then, and only the last of them would leave a checkpoint (core/schedule.ts).
    if (training.batch > facts.trainingImages)
      throw new FleetError(
        'invalidArgument',
        `${where}${path}training.batch: ${training.batch} images a step, but there are only ${facts.trainingImages} training images; an epoch needs at least one step of its own`,
        { details: { field: `${path}training.batch` } },
      );
    try {
      if (training.head === 'sharded') assertClassesDivide(facts.classes, training.shards);
      assertPairsPossible(heldOut, pairs);
    } catch (caught) {
      // It begins with `verification.pairs`, the rest of the path.
      const { message, details } = toFleetError(caught);
      throw new FleetError('invalidArgument', where + path + message, {
        cause: caught,
        details: { ...details, field: `${path}verification.pairs` },
      });
    }
  }
}

async function inspected(data: DataSpec, where: string): Promise<Inspection> {
  let facts: DataFacts;
  let heldOut: Int32Array;
  try {
    facts = await inspectData(data);
    heldOut = await heldOutLabels(data);
  } catch (caught) {
    const error = toFleetError(caught);
    const text = error.message.startsWith('data') ? error.message : `data: ${error.message}`;
    throw new FleetError('invalidArgument', where + text, { cause: caught, details: { ...error.details } });
  }
  if (facts.classes > facts.trainingImages)
    throw new FleetError(
      'invalidArgument',
      `${where}data: ${facts.classes} classes but only ${facts.trainingImages} training images; each identity needs at least one`,
    );
  return { facts, heldOut };
}

function checked(spec: DocumentSpec, facts: DataFacts, yaml: string): CheckedDocument {
  if (spec.kind === 'plan') return { kind: 'plan', spec, facts, yaml };
  if (spec.kind === 'sweep') return { kind: 'sweep', spec, facts };
  return { kind: 'run', spec, facts };
}
