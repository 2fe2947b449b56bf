// The digest by which events name a spec, so that each is in the journal once.

import { sha256Hex } from '../../core/digest.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';

const DIGEST_CHARS = 32;

/** The digest by which events name a spec. */
export function specDigest(spec: PlanSpec | SweepSpec | RunSpec): string {
  return sha256Hex(new TextEncoder().encode(canonicalJson(spec))).slice(0, DIGEST_CHARS);
}
