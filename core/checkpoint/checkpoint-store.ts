// Checkpoints in the artefact store: how one is cut into parts and put together again, and what is read for a
// network alone. Decides that values go straight between the store and the memory in which they are used, so
// that nothing of a checkpoint's size is built in between.

import { FleetError } from '../errors.ts';
import { sharedFloats } from '../shared-memory.ts';
import { trainedDigestOf, vectorNamed, WEIGHTS } from '../state-vectors.ts';
import { artefactName } from './artefact-names.ts';
import { decodeBlob } from './blob.ts';
import { type Checkpoint, factsMetadata, factsOf } from './checkpoint.ts';
import {
  assertStored,
  BACKBONE,
  emptyState,
  LABELS,
  layoutOfState,
  parsedLayout,
  piecesOf,
  type Slice,
  VALUE_PARTS,
} from './checkpoint-layout.ts';
import { BLOB_PART, type Manifest } from './manifest.ts';
import type { Waiting } from './persistence.ts';
import type { Artefact, ArtefactStore } from './store.ts';

/** A checkpoint as it comes from the store. */
export type LoadedCheckpoint = Checkpoint & { readonly weightsDigest: string };

/** The network of a checkpoint, without what only training needs. */
export interface LoadedNetwork {
  /** The network description. */
  readonly network: unknown;
  /** The backbone alone, in shared memory. */
  readonly weights: Float32Array;
  /** Batch-norm statistics, in shared memory. */
  readonly running: Float32Array;
  readonly step: number;
  /** Of all weights, the head's too; 16 hex digits. */
  readonly weightsDigest: string;
  readonly labelMap?: string;
}

/**
 * The artefact of a checkpoint whose first `backboneCount` weights are the backbone. Its parts are the memory
 * of the vectors, which may not change until it is stored.
 */
export async function checkpointArtefact(
  store: Pick<ArtefactStore, 'digesting'>,
  checkpoint: Checkpoint,
  backboneCount: number,
): Promise<Pick<Artefact, 'parts' | 'metadata'>> {
  const { vectors, labelMap } = checkpoint;
  const layout = layoutOfState(vectors, backboneCount);
  const { each, state } = await store.digesting.vectors(vectors.map(({ values }) => values));
  const weights = trainedDigestOf(vectors.map(({ name }, at) => ({ name, digest: () => each[at]! })));
  const parts = VALUE_PARTS.map((name) => ({ name, pieces: piecesOf(layout[name], vectors) }));
  return {
    parts:
      labelMap === undefined
        ? parts
        : [...parts, { name: LABELS, pieces: [new TextEncoder().encode(labelMap)] }],
    metadata: { ...factsMetadata(checkpoint, { weights, state }), layout: JSON.stringify(layout) },
  };
}

/** The whole checkpoint, as `ArtefactStore.readPart` reads each of its parts. */
export async function loadCheckpoint(
  store: ArtefactStore,
  manifest: Manifest,
  waiting: Waiting = {},
): Promise<LoadedCheckpoint> {
  if (manifest.form === 'blob') return decodeBlob(await store.getPart(manifest, BLOB_PART, waiting));
  const where = `the metadata of ${artefactName(manifest.key)}`;
  const { stateDigest: _, ...facts } = factsOf(manifest.metadata, where);
  const layout = parsedLayout(manifest.metadata.layout, where);
  assertStored(layout, manifest.parts, where);
  const vectors = emptyState(layout);
  for (const part of VALUE_PARTS)
    await store.readPart({ manifest, part, into: piecesOf(layout[part], vectors), ...waiting });
  return { ...facts, vectors, ...(await labelsOf(store, manifest, waiting)) };
}

/** The network of a checkpoint. Of a blob the whole is read, because it is one piece. */
export async function loadNetwork(
  store: ArtefactStore,
  manifest: Manifest,
  backboneOf: (network: unknown) => number,
  waiting: Waiting = {},
): Promise<LoadedNetwork> {
  const of = artefactName(manifest.key);
  if (manifest.form === 'blob') {
    const { vectors, ...facts } = decodeBlob(await store.getPart(manifest, BLOB_PART, waiting));
    const all = vectorNamed(vectors, WEIGHTS);
    const count = backboneOf(facts.network);
    if (all.length < count)
      throw new FleetError('dataLoss', `${of} has ${all.length} weights, its network needs ${count}`);
    return {
      ...facts,
      weights: shared(all.subarray(0, count)),
      running: shared(vectorNamed(vectors, 'running')),
    };
  }
  const where = `the metadata of ${of}`;
  const { network, step, weightsDigest } = factsOf(manifest.metadata, where);
  const layout = parsedLayout(manifest.metadata.layout, where);
  assertStored(layout, manifest.parts, where);
  const slices = layout[BACKBONE];
  const vectors = slices.map(([name, , length]) => ({ name, values: sharedFloats(length) }));
  const ranges = slices.map(([name, , length]): Slice => [name, 0, length]);
  await store.readPart({ manifest, part: BACKBONE, into: piecesOf(ranges, vectors), ...waiting });
  const [weights, running] = [vectorNamed(vectors, WEIGHTS), vectorNamed(vectors, 'running')];
  if (weights.length !== backboneOf(network))
    throw new FleetError(
      'dataLoss',
      `${of} has a backbone of ${weights.length} weights, its network needs ${backboneOf(network)}`,
    );
  return { network, step, weightsDigest, weights, running, ...(await labelsOf(store, manifest, waiting)) };
}

async function labelsOf(
  store: ArtefactStore,
  manifest: Manifest,
  waiting: Waiting,
): Promise<{ readonly labelMap?: string }> {
  if (manifest.parts.every(({ name }) => name !== LABELS)) return {};
  const bytes = await store.getPart(manifest, LABELS, waiting);
  // A decoder takes no shared memory.
  return { labelMap: new TextDecoder().decode(Uint8Array.from(bytes)) };
}

function shared(values: Float32Array): Float32Array {
  const copy = sharedFloats(values.length);
  copy.set(values);
  return copy;
}
