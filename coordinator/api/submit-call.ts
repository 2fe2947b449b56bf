// A call that submits: what is known already is answered, the rest is checked and given to the driver; a dry run gets
// a forecast instead.

import type { Clock } from '../../core/clock.ts';
import { FleetError } from '../../core/errors.ts';
import type { SubmitRequest, SubmitResponse } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Desk } from '../decisions/desk.ts';
import type { Input } from '../decisions/inputs.ts';
import type { Driver } from '../journal/driver.ts';
import type { Caller } from '../model/caller.ts';
import { lookup } from '../model/persistent-map.ts';
import { requirementNotes } from '../scheduling/requirement.ts';
import type { Inspector } from '../workers/inspector.ts';
import type { ProgressBoard } from '../workers/progress-board.ts';
import { answered } from './answered.ts';
import { checkSubmission } from './check-submission.ts';
import { forecastOf } from './forecast.ts';
import { identityOf } from './submission-identity.ts';
import type { SubmissionReader } from './submission-reader.ts';
import { withForeseen } from './teacher-files.ts';

/** What a submission is held against and given to. */
export interface SubmitParts {
  readonly driver: Driver;
  readonly submissions: SubmissionReader;
  readonly inspector: Inspector;
  readonly progress: ProgressBoard;
  readonly desk: Desk;
  readonly clock: Clock;
}

/** Takes a text, or says what it would do. `signal`: the caller has gone. */
export async function submit(
  parts: SubmitParts,
  request: SubmitRequest,
  { signal, by }: { readonly signal: AbortSignal; readonly by?: Caller },
): Promise<SubmitResponse> {
  // Looking at the data can take minutes: what would be refused after that is refused before it.
  const { refusal } = parts.driver;
  if (refusal !== undefined && !request.dryRun) throw refusal;
  const identity = identityOf(request);
  // What was taken before is answered from the journal, whatever has become of its data since.
  if (identity !== undefined && lookup(parts.driver.state.submissions.byKey, identity.id) !== undefined)
    return submittedAs(parts, { kind: 'submit', documents: [], request: identity }, []);
  const found = new Set<string>();
  const { submission, state } = heldAgainst(parts, request);
  const documents = await checkSubmission(submission, state, {
    reader: parts.submissions,
    imageRowsBytes: parts.desk.board.observed.imageRowsBytes,
    pools: () => parts.desk.board.pools.all(),
    by,
    signal,
    async inspect(data) {
      const inspection = await parts.inspector.inspect(data, { signal });
      for (const note of inspection.notes) found.add(note);
      return inspection;
    },
  });
  const notes = [...found, ...documents.flatMap((one) => requirementNotes(state(), one.spec))];
  if (request.dryRun) {
    const { progress, clock } = parts;
    const { pools } = parts.desk.board;
    const about = {
      ...{ state: state(), speedOf: progress.speedOf, now: () => clock.monotonic() },
      pools: () => pools.all(),
      observed: parts.desk.board.observed,
    };
    const forecast = await forecastOf(documents, about);
    return { planIds: [], sweepIds: [], runIds: [], notes, forecast };
  }
  const input = {
    kind: 'submit',
    documents,
    ...(identity && { request: identity }),
    ...(by && { by }),
  } as const;
  return submittedAs(parts, input, notes);
}

/** What a text is held against: in a check alone also teachers whose files are not stored yet. */
function heldAgainst({ driver, desk }: SubmitParts, request: SubmitRequest) {
  const { imports } = request;
  const foreseen = imports?.foreseen ?? {};
  if (Object.keys(foreseen).length === 0) return { submission: request, state: () => driver.state };
  if (!request.dryRun)
    throw new FleetError(
      'invalidArgument',
      'imports.foreseen: only a dry run is held against what is not stored',
    );
  const { state, runIds } = withForeseen(driver.state, desk.board.observed, foreseen);
  const submission = { ...request, imports: { runIds: { ...imports?.runIds, ...runIds } } };
  return { submission, state: () => state };
}

async function submittedAs(
  { driver }: SubmitParts,
  input: Extract<Input, { kind: 'submit' }>,
  notes: readonly string[],
): Promise<SubmitResponse> {
  const { planIds, sweepIds, runIds } = answered(await driver.submit(input), 'submitted');
  return { planIds: [...planIds], sweepIds: [...sweepIds], runIds: [...runIds], notes: [...notes] };
}
