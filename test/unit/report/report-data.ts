// A made-up plan with everything in it that a report can show.

import { GENOTYPES } from '../../../core/nn/genotype.ts';
import { randomGenotype } from '../../../core/nn/random-genotype.ts';
import { ALPHA_COUNT } from '../../../core/nn/supernet.ts';
import type { ReportData, RunReport } from '../../../core/report/plan-report.ts';
import type { Evaluation, JudgedPairs, PairExample } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { evaluation, plan, point, run, sweep, trial } from '../cli/messages.ts';

/** A grey pixel as PNG. */
const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGOoBwAAgQCAOcdKvQAAAABJRU5ErkJggg==',
  'base64',
);

const pair = (same: boolean, distance: number): PairExample => ({
  pngA: PIXEL,
  pngB: PIXEL,
  same,
  distance,
  threshold: 1.3,
});

/** 400 pairs of 20 people, every other one genuine, of which the share `accuracy` is right; `turn` decides which. */
function judged(accuracy: number, turn: number): JudgedPairs {
  const people = Array.from({ length: 400 }, (_, i) => i % 20);
  const right = Buffer.alloc(50);
  for (let i = 0; i < 400; i++)
    if ((i * 7 + turn * 13) % 400 < accuracy * 400) right[i >> 3]! |= 1 << (i & 7);
  return { personA: people, personB: people.map((p, i) => (i % 2 === 0 ? p : (p + 3) % 20)), right };
}

const START = 1_000_000;

function trained(
  id: string,
  name: string,
  options: { kind: string; teacherRunId: string; from: number; to: number; result: Partial<Evaluation> },
): RunReport {
  const { kind, teacherRunId, from, to, result } = options;
  const measured = evaluation(result);
  const fpr = Array.from({ length: 41 }, (_, i) => i / 40);
  return {
    run: run({
      id,
      name,
      kind,
      teacherRunId,
      state: 'done',
      step: 100,
      startedAtMs: START + from * 1000,
      endedAtMs: START + to * 1000,
      evaluation: measured,
    }),
    history: Array.from({ length: 100 }, (_, i) => {
      const noise = Math.sin(i * 12.9898) * 0.6;
      const lossKd = teacherRunId === '' ? Number.NaN : 2.2 * Math.exp(-i / 60) + 0.4 + noise * 0.1;
      return point(i, { lossArcface: 9 * Math.exp(-i / 40) + 2 + noise, lossKd });
    }),
    evaluation: {
      evaluation: measured,
      rocFpr: fpr,
      rocTpr: fpr.map((x) => x ** (1 / (10 * measured.auc - 4))),
      examples: [pair(true, 0.8), pair(false, 1.9), pair(true, 1.5), pair(false, 1.1)],
      judged: judged(measured.accuracy, from),
    },
    checkpoints: Array.from({ length: 8 }, (_, i) => ({
      runId: id,
      stage: i + 1,
      step: (i + 1) * 12,
      bytes: 400_000,
      digest: 'd',
      held: 'all',
      note: '',
      storedAtMs: START + (from + ((i + 1) * (to - from)) / 8) * 1000,
    })),
  };
}

/**
 * A search of five epochs: its cells are the same after epochs 2 and 3, and after 4 and 5. The alphas of the last
 * epoch have the third operation on the first edge alone.
 */
export function searched(): RunReport {
  const first = randomGenotype(['max_pool_3x3', 'skip_connect', 'dw_conv_3x3'], 1, 0);
  const cells = [first, GENOTYPES.casia, GENOTYPES.casia, GENOTYPES.cifar10, GENOTYPES.cifar10];
  const changed = [undefined, 16, 0, 15, 0];
  const of = trained('run-9', 'cells-search', {
    ...{ kind: 'search', teacherRunId: '', from: 2, to: 90, result: {} },
  });
  return {
    run: { ...of.run, evaluation: undefined },
    history: of.history.map((one) => ({ ...one, lossArcface: Number.NaN })),
    evaluation: undefined,
    checkpoints: of.checkpoints.slice(0, cells.length).map((checkpoint, at) => ({
      ...checkpoint,
      found: {
        genotypeJson: JSON.stringify(cells[at]),
        skips: 6 - at,
        changedEdges: changed[at],
        trainingLoss: 3 - at / 2,
        validationLoss: 3.2 - at / 2,
        alphas: Array.from({ length: ALPHA_COUNT }, (_, i) => (at === 4 && i === 2 ? 50 : 0)),
      },
    })),
  };
}

export function reportData(): ReportData {
  const accuracies = [0.652, 0.708, 0.697, 0.765, 0.741, 0.7];
  const trials = accuracies.map((objective, i) =>
    trial({
      id: `trial-${i + 1}`,
      number: i + 1,
      objective,
      parameters: 41_000 + ((i * 7919) % 23_000),
      mflops: 6 + ((i * 7) % 5),
    }),
  );
  return {
    plan: plan({
      state: 'done',
      reason: '',
      winnerRunId: 'run-2',
      endedAtMs: START + 284_000,
      yaml: 'kind: plan\nname: demo\n',
    }),
    sweep: sweep({ state: 'done', bestTrialId: 'trial-4', trialsDone: 6 }),
    trials: [
      ...trials,
      trial({
        id: 'trial-7',
        number: 7,
        state: 'failed',
        objective: Number.NaN,
        reason: 'loss is not finite',
      }),
    ],
    seedSearches: [],
    candidateRuns: trials.map((one, i) =>
      run({
        id: `c-${one.number}`,
        name: `candidate-${one.number}`,
        kind: 'candidate',
        sweepId: 'sweep-1',
        state: 'done',
        startedAtMs: START + (2 + Math.floor(i / 2) * 30) * 1000,
        endedAtMs: START + (31 + Math.floor(i / 2) * 30) * 1000,
      }),
    ),
    runs: [
      trained('run-1', 'teacher', {
        kind: 'teacher',
        teacherRunId: '',
        from: 95,
        to: 215,
        result: { accuracy: 0.934, auc: 0.981, accuracyUntrained: 0.61 },
      }),
      trained('run-2', 'student-distilled', {
        kind: 'student',
        teacherRunId: 'run-1',
        from: 112,
        to: 280,
        result: { accuracy: 0.902, auc: 0.962, accuracyUntrained: 0.58 },
      }),
      trained('run-3', 'student-alone', {
        kind: 'student',
        teacherRunId: '',
        from: 112,
        to: 262,
        result: { accuracy: 0.868, auc: 0.94, accuracyUntrained: 0.58 },
      }),
    ],
    generatedAtMs: START + 285_000,
  };
}
