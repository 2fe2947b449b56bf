// What a checkpoint is: everything needed to continue a run bit-identically after a committed step, as one
// safetensors file. Its tensors are the vectors of the run's state under their names; everything else is
// metadata. This file decides the names of the metadata and when a file is complete.
//
// Equal states give equal bytes, because a checkpoint is stored once under its run and stage by whichever
// member comes first: the file holds neither a time nor the name of its writer. The metadata therefore name
// the vectors only where they are not those of SGD_STATE, and a file that a release without named vectors
// wrote is read and written again to the same bytes.

import { z } from 'zod';
import { digest64 } from '../digest.ts';
import { FleetError, toFleetError } from '../errors.ts';
import { readSafetensors, writeSafetensors } from '../model/safetensors.ts';
import { canonicalJson } from '../spec/canonical-json.ts';
import {
  namesOf,
  SGD_STATE,
  type StateVectors,
  stateDigest,
  vectorNamed,
  WEIGHTS,
} from '../state-vectors.ts';
import { shaped } from '../text/shape.ts';

export interface Checkpoint {
  /** The whole state of the run, the classifier head included. */
  readonly vectors: StateVectors;
  /** The validated run spec. */
  readonly spec: unknown;
  /** The network description, with its genotype. */
  readonly network: unknown;
  /** How pixels become the network's input. */
  readonly preprocessing: unknown;
  /** Committed steps; also the 0-based number of the step with which the run continues. */
  readonly step: number;
  /** Complete epochs; equal to the stage. */
  readonly epoch: number;
  /** The stage that this checkpoint ends, from 1. */
  readonly stage: number;
  /** The class whose arithmetic gave these bits. */
  readonly deviceClass: string;
  /** Which samples the committed steps counted (core/data/loading/sample-ledger.ts), 64 hex digits. */
  readonly ledgerDigest?: string;
  /**
   * Labels of the data set in the order of the head's classes, as ranges, where they were renumbered
   * (core/data/packs/numbering.ts).
   */
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
  // Absent for the vectors of SGD_STATE, as in all checkpoints written before there were others.
  vectors: z
    .string()
    .regex(/^weights(,[a-z][a-z0-9_]*)*$/)
    .optional(),
});

/** The file of a checkpoint. */
export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  const { vectors, labelMap } = checkpoint;
  assertMomentum(vectors, 'internal');
  return writeSafetensors(
    new Map(
      vectors.map(({ name, values }) => [name, { dtype: 'F32', shape: [values.length], data: values }]),
    ),
    // The labels can be some hundred thousand ranges. They are in the file alone, because a manifest has no
    // room for them.
    { ...checkpointMetadata(checkpoint), ...(labelMap === undefined ? {} : { labels: labelMap }) },
  );
}

/**
 * The metadata without labels. A manifest repeats them, so that a list of checkpoints can be made without
 * reading tensors.
 */
export function checkpointMetadata(checkpoint: Checkpoint): Record<string, string> {
  return {
    format: FORMAT,
    spec: canonicalJson(checkpoint.spec),
    network: canonicalJson(checkpoint.network),
    preprocessing: canonicalJson(checkpoint.preprocessing),
    step: String(checkpoint.step),
    epoch: String(checkpoint.epoch),
    stage: String(checkpoint.stage),
    weights_digest: digest64(vectorNamed(checkpoint.vectors, WEIGHTS)),
    device_class: checkpoint.deviceClass,
    state_digest: stateDigest(checkpoint.vectors),
    ...(isSgdState(checkpoint.vectors) ? {} : { vectors: namesOf(checkpoint.vectors).join(',') }),
    ...(checkpoint.ledgerDigest === undefined ? {} : { ledger_digest: checkpoint.ledgerDigest }),
  };
}

/** The content of a file; `dataLoss` with what is missing or damaged when it is not a complete checkpoint. */
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
    vectors: vectorNames,
    format: _,
    ...rest
  } = parsed;
  const names = vectorNames === undefined ? SGD_STATE : vectorNames.split(',');
  const vectors = names.map((name) => ({ name, values: vector(name) }));
  assertMomentum(vectors, 'dataLoss');
  const digest = digest64(vectorNamed(vectors, WEIGHTS));
  if (digest !== weightsDigest)
    throw new FleetError(
      'dataLoss',
      `its weights have digest ${digest}, its metadata names ${weightsDigest}`,
    );
  return {
    ...rest,
    vectors,
    deviceClass,
    weightsDigest,
    ...(ledgerDigest === undefined ? {} : { ledgerDigest }),
    ...(labelMap === undefined ? {} : { labelMap }),
  };
}

const isSgdState = (vectors: StateVectors): boolean => namesOf(vectors).join() === SGD_STATE.join();

/** Momentum is one value for each weight, in every state that has momentum. */
function assertMomentum(vectors: StateVectors, code: 'internal' | 'dataLoss'): void {
  const momentum = vectors.find(({ name }) => name === 'momentum')?.values;
  const weights = vectorNamed(vectors, WEIGHTS);
  if (momentum !== undefined && momentum.length !== weights.length)
    throw new FleetError(code, `${weights.length} weights have ${momentum.length} momenta`);
}
