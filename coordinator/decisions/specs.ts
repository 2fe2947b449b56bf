// Specs in the journal: each is recorded once, and events name it by digest.

import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { lookup } from '../model/persistent-map.ts';
import { specDigest } from '../model/spec-digest.ts';
import { type Draft, emit } from './draft.ts';

/** Makes sure that the journal has this spec, and returns its digest. */
export function recordSpec(draft: Draft, spec: PlanSpec | SweepSpec | RunSpec): string {
  const digest = specDigest(spec);
  if (lookup(draft.state.specs, digest) === undefined) emit(draft, { kind: 'spec.recorded', digest, spec });
  return digest;
}
