// Messages of the protocol with everything filled in, for tests that care about a few fields only.

import type {
  Evaluation,
  Plan,
  Run,
  Snapshot,
  StepPoint,
  Sweep,
  Trial,
  Worker,
} from '../../../proto/gen/pocketfleet/v1/fleet.ts';

export const evaluation = (some: Partial<Evaluation> = {}): Evaluation => ({
  accuracy: 0.9,
  accuracyStd: 0.02,
  auc: 0.95,
  eer: 0.1,
  tarAtFar: 0.7,
  pairs: 600,
  accuracyUntrained: 0.6,
  ...some,
});

export const run = (some: Partial<Run> = {}): Run => ({
  id: 'run-1',
  name: 'teacher',
  kind: 'teacher',
  state: 'running',
  reason: '',
  generation: 1,
  workerIds: ['worker-1', 'worker-2'],
  step: 50,
  stepsTotal: 100,
  epoch: 4,
  loss: 3.137,
  imagesPerSecond: 120.4,
  startedAtMs: 1_000_000,
  endedAtMs: 0,
  weightsDigest: '',
  evaluation: undefined,
  attempts: 1,
  sweepId: '',
  planId: 'plan-1',
  teacherRunId: '',
  parameters: 100_000,
  mflops: 12.5,
  checkpoints: 4,
  deviceClass: 'cpu',
  specJson: '{"training":{"epochs":8}}',
  remainingSeconds: 65,
  openRoundSteps: 0,
  reusedFrom: '',
  ...some,
});

export const sweep = (some: Partial<Sweep> = {}): Sweep => ({
  id: 'sweep-1',
  name: 'demo-search',
  state: 'running',
  reason: '',
  trialsTotal: 6,
  trialsDone: 2,
  trialsFailed: 0,
  bestTrialId: 'trial-2',
  bestObjective: 0.765,
  createdAtMs: 1_000_000,
  endedAtMs: 0,
  strategy: 'random',
  planId: 'plan-1',
  waitsFor: '',
  objectives: [],
  specJson: '',
  ...some,
});

export const trial = (some: Partial<Trial> = {}): Trial => ({
  id: 'trial-1',
  sweepId: 'sweep-1',
  number: 1,
  state: 'done',
  reason: '',
  runId: 'run-c1',
  genotypeJson: JSON.stringify({
    normal: [
      [
        ['dw_conv_3x3', 0],
        ['max_pool_3x3', 1],
      ],
      [
        ['skip_connect', 0],
        ['avg_pool_3x3', 2],
      ],
      [
        ['dw_conv_7x7', 0],
        ['dw_conv_1x1', 1],
      ],
      [
        ['dw_conv_5x5', 0],
        ['skip_connect', 3],
      ],
    ],
  }),
  parameters: 50_000,
  mflops: 8.25,
  multiplyAdds: 4_000_000,
  objective: 0.7,
  attempts: 1,
  searchAttempts: 0,
  measured: {},
  measuredOn: '',
  reusedFrom: '',
  ...some,
});

export const plan = (some: Partial<Plan> = {}): Plan => ({
  id: 'plan-1',
  name: 'demo',
  state: 'running',
  reason: 'searching',
  sweepId: 'sweep-1',
  runIds: ['run-1'],
  createdAtMs: 1_000_000,
  endedAtMs: 0,
  winnerRunId: '',
  yaml: 'kind: plan',
  ...some,
});

export const worker = (some: Partial<Worker> = {}): Worker => ({
  id: 'worker-1',
  state: 'busy',
  deviceClass: 'cpu/avx512/1/2.21.0',
  deviceName: 'a processor',
  memoryBytes: 2 ** 34,
  gpu: undefined,
  devices: [],
  connected: true,
  slots: 4,
  runIds: ['run-1'],
  lastSeenMs: 1_000_000,
  imagesPerSecond: 60,
  version: '0.1.0',
  host: 'box',
  reason: '',
  pid: 4242,
  metricsEndpoint: '',
  ...some,
});

export const snapshot = (some: Partial<Snapshot> = {}): Snapshot => ({
  plans: [],
  sweeps: [],
  trials: [],
  runs: [],
  workers: [],
  journalSequence: 1234,
  atMs: 1_060_000,
  ...some,
});

export const point = (step: number, some: Partial<StepPoint> = {}): StepPoint => ({
  step,
  epoch: Math.floor(step / 12),
  loss: 10 / (1 + step),
  lossArcface: 9 / (1 + step),
  lossKd: Number.NaN,
  learningRate: 0.05,
  gradientNorm: 1,
  imagesPerSecond: 100,
  atMs: 1_000_000 + step,
  ...some,
});
