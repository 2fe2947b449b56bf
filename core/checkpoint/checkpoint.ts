// What a checkpoint is: everything needed to continue a run bit-identically after a committed step. It is the
// vectors of the run's state and the facts that go with them. Decides the names of these facts in the metadata
// of a manifest, and when they are complete.
//
// Equal states give equal artefacts, because a checkpoint is stored once under its run and stage by whichever
// member comes first: metadata hold neither a time nor the name of the writer.

import { z } from 'zod';
import { canonicalJson } from '../spec/canonical-json.ts';
import { type SearchFound, searchFoundSchema } from '../spec/search.ts';
import type { StateVectors } from '../state-vectors.ts';
import { shaped } from '../text/shape.ts';

/** The facts of a checkpoint, without its values. */
export interface CheckpointFacts {
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
  /** Complete stages: the one that this checkpoint ends, unless a pause stored it within the next one. */
  readonly stage: number;
  /** The class whose arithmetic gave these bits. */
  readonly deviceClass: string;
  /** Which samples the committed steps counted (core/data/loading/sample-ledger.ts), 64 hex digits. */
  readonly ledgerDigest?: string;
  /** Of the teacher's checkpoint from which this stage was distilled, 64 hex digits. */
  readonly teacherDigest?: string;
  /** What a stage of a search has found. */
  readonly found?: SearchFound;
}

/** A checkpoint as it is stored. */
export interface Checkpoint extends CheckpointFacts {
  /** The whole state of the run, the classifier head included. */
  readonly vectors: StateVectors;
  /**
   * Labels of the data set in the order of the head's classes, as ranges, where they were renumbered
   * (core/data/packs/numbering.ts).
   */
  readonly labelMap?: string;
}

/** Digests of the values, 16 hex digits each. */
export interface StateDigests {
  readonly weights: string;
  readonly state: string;
}

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
const digest16 = z.string().regex(/^[0-9a-f]{16}$/);
const digest64 = z.string().regex(/^[0-9a-f]{64}$/);

const foundText = json.pipe(searchFoundSchema);

const factsSchema = z.object({
  spec: json,
  network: json,
  preprocessing: json,
  step: count,
  epoch: count,
  stage: count,
  weights_digest: digest16,
  // Blobs of the first releases lack it.
  state_digest: digest16.optional(),
  device_class: z.string(),
  ledger_digest: digest64.optional(),
  teacher_digest: digest64.optional(),
  search: foundText.optional(),
});

/** The metadata of a checkpoint: what a list or a reader of one part needs to know of the whole. */
export function factsMetadata(facts: CheckpointFacts, digests: StateDigests): Record<string, string> {
  return {
    spec: canonicalJson(facts.spec),
    network: canonicalJson(facts.network),
    preprocessing: canonicalJson(facts.preprocessing),
    step: String(facts.step),
    epoch: String(facts.epoch),
    stage: String(facts.stage),
    weights_digest: digests.weights,
    device_class: facts.deviceClass,
    state_digest: digests.state,
    ...(facts.ledgerDigest === undefined ? {} : { ledger_digest: facts.ledgerDigest }),
    ...(facts.teacherDigest === undefined ? {} : { teacher_digest: facts.teacherDigest }),
    ...(facts.found === undefined ? {} : { search: canonicalJson(facts.found) }),
  };
}

/** What the metadata of a search's checkpoint say that it has found; undefined for other runs, and where it is not legible. */
export function foundOf({ search }: { readonly search?: string | undefined }): SearchFound | undefined {
  return search === undefined ? undefined : foundText.safeParse(search).data;
}

/** The facts that metadata name; `dataLoss` that says which is missing or is none. */
export function factsOf(
  metadata: Readonly<Record<string, string>>,
  where: string,
): CheckpointFacts & { readonly weightsDigest: string; readonly stateDigest?: string } {
  const parsed = shaped(factsSchema, metadata, where, 'dataLoss');
  const { weights_digest, state_digest, device_class, ledger_digest, teacher_digest, search, ...rest } =
    parsed;
  return {
    ...rest,
    weightsDigest: weights_digest,
    deviceClass: device_class,
    ...(state_digest === undefined ? {} : { stateDigest: state_digest }),
    ...(ledger_digest === undefined ? {} : { ledgerDigest: ledger_digest }),
    ...(teacher_digest === undefined ? {} : { teacherDigest: teacher_digest }),
    ...(search === undefined ? {} : { found: search }),
  };
}
