// Whether a student of a submission can learn from the teacher that it names. Decides what only the other
// documents, the fleet and the data can refuse; what the spec alone refuses is in core/spec/distillation.ts.

import type { DataSpec } from '../../core/spec/data.ts';
import { distillationProblems, withTeacherSize } from '../../core/spec/distillation.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { rowsBytesOf } from '../../core/spec/share.ts';
import { formatBytes } from '../../core/text/bytes-text.ts';
import { ownPupilsOf, type Pupil, pupilsOf } from '../decisions/pupils.ts';
import { endedShort } from '../decisions/retaining.ts';
import type { Fleet } from '../decisions/reuse.ts';
import { lackOf, usableTeacher } from '../decisions/teachers.ts';
import { originOf } from '../model/results.ts';
import { specOf } from '../model/spec-of.ts';
import { type DataFacts, type RunState, type State, wholeRunWith } from '../model/state.ts';
import { type Located, refusal, refusedField } from './submission.ts';

interface Context {
  /** All documents of the submission. */
  readonly all: readonly Located[];
  readonly state: () => State;
}

interface Teacher {
  readonly spec: RunSpec;
  /** What is known of its data before this submission's are looked at; undefined for one of the same text. */
  readonly facts: DataFacts | undefined;
  /** Undefined for a run of the fleet. */
  readonly document: Located | undefined;
  /** Undefined for one of the same text. */
  readonly run: RunState | undefined;
}

/**
 * A teacher is one of the same text by name, or a run of the fleet by id, embeds into the same space and has the
 * stages that are named.
 */
export function checkTeacher(document: Located, context: Context): void {
  for (const pupil of pupilsOf(document.spec)) checkPupil(document, pupil, context);
}

function checkPupil(document: Located, pupil: Pupil, context: Context): void {
  const { distillation, field, embedding, epochs, exact } = pupil;
  const { spec: teacher, run } = teacherOf(document, pupil, context);
  if (teacher.network.embedding !== embedding && distillation.adapter === undefined)
    throw refusal(
      document,
      pupil.sizeField,
      `${embedding} differs from the ${teacher.network.embedding} of teacher ${distillation.teacher}; distillation compares them directly, or through ${field}.adapter: linear`,
    );
  const teacherStages = teacher.training.epochs;
  for (const { path, message } of distillationProblems(distillation, { epochs, exact, teacherStages }))
    throw refusal(document, [field, ...path].join('.'), message);
  const short = run && endedShort(run, { schedule: distillation.schedule, epochs, newest: 0 });
  if (short !== undefined) throw refusal(document, `${field}.teacher`, short);
}

/**
 * A stage of a run of the fleet that is not stored any more: nobody can learn from it, unless the result is there that
 * a student would take.
 */
export function checkStages(
  document: Located,
  context: Context,
  { fleet, facts }: { readonly fleet: Fleet; readonly facts: DataFacts },
): void {
  for (const pupil of pupilsOf(document.spec)) {
    const { distillation, field, epochs } = pupil;
    const { run } = teacherOf(document, pupil, context);
    const origin = run && wholeRunWith(fleet.state, originOf(fleet.state, run.id));
    if (origin === undefined) continue;
    const { embedding } = origin.job.network!;
    const learns = { ...withTeacherSize(distillation, embedding), teacher: origin.id };
    const lack = lackOf(fleet, origin, { distillation, epochs, asking: pupil.asking(learns, facts) });
    if (lack !== undefined) throw refusal(document, `${field}.teacher`, lack);
  }
}

/**
 * A teacher that was trained on people whom the student holds out has seen the pairs by which the student is
 * verified, through its embeddings: the verification would prove nothing.
 */
export function checkPeople(
  document: Located,
  context: Context,
  found: ReadonlyMap<Located, DataFacts>,
): void {
  for (const pupil of pupilsOf(document.spec)) checkPeopleOf(document, pupil, context, found);
}

function checkPeopleOf(
  document: Located,
  pupil: Pupil,
  context: Context,
  found: ReadonlyMap<Located, DataFacts>,
): void {
  const own = found.get(document);
  if (own === undefined) return;
  const teacher = teacherOf(document, pupil, context);
  const facts = teacher.facts ?? (teacher.document && found.get(teacher.document));
  if (facts === undefined) return;
  if (!isSamePeople({ data: pupil.data, facts: own }, { data: teacher.spec.data, facts })) return;
  // The last people of a set are held out.
  const seen = Math.min(facts.classes, own.classes + own.heldOutIdentities) - own.classes;
  if (seen <= 0) return;
  throw refusal(
    document,
    'data.holdout',
    `teacher ${pupil.distillation.teacher} was trained on ${seen} of the ${own.heldOutIdentities} people that are held out here, so a verification with them would prove nothing; a teacher of these students holds out as many`,
  );
}

/**
 * Refuses whoever asks for rows of images for which no worker has room: it would fail when it begins. Whether the rows
 * of the network depend on neither batch nor place is proven on the worker.
 */
export function checkRows(
  document: Located,
  { facts, bytesMax }: { readonly facts: DataFacts; readonly bytesMax: number },
  context: Context,
): void {
  for (const pupil of [...pupilsOf(document.spec), ...ownPupilsOf(document.spec)]) {
    const { distillation, field, flip } = pupil;
    if (distillation.embed !== 'by-image') continue;
    const embedding =
      distillation.adapter === undefined || pupil.isOwn === true
        ? pupil.embedding
        : teacherOf(document, pupil, context).spec.network.embedding;
    const bytes = rowsBytesOf({ images: facts.trainingImages, flips: flip ? 2 : 1, embedding });
    if (bytes <= bytesMax) continue;
    throw refusal(
      document,
      `${field}.embed`,
      `by-image keeps ${formatBytes(bytes)} for a stage of the teacher (${facts.trainingImages} images${flip ? ' and their mirror images' : ''}), and a worker keeps at most ${formatBytes(bytesMax)} (imageRowsBytes of the coordinator)`,
      { code: 'failedPrecondition' },
    );
  }
}

interface People {
  readonly data: DataSpec;
  readonly facts: DataFacts;
}

/** Whether person i is the same in both sets. */
function isSamePeople(a: People, b: People): boolean {
  if (a.data.kind === 'synthetic' && b.data.kind === 'synthetic') return a.data.seed === b.data.seed;
  return a.facts.digest !== undefined && a.facts.digest === b.facts.digest;
}

/** The teacher that is named. */
function teacherOf(document: Located, { distillation, field }: Pupil, { all, state }: Context): Teacher {
  const { teacher: named } = distillation;
  const local = all.find(
    (other): other is Located & { spec: RunSpec } =>
      other.spec.kind === 'teacher' && other.spec.name === named,
  );
  if (local !== undefined) return { spec: local.spec, facts: undefined, document: local, run: undefined };
  try {
    const run = usableTeacher(state(), named, `${field}.teacher`);
    return { spec: specOf(state(), run), facts: run.facts, document: undefined, run };
  } catch (caught) {
    // Only teachers are learned from, so that runs cannot learn from each other in a circle.
    const other = all.find(({ spec }) => spec.name === named);
    if (other === undefined) throw refusedField(document, '', caught);
    const who = other === document ? 'the student itself' : `a ${other.spec.kind} of this text`;
    throw refusal(document, `${field}.teacher`, `${named} is ${who}, not a teacher`);
  }
}
