// How much room the checkpoints of a text would take, run by run, before anything is submitted. Decides which
// runs a document leads to, and which network stands for one that a search is still to find.

import {
  type Footprint,
  footprintOf,
  partBytes,
  type StateCounts,
} from '../../../core/checkpoint/footprint.ts';
import { buildNetwork } from '../../../core/nn/build.ts';
import { withStandIn } from '../../../core/nn/genotype.ts';
import { layoutOf } from '../../../core/nn/layout.ts';
import { buildSupernet } from '../../../core/nn/supernet.ts';
import type { DataSpec } from '../../../core/spec/data.ts';
import type { DocumentSpec } from '../../../core/spec/document.ts';
import { type NetworkSpec, networkSchema } from '../../../core/spec/network.ts';
import { isSearched, namesOfStudent } from '../../../core/spec/plan.ts';
import { searchRunIn, sweepIn } from '../../../core/spec/plan-search.ts';
import { type CheckpointPolicy, FRONT_MAX } from '../../../core/spec/retention.ts';
import type { RunSpec } from '../../../core/spec/run.ts';
import { trialsOf } from '../../../core/spec/strategy.ts';
import type { SweepSpec } from '../../../core/spec/sweep.ts';

/** One run of a text, or the candidates of a search together. */
export interface RunFootprint extends Footprint {
  readonly name: string;
  readonly kind: 'teacher' | 'student' | 'candidate' | 'search';
  readonly stages: number;
  /** Bytes of one checkpoint by part. */
  readonly parts: Readonly<Record<string, number>>;
}

/** Candidates that train at once where a search does not say: one for each worker, which nobody knows yet. */
export interface Assumed {
  readonly classes: (data: DataSpec) => number;
  readonly workers: number;
}

/** The runs of all documents in their order. */
export function footprintsOf(documents: readonly DocumentSpec[], assumed: Assumed): RunFootprint[] {
  return documents.flatMap((document) => {
    const classes = assumed.classes(document.data);
    if (document.kind === 'sweep') return [searchFootprint(document.name, document, classes, assumed)];
    if (document.kind !== 'plan') return [ownFootprint(document, classes)];
    const { teacher, students } = document;
    const search = sweepIn(document);
    const cells = searchRunIn(document);
    return [
      ...(search === undefined ? [] : [searchFootprint(`${document.name} search`, search, classes, assumed)]),
      ...(cells === undefined ? [] : [ownFootprint(cells, classes)]),
      ...(teacher === undefined ? [] : [runFootprint('teacher', teacher, teacher.network, classes)]),
      ...students.flatMap((student) => {
        const network = isSearched(student.network) ? candidateOf(search!.space) : student.network;
        return namesOfStudent(student).map((name) =>
          runFootprint('student', { ...student, name }, network, classes),
        );
      }),
    ];
  });
}

function ownFootprint(run: RunSpec, classes: number): RunFootprint {
  const { kind, search, network } = run;
  if (search !== undefined) {
    const { parameterCount, runningCount } = layoutOf(
      buildSupernet({ kind: 'supernet', ...search.supernet, classes }),
    );
    return footprintWith('search', run, { backbone: parameterCount, running: runningCount, head: 0 });
  }
  // Nobody submits an embedding run; it stores nothing.
  return runFootprint(kind === 'teacher' || kind === 'student' ? kind : 'candidate', run, network, classes);
}

interface PlannedRun {
  readonly name: string;
  readonly training: { readonly epochs: number };
  readonly checkpoints?: { readonly keep: CheckpointPolicy } | undefined;
}

function runFootprint(
  kind: RunFootprint['kind'],
  run: PlannedRun,
  network: NetworkSpec,
  classes: number,
): RunFootprint {
  return footprintWith(kind, run, countsOf(network, classes));
}

function footprintWith(kind: RunFootprint['kind'], run: PlannedRun, counts: StateCounts): RunFootprint {
  const { epochs } = run.training;
  // Retention treats the stages of a search as those of a student.
  const treatedAs = kind === 'search' ? 'student' : kind;
  return {
    name: run.name,
    kind,
    stages: epochs,
    parts: partBytes(counts),
    ...footprintOf({ kind: treatedAs, epochs, policy: run.checkpoints?.keep, counts }),
  };
}

function searchFootprint(
  name: string,
  {
    space,
    evaluation,
    parallelism,
    strategy,
    objectives = [],
  }: Pick<SweepSpec, 'space' | 'evaluation' | 'parallelism' | 'strategy' | 'objectives'>,
  classes: number,
  { workers }: Assumed,
): RunFootprint {
  const counts = countsOf(candidateOf(space), classes);
  const { epochs } = evaluation.training;
  const atOnce = Math.min(trialsOf(strategy), parallelism === 0 ? workers : parallelism);
  const best = objectives.length > 1 ? Math.min(trialsOf(strategy), 1 + FRONT_MAX) : 1;
  return {
    name,
    kind: 'candidate',
    stages: epochs,
    parts: partBytes(counts),
    ...footprintOf({ kind: 'candidate', epochs, policy: undefined, counts, atOnce, best }),
  };
}

/** A network of a space that stands for its candidates: the published cells, which are among the larger. */
const candidateOf = ({ channels, layers, embedding }: SweepSpec['space']): NetworkSpec =>
  networkSchema.parse({ kind: 'pocketnet', channels, layers, embedding });

function countsOf(network: NetworkSpec, classes: number): StateCounts {
  const { parameterCount, backboneCount, runningCount } = layoutOf(buildNetwork(withStandIn(network)), {
    classes,
  });
  return { backbone: backboneCount, running: runningCount, head: parameterCount - backboneCount };
}
