// What a worker sends about a data set that it looks at, in domain types. Decides whether it is well-formed: a
// worker that sends anything else is cut off.

import type { Inspection } from '../../core/data/inspection/inspection.ts';
import type { DataProgress } from '../../core/data/progress-pace.ts';
import { CODES, type Code, FleetError } from '../../core/errors.ts';
import { foundText } from '../../core/text/printable.ts';
import { boundedText } from '../../core/text/wire-text.ts';
import type { DataInspection, InspectRefusal, InspectResult } from '../../proto/gen/pocketfleet/v1/worker.ts';

/** Twenty images are named at most, each with its path. */
const MESSAGE_CHARS_MAX = 40_000;

/** How far a look is, or what it found. */
export type InspectionNews =
  | { readonly kind: 'progress'; readonly progress: DataProgress }
  | { readonly kind: 'inspection'; readonly inspection: Inspection };

/** Why a look found nothing. */
export interface InspectionRefusal {
  readonly kind: 'refusal';
  readonly code: Code;
  readonly message: string;
  /** `missing`: a client shows the sentence as it is, because it is no coordinator that is away. */
  readonly details: { readonly absent?: true; readonly missing: 'data' };
}

/** Throws `invalidArgument` where a field is wrong. */
export function newsOf(part: InspectResult['part']): InspectionNews | InspectionRefusal {
  if (part === undefined) throw wrong('part', 'is missing');
  switch (part.$case) {
    case 'progress': {
      const { doing, done, total, unit } = part.value;
      return { kind: 'progress', progress: { doing, done, total, unit } };
    }
    case 'inspection':
      return { kind: 'inspection', inspection: inspectionOf(part.value) };
    case 'refusal':
      return refusalOf(part.value);
  }
}

function inspectionOf(found: DataInspection): Inspection {
  const { trainingImages, classes, heldOutImages, heldOutIdentities, leftOut } = found;
  const facts = { trainingImages, classes, heldOutImages, heldOutIdentities };
  for (const [field, count] of Object.entries(facts))
    if (!Number.isSafeInteger(count) || count < 0) throw wrong(field, 'is no count');
  if (!/^[0-9a-f]{64}$/.test(found.digest)) throw wrong('digest', 'is no SHA-256');
  return {
    facts,
    digest: found.digest,
    heldOutSizes: found.heldOutSizes,
    ...(leftOut === undefined ? {} : { skipped: leftOut }),
    notes: found.notes.map(boundedText),
  };
}

function refusalOf({ code, message, absent }: InspectRefusal): InspectionRefusal {
  if (!(code in CODES)) throw wrong('code', `is ${foundText(code)}, which is no code`);
  return {
    kind: 'refusal',
    code: code as Code,
    message: message.slice(0, MESSAGE_CHARS_MAX),
    details: { missing: 'data', ...(absent ? { absent } : {}) },
  };
}

const wrong = (field: string, what: string): FleetError =>
  new FleetError('invalidArgument', `inspect_result.${field} ${what}`);
