// What is found out about a data set before anything is spent on it. Drawn faces are known from their spec
// alone, so that nothing has to look at them.

import { sha256Hex } from '../../digest.ts';
import { canonicalJson } from '../../spec/canonical-json.ts';
import type { DataSpec } from '../../spec/data.ts';
import { classesLeft } from '../holdout.ts';
import type { SkippedImages } from './skipped.ts';

export interface DataFacts {
  readonly trainingImages: number;
  /** Identities of the training split: columns of the classifier head. */
  readonly classes: number;
  readonly heldOutImages: number;
  readonly heldOutIdentities: number;
}

/** A data set as far as documents are checked against it. */
export interface Inspection {
  readonly facts: DataFacts;
  /**
   * SHA-256 of what the set consists of, wherever it lies: of a pack its files, of a folder the name, size
   * and bytes of each image, of drawn faces the numbers that they follow from. 64 hex digits.
   */
  readonly digest: string;
  /** Images of each held-out identity; the number of pairs for verification follows from them. */
  readonly heldOutSizes: readonly number[];
  /** Images that the run leaves out; they go into its data spec. */
  readonly skipped?: SkippedImages;
  /** Facts that a person should know and that refuse nothing, as sentences. */
  readonly notes: readonly string[];
}

/** Faces that are drawn. */
export type DrawnSpec = Extract<DataSpec, { readonly kind: 'synthetic' }>;

/** Names the way in which faces are drawn; another renderer gets another number. */
const RENDERER = 'drawn faces 1';

/** Throws where too few identities are left for training. */
export function inspectDrawn(spec: DrawnSpec): Inspection {
  const { identities, images, holdout, seed, difficulty } = spec;
  const classes = classesLeft(identities, holdout);
  return {
    facts: {
      trainingImages: classes * images,
      classes,
      heldOutImages: holdout * images,
      heldOutIdentities: holdout,
    },
    digest: sha256Hex(canonicalJson([RENDERER, { identities, images, seed, difficulty }])),
    heldOutSizes: Array.from({ length: holdout }, () => images),
    notes: [],
  };
}
