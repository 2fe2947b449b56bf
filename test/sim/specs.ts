// Small specs for the tests of the control plane, complete by their schemas.

import { type PlanSpec, planSchema } from '../../core/spec/plan.ts';
import { type RunSpec, runSchema } from '../../core/spec/run.ts';
import { type SweepSpec, sweepSchema } from '../../core/spec/sweep.ts';

const data = { kind: 'synthetic', identities: 12, images: 8, holdout: 4 } as const;
const network = { kind: 'pocketnet', channels: 2, layers: 4, embedding: 16 } as const;
/** 8 steps of 16 images from 64. */
export const training = { epochs: 2, batch: 16, shards: 8 };

export function teacher(change: Record<string, unknown> = {}): RunSpec {
  return runSchema.parse({
    kind: 'teacher',
    name: 'teacher',
    network,
    data,
    training,
    workers: { min: 1, max: 4 },
    ...change,
  });
}

export function student(of: string, change: Record<string, unknown> = {}): RunSpec {
  return runSchema.parse({
    ...teacher(),
    kind: 'student',
    name: 'student',
    workers: { min: 1, max: 2 },
    distillation: { teacher: of },
    ...change,
  });
}

export function sweep(change: Record<string, unknown> = {}): SweepSpec {
  return sweepSchema.parse({
    kind: 'sweep',
    name: 'search',
    space: { channels: 2, layers: 4, embedding: 16 },
    strategy: { trials: 6 },
    evaluation: { training },
    data,
    ...change,
  });
}

export function plan(change: Record<string, unknown> = {}): PlanSpec {
  return planSchema.parse({
    kind: 'plan',
    name: 'demo',
    data,
    search: {
      space: { channels: 2, layers: 4, embedding: 16 },
      strategy: { trials: 6 },
      evaluation: { training },
    },
    teacher: { name: 'teacher', network, training, workers: { min: 1, max: 2 } },
    students: [
      { name: 'plain', network: 'best', training, workers: { min: 1, max: 2 } },
      { name: 'distilled', network: 'best', training, workers: { min: 1, max: 2 }, distillation: {} },
    ],
    export: {},
    ...change,
  });
}
