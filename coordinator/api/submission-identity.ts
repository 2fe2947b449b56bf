// What makes two calls of Submit one submission: the id that the caller chose. Decides what the id must not be
// used for again: another text, other overrides, or another folder against which its paths are resolved.

import { sha256Hex } from '../../core/digest.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { token } from '../../core/text/wire-text.ts';
import type { SubmitRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';

/**
 * The id of a submission with the digest of what it is about; undefined for a call that stands for itself.
 * Throws `invalidArgument` for an id that is none.
 */
export function identityOf({
  requestId,
  yaml,
  baseDir,
  dryRun,
  overrides,
  fresh = false,
}: SubmitRequest): { readonly id: string; readonly digest: string } | undefined {
  if (requestId === undefined || dryRun) return undefined;
  const digest = sha256Hex(canonicalJson([yaml, baseDir, overrides, ...(fresh ? ['fresh'] : [])]));
  return { id: token('request_id', requestId), digest };
}
