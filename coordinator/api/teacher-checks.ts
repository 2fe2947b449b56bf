// Whether a student of a submission can learn from the teacher that it names. Decides what only the other
// documents, the fleet and the data can refuse; what the spec alone refuses is in core/spec/distillation.ts.

import type { DataSpec } from '../../core/spec/data.ts';
import { distillationProblems } from '../../core/spec/distillation.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { usableTeacher } from '../decisions/decide.ts';
import { endedShort } from '../decisions/retaining.ts';
import { specOf } from '../model/spec-of.ts';
import type { DataFacts, RunState, State } from '../model/state.ts';
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
 * A run's teacher is a teacher of the same text by name, or a run of the fleet by id, embeds into the same
 * space and has the stages that are named.
 */
export function checkTeacher(document: Located, context: Context): void {
  const { spec } = document;
  if (spec.kind === 'plan' || spec.kind === 'sweep' || spec.distillation === undefined) return;
  const { teacher: named } = spec.distillation;
  const { spec: teacher, run } = teacherOf(document, spec, context)!;
  if (teacher.network.embedding !== spec.network.embedding && spec.distillation.adapter === undefined)
    throw refusal(
      document,
      'network.embedding',
      `${spec.network.embedding} differs from the ${teacher.network.embedding} of teacher ${named}; distillation compares them directly, or through distillation.adapter: linear`,
    );
  const { epochs } = spec.training;
  const teacherStages = teacher.training.epochs;
  for (const { path, message } of distillationProblems(spec.distillation, { epochs, teacherStages }))
    throw refusal(document, ['distillation', ...path].join('.'), message);
  const short = run && endedShort(run, { schedule: spec.distillation.schedule, epochs, newest: 0 });
  if (short !== undefined) throw refusal(document, 'distillation.teacher', short);
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
  const { spec } = document;
  const own = found.get(document);
  if (spec.kind === 'plan' || spec.kind === 'sweep' || own === undefined) return;
  const teacher = teacherOf(document, spec, context);
  const facts = teacher?.facts ?? (teacher?.document && found.get(teacher.document));
  if (teacher === undefined || facts === undefined) return;
  if (!isSamePeople({ data: spec.data, facts: own }, { data: teacher.spec.data, facts })) return;
  // The last people of a set are held out.
  const seen = Math.min(facts.classes, own.classes + own.heldOutIdentities) - own.classes;
  if (seen <= 0) return;
  throw refusal(
    document,
    'data.holdout',
    `teacher ${spec.distillation!.teacher} was trained on ${seen} of the ${own.heldOutIdentities} people that are held out here, so a verification with them would prove nothing; a teacher of these students holds out as many`,
  );
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

/** The teacher that a run names; undefined for a run without one. */
function teacherOf(document: Located, spec: RunSpec, { all, state }: Context): Teacher | undefined {
  if (spec.distillation === undefined) return undefined;
  const { teacher: named } = spec.distillation;
  const local = all.find(
    (other): other is Located & { spec: RunSpec } =>
      other.spec.kind === 'teacher' && other.spec.name === named,
  );
  if (local !== undefined) return { spec: local.spec, facts: undefined, document: local, run: undefined };
  try {
    const run = usableTeacher(state(), named);
    return { spec: specOf(state(), run), facts: run.facts, document: undefined, run };
  } catch (caught) {
    throw refusedField(document, '', caught);
  }
}
