// The teachers of a forecast: what a pass of each costs, and what the students of a text have of its passes.

import { costsOf } from '../../core/nn/space.ts';
import type { DataOfRun } from '../../core/spec/data-key.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { CheckedDocument } from '../decisions/inputs.ts';
import { find } from '../model/find.ts';
import { type Identity, identityOf, identityOfSpec } from '../model/identity.ts';
import { type State, wholeRunWith } from '../model/state.ts';
import type { ForecastContext } from './forecast-amounts.ts';
import { type SharedPasses, sharingIn, teacherOfText } from './shared-passes.ts';

/** What the students of a text that are runs by themselves have of the passes of their teachers. */
export function sharingOfRuns(
  documents: readonly CheckedDocument[],
  context: ForecastContext,
): Map<CheckedDocument, SharedPasses> {
  const students = new Map<string, Extract<CheckedDocument, { kind: 'run' }>[]>();
  for (const document of documents) {
    if (document.kind !== 'run' || document.spec.distillation === undefined) continue;
    const { teacher } = document.spec.distillation;
    students.set(teacher, [...(students.get(teacher) ?? []), document]);
  }
  const found = new Map<CheckedDocument, SharedPasses>();
  for (const [named, taught] of students) {
    const teacher = teacherOf(named, documents, context.state);
    const shared = sharingIn(
      taught.map(({ facts, spec: { data, training, distillation, network, workers } }, at) => ({
        ...{
          name: String(at),
          data,
          digest: facts.digest,
          training,
          distillation: distillation!,
          workersMax: workers.max,
        },
        adds: costsOf(network).multiplyAdds,
      })),
      teacherOfText(context.state, {
        adds: teacher.multiplyAdds,
        ...{ stages: teacher.stages, embedding: teacher.embedding, observed: context.observed },
        images: taught[0]!.facts.trainingImages,
      }),
    );
    for (const [at, document] of taught.entries()) found.set(document, shared.get(String(at))!);
  }
  return found;
}

/** A teacher as a forecast sees it. */
export interface TextTeacherRun {
  readonly name: string;
  readonly multiplyAdds: number;
  readonly identity: Identity | undefined;
  readonly stages: number;
  readonly embedding: number;
}

/** The teacher that a run by itself names: one of the same text, or a run of the fleet. */
export function teacherOf(
  named: string,
  documents: readonly CheckedDocument[],
  state: State,
): TextTeacherRun {
  for (const { kind, spec, facts } of documents)
    if (kind === 'run' && spec.kind === 'teacher' && spec.name === named)
      return {
        name: named,
        multiplyAdds: costsOf(spec.network).multiplyAdds,
        identity: identityOfSpec(spec, facts),
        stages: spec.training.epochs,
        embedding: spec.network.embedding,
      };
  const { found, total } = find(state, named, ['run']);
  const run = total === 1 ? wholeRunWith(state, found[0]!.id) : undefined;
  const identity = run && identityOf(state, run);
  return {
    ...{ name: named, multiplyAdds: run?.costs.multiplyAdds ?? 0, identity },
    stages: run?.job.training.epochs ?? 0,
    embedding: run?.job.network?.embedding ?? 0,
  };
}

/** The teacher of a search's candidates. */
export interface SearchTeacher {
  /** What it computes; undefined where that is not known. */
  readonly identity: Identity | undefined;
  /** Multiply-adds of a pass over an image. */
  readonly multiplyAdds: number;
  /** What a candidate has of its passes, of so many that train at a time; `adds`: multiply-adds of a candidate's image. */
  passes(candidates: { readonly adds: number; readonly atOnce: number }): SharedPasses;
}

/** Workers of a candidate (coordinator/model/spec-of.ts). */
const CANDIDATE_WORKERS = 1;

/** The teacher of a search's candidates, where they have one; all of them see the images in one order. */
export function teacherOfSearch(
  { evaluation }: Pick<SweepSpec, 'evaluation'>,
  of: {
    readonly data: DataOfRun;
    readonly images: number;
    /** A teacher of the same text, or of the plan; undefined: a run of the fleet. */
    readonly named: (name: string) => TextTeacherRun;
  },
  context: Pick<ForecastContext, 'state' | 'observed'>,
): SearchTeacher | undefined {
  const { distillation, training } = evaluation;
  if (distillation === undefined) return undefined;
  const { identity, multiplyAdds, stages, embedding } = of.named(distillation.teacher);
  const { state, observed } = context;
  const teacher = teacherOfText(state, {
    adds: multiplyAdds,
    stages,
    embedding,
    images: of.images,
    observed,
  });
  const student = { ...of.data, training, distillation, workersMax: CANDIDATE_WORKERS };
  return {
    ...{ identity, multiplyAdds },
    passes({ adds, atOnce }) {
      const students = Array.from({ length: atOnce }, (_, at) => ({ ...student, name: String(at), adds }));
      return sharingIn(students, teacher).get('0')!;
    },
  };
}
