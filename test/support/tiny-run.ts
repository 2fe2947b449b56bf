// Run specs that train in seconds on one thread, for tests of workers: two training identities more than are
// held out, a small network, four shards.

import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { anyRunSchema, type RunSpec } from '../../core/spec/run.ts';

const network = { kind: 'pocketnet', channels: 4, layers: 4, embedding: 8 };

/** 6 training identities x 8 images = 48 images; 16 a step, so an epoch is 3 steps. */
export function tinyRun(overrides: Record<string, unknown> = {}): RunSpec {
  return anyRunSchema.parse({
    kind: 'candidate',
    name: 'tiny',
    network,
    data: { kind: 'synthetic', identities: 8, images: 8, holdout: 2, seed: 5 },
    training: { epochs: 2, batch: 16, shards: 4, seed: 7, optimizer: { learningRate: 0.05 } },
    verification: { pairs: 40 },
    ...overrides,
  });
}

/** The same run with a different training section. */
export const withTraining = (training: Record<string, unknown>): Record<string, unknown> => ({
  training: { epochs: 2, batch: 16, shards: 4, seed: 7, optimizer: { learningRate: 0.05 }, ...training },
});

export const assignOf = (options: {
  readonly runId: string;
  readonly generation: number;
  readonly spec: RunSpec;
  readonly workers: readonly string[];
  readonly teacherRunId?: string;
  readonly teacherStages?: number;
  readonly pauses?: boolean;
  readonly pausedStep?: number;
  readonly haltStage?: number;
  readonly evaluateStages?: number[];
  readonly embeddingRunId?: string;
  readonly imageRowsBytes?: number;
  readonly dataDigest?: string;
  readonly storedStage?: number;
}) => {
  const { runId, generation, spec, workers, teacherRunId = '', teacherStages = 0 } = options;
  const { pauses, pausedStep, haltStage, evaluateStages = [], embeddingRunId, imageRowsBytes } = options;
  const { dataDigest, storedStage } = options;
  const shardCount = spec.training.shards / workers.length;
  const members = workers.map((workerId, i) => ({ workerId, shardFirst: i * shardCount, shardCount }));
  return {
    $case: 'assign' as const,
    value: {
      ...{ runId, generation, specJson: canonicalJson(spec), members, teacherRunId, teacherStages },
      ...{ pauses, pausedStep, haltStage, evaluateStages, embeddingRunId, imageRowsBytes },
      ...{ dataDigest, storedStage },
    },
  };
};
