// Checkpoints as earlier releases stored them: one safetensors file, whose tensors are the vectors of the
// run's state under their names and whose metadata are its facts. They are read, and never written.

import { z } from 'zod';
import { digest64 } from '../digest.ts';
import { FleetError, toFleetError } from '../errors.ts';
import { readSafetensors } from '../model/safetensors.ts';
import { SGD_STATE, vectorNamed, WEIGHTS } from '../state-vectors.ts';
import { shaped } from '../text/shape.ts';
import { type Checkpoint, factsOf } from './checkpoint.ts';

const metadataSchema = z.object({
  format: z.literal('pocketfleet.checkpoint.v1'),
  labels: z.string().optional(),
  // Absent for the vectors of SGD_STATE, as in all checkpoints written before there were others.
  vectors: z
    .string()
    .regex(/^weights(,[a-z][a-z0-9_]*)*$/)
    .optional(),
});

/** The content of a file; `dataLoss` with what is missing or damaged when it is not a complete checkpoint. */
export function decodeBlob(bytes: Uint8Array): Checkpoint & { readonly weightsDigest: string } {
  try {
    return decoded(bytes);
  } catch (caught) {
    const { message } = toFleetError(caught);
    throw new FleetError('dataLoss', `this is no complete checkpoint: ${message}`, { cause: caught });
  }
}

function decoded(bytes: Uint8Array): Checkpoint & { readonly weightsDigest: string } {
  const { tensors, metadata } = readSafetensors(bytes);
  const { labels, vectors: vectorNames } = shaped(metadataSchema, metadata, 'its metadata', 'dataLoss');
  const { stateDigest: _, ...facts } = factsOf(metadata, 'its metadata');
  const names = vectorNames === undefined ? SGD_STATE : vectorNames.split(',');
  const vectors = names.map((name) => {
    const tensor = tensors.get(name);
    if (tensor?.dtype !== 'F32' || !(tensor.data instanceof Float32Array))
      throw new FleetError('dataLoss', `tensor ${name} is ${tensor?.dtype ?? 'missing'}, expected F32`);
    return { name, values: tensor.data };
  });
  const digest = digest64(vectorNamed(vectors, WEIGHTS));
  if (digest !== facts.weightsDigest)
    throw new FleetError(
      'dataLoss',
      `its weights have digest ${digest}, its metadata names ${facts.weightsDigest}`,
    );
  return { ...facts, vectors, ...(labels === undefined ? {} : { labelMap: labels }) };
}
