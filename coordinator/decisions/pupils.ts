// Who learns from a teacher in a document: students, candidates of searches, students of plans; and what they need of
// it.

import type { DataSpec } from '../../core/spec/data.ts';
import { type DistillationSpec, withTeacherSize } from '../../core/spec/distillation.ts';
import type { DocumentSpec } from '../../core/spec/document.ts';
import { isSearched, otherTeacherOf, type PlanSpec } from '../../core/spec/plan.ts';
import { sweepIn } from '../../core/spec/plan-search.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { TrainingSpec } from '../../core/spec/training.ts';
import { identityOfSpec } from '../model/identity.ts';
import { originOf, resultOf } from '../model/results.ts';
import { type DataFacts, wholeRunWith } from '../model/state.ts';
import type { CheckedDocument } from './inputs.ts';
import type { Fleet, Needs } from './reuse.ts';
import { askingOf, candidatesOf, lackOf, learnsFromOwn, type Taught } from './teachers.ts';

/** A student, or the candidates of a search, with where its document says so. */
export interface Pupil {
  readonly distillation: DistillationSpec;
  /** Where the distillation stands, and the embedding size, as dotted paths of the document. */
  readonly field: string;
  readonly sizeField: string;
  readonly embedding: number;
  readonly epochs: number;
  readonly exact: boolean;
  /** An image may be seen mirrored. */
  readonly flip: boolean;
  readonly data: DataSpec;
  /** The student that takes a result where there is one, with the distillation that it gets. */
  readonly asking: (learns: DistillationSpec, facts: DataFacts) => Taught['asking'];
  /** The teacher is that of its plan, and `embedding` the teacher's. */
  readonly isOwn?: true;
}

/** Who learns from a teacher in a document; what a plan says of its own teacher is checked with its fields. */
export function pupilsOf(spec: DocumentSpec): Pupil[] {
  if (spec.kind === 'plan')
    return [
      ...(learnsFromOwn(spec) ? [] : searchPupils(sweepIn(spec), spec.data, 'search.')),
      ...studentPupils(spec),
    ];
  if (spec.kind === 'sweep') return searchPupils(spec, spec.data, '');
  const { distillation, network, training, data } = spec;
  if (distillation === undefined) return [];
  const { embedding } = network;
  const fields = { field: 'distillation', sizeField: 'network.embedding' };
  const asking: Pupil['asking'] = (learns, facts) => ({ spec: { ...spec, distillation: learns }, facts });
  return [{ distillation, ...fields, embedding, ...courseOf(training), data, asking }];
}

/** Who learns from a plan's own teacher. */
export function ownPupilsOf(spec: DocumentSpec): Pupil[] {
  if (spec.kind !== 'plan' || spec.teacher === undefined) return [];
  const { teacher, students, data } = spec;
  const { embedding } = teacher.network;
  const taught = students.flatMap(({ distillation, training }, i): Pupil[] => {
    if (distillation === undefined || otherTeacherOf(spec, students[i]!) !== undefined) return [];
    const fields = { field: `students.${i}.distillation`, sizeField: `students.${i}.network` };
    return [
      {
        ...{ ...fields, embedding, ...courseOf(training), data, asking: () => undefined },
        distillation: { ...distillation, teacher: teacher.name },
      },
    ];
  });
  const searching = learnsFromOwn(spec) ? searchPupils(sweepIn(spec), data, 'search.') : [];
  return [...searching, ...taught].map((pupil) => ({ ...pupil, embedding, isOwn: true }));
}

/**
 * What those who learn from a teacher of the same text will need of its result: those that take no result themselves.
 */
export function needsOf(
  fleet: Fleet,
  teacher: { readonly spec: RunSpec; readonly facts: DataFacts },
  documents: readonly CheckedDocument[],
): Needs[] {
  const { state } = fleet;
  const identity = teacher.spec.kind === 'teacher' ? identityOfSpec(teacher.spec, teacher.facts) : undefined;
  const number = identity && resultOf(state, identity, state.code);
  const origin = number === undefined ? undefined : wholeRunWith(state, originOf(state, `run-${number}`));
  if (origin === undefined) return [];
  return documents.flatMap(({ spec, facts }) =>
    pupilsOf(spec).flatMap(({ distillation, epochs, asking }): Needs[] => {
      if (distillation.teacher !== teacher.spec.name) return [];
      const learns = { ...withTeacherSize(distillation, teacher.spec.network.embedding), teacher: origin.id };
      const lack = lackOf(fleet, origin, { distillation, epochs, asking: asking(learns, facts) });
      return lack === undefined ? [] : [{ schedule: distillation.schedule, epochs, newest: 0 }];
    }),
  );
}

function searchPupils(
  search: Pick<SweepSpec, 'evaluation' | 'space' | 'strategy' | 'reuse'> | undefined,
  data: DataSpec,
  place: string,
): Pupil[] {
  const distillation = search?.evaluation.distillation;
  if (search === undefined || distillation === undefined) return [];
  const fields = { field: `${place}evaluation.distillation`, sizeField: `${place}space.embedding` };
  const { embedding } = search.space;
  const course = courseOf(search.evaluation.training);
  const asking: Pupil['asking'] = (learns, facts) => candidatesOf(search, { learns, data, facts });
  return [{ distillation, ...fields, embedding, ...course, data, asking }];
}

const courseOf = ({ epochs, exact, flip }: TrainingSpec) => ({ epochs, exact, flip });

/** Students of a plan that name a teacher which is no part of it. */
function studentPupils(plan: PlanSpec): Pupil[] {
  const { students, data } = plan;
  return students.flatMap((student, i) => {
    const { distillation, network, training } = student;
    const teacher = otherTeacherOf(plan, student);
    if (distillation === undefined || teacher === undefined) return [];
    const embedding = isSearched(network) ? sweepIn(plan)?.space.embedding : network.embedding;
    const fields = { field: `students.${i}.distillation`, sizeField: `students.${i}.network` };
    return [
      {
        ...{ distillation: { ...distillation, teacher }, ...fields, data },
        ...{ embedding: embedding ?? 0, ...courseOf(training) },
        asking: (learns, facts) => askingOf(plan, { student, learns, facts }),
      },
    ];
  });
}
