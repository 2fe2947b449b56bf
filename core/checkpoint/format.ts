// What a checkpoint is: everything needed to continue a run bit-identically after a committed step, as one safetensors
// file with the tensors `weights`, `momentum`, `running` and the rest as metadata. Decides names and completeness; the file
// format is model/safetensors.ts', where it is stored store.ts'. Equal states give equal bytes: nothing in here
// says who wrote it or when.

import { z } from 'zod';
import { digest64, digest64Of } from '../digest.ts';
import { FleetError, toFleetError } from '../errors.ts';
import { readSafetensors, writeSafetensors } from '../model/safetensors.ts';
import { canonicalJson } from '../spec/canonical-json.ts';
import { shaped } from '../text/shape.ts';

export interface Checkpoint {
  /** Parameters in layout order, then the head. */
  readonly weights: Float32Array;
  /** As long as the weights; with `sync: outer` the outer optimiser's, since the inner one's begins anew in each round. */
  readonly momentum: Float32Array;
  /** Means and variances of batch normalisation in layout order. */
  readonly running: Float32Array;
  /** The validated run spec. */
  readonly spec: unknown;
  /** The network description, with its genotype. */
  readonly network: unknown;
  /** How pixels become the network's input. */
  readonly preprocessing: unknown;
  /** Committed steps: the run continues with this one. */
  readonly step: number;
  /** Complete epochs. */
  readonly epoch: number;
  /** 1-based; the stage that this checkpoint ends. */
  readonly stage: number;
  /** The class whose arithmetic gave these bits. */
  readonly deviceClass: string;
  /** Which samples the committed steps counted (core/data/loading/sample-ledger.ts), 64 hex digits. */
  readonly ledgerDigest?: string;
  /** Labels of the data set in the order of the head's classes, as ranges, where they were renumbered (data/numbering.ts). */
  readonly labelMap?: string;
}

const FORMAT = 'pocketfleet.checkpoint.v1';

const count = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number);
const json = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue({ code: 'custom', message: 'is not JSON' });
    return z.NEVER;
  }
});
const metadataSchema = z.object({
  format: z.literal(FORMAT),
  spec: json,
  network: json,
  preprocessing: json,
  step: count,
  epoch: count,
  stage: count,
  weights_digest: z.string().regex(/^[0-9a-f]{16}$/),
  device_class: z.string(),
  ledger_digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  labels: z.string().optional(),
});

export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  const { weights, momentum, running } = checkpoint;
  if (momentum.length !== weights.length)
    throw new FleetError('internal', `${weights.length} weights have ${momentum.length} momenta`);
  return writeSafetensors(
    new Map([
      ['weights', { dtype: 'F32', shape: [weights.length], data: weights }],
      ['momentum', { dtype: 'F32', shape: [momentum.length], data: momentum }],
      ['running', { dtype: 'F32', shape: [running.length], data: running }],
    ]),
    // Some hundred thousand ranges at worst, which a manifest has no room for: in the file alone.
    {
      ...checkpointMetadata(checkpoint),
      ...(checkpoint.labelMap === undefined ? {} : { labels: checkpoint.labelMap }),
    },
  );
}

/** 64-bit digest of weights, momentum and running statistics together. */
export function stateDigest({
  weights,
  momentum,
  running,
}: Pick<Checkpoint, 'weights' | 'momentum' | 'running'>): string {
  return digest64Of([weights, momentum, running]);
}

/** The metadata alone: what a manifest repeats so that a list need not read the tensors. */
export function checkpointMetadata(checkpoint: Checkpoint): Record<string, string> {
  return {
    format: FORMAT,
    spec: canonicalJson(checkpoint.spec),
    network: canonicalJson(checkpoint.network),
    preprocessing: canonicalJson(checkpoint.preprocessing),
    step: String(checkpoint.step),
    epoch: String(checkpoint.epoch),
    stage: String(checkpoint.stage),
    weights_digest: digest64(checkpoint.weights),
    device_class: checkpoint.deviceClass,
    state_digest: stateDigest(checkpoint),
    ...(checkpoint.ledgerDigest === undefined ? {} : { ledger_digest: checkpoint.ledgerDigest }),
  };
}

/** Throws `dataLoss` that says what is missing or damaged. */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint & { readonly weightsDigest: string } {
  try {
    return decoded(bytes);
  } catch (caught) {
    const { message } = toFleetError(caught);
    throw new FleetError('dataLoss', `this is no complete checkpoint: ${message}`, { cause: caught });
  }
}

function decoded(bytes: Uint8Array): Checkpoint & { readonly weightsDigest: string } {
  const { tensors, metadata } = readSafetensors(bytes);
  const vector = (name: string): Float32Array => {
    const tensor = tensors.get(name);
    if (tensor?.dtype !== 'F32' || !(tensor.data instanceof Float32Array))
      throw new FleetError('dataLoss', `tensor ${name} is ${tensor?.dtype ?? 'missing'}, expected F32`);
    return tensor.data;
  };
  const parsed = shaped(metadataSchema, metadata, 'its metadata', 'dataLoss');
  const {
    weights_digest: weightsDigest,
    device_class: deviceClass,
    ledger_digest: ledgerDigest,
    labels: labelMap,
    format: _,
    ...rest
  } = parsed;
  const weights = vector('weights');
  const momentum = vector('momentum');
  const running = vector('running');
  if (momentum.length !== weights.length)
    throw new FleetError('dataLoss', `${weights.length} weights have ${momentum.length} momenta`);
  const digest = digest64(weights);
  if (digest !== weightsDigest)
    throw new FleetError(
      'dataLoss',
      `its weights have digest ${digest}, its metadata names ${weightsDigest}`,
    );
  return {
    ...rest,
    weights,
    momentum,
    running,
    deviceClass,
    weightsDigest,
    ...(ledgerDigest === undefined ? {} : { ledgerDigest }),
    ...(labelMap === undefined ? {} : { labelMap }),
  };
}
