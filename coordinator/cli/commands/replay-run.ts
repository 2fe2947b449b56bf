// The proof that a run is what its spec gives: a worker computes it again, and every stage and every step at which a
// pause stored it has the bits that are stored or, where these were let go, those that the journal has recorded.
// Decides which steps are compared, the verdict, and what is printed. A difference ends the command with code 1.

import { FleetError } from '../../../core/errors.ts';
import { formatCount } from '../../../core/report/format.ts';
import type { LedgerEntry, ReplayPoint, StageVerdict } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { persistently } from '../absence.ts';
import type { FleetClient } from '../client.ts';
import { findRun } from '../context.ts';
import { outliveReader } from '../lost-output.ts';
import { wholeLedger } from '../proof/whole-ledger.ts';
import { print, say, toJson } from '../screen/output.ts';

/** What of a run is computed again: from a stage, 0 is the seed, to a stage, 0 is the newest checkpoint of any kind. */
interface ReplayRange {
  readonly from: number;
  readonly to: number;
}

/** Replays a run, and prints the verdict on each of its checkpoints as it comes. */
export async function replayRun(
  client: FleetClient,
  name: string,
  options: ReplayRange & { readonly json?: boolean },
  signal: AbortSignal,
): Promise<void> {
  outliveReader();
  const { id } = await findRun(client, name);
  const { entries } = await wholeLedger(client, id);
  const compared = comparedEntries(entries, options);
  const last = compared.at(-1);
  let fromStage = options.from;
  let provedStep = 0;
  const proved = { stages: 0, pauses: 0 };
  const open = () => {
    const steps = compared.filter(({ stage, step }) => stage === 0 && step > provedStep).map(stepOf);
    const request = { runId: id, fromStage, toStage: options.to, eachStep: false, steps };
    return client.follow((service) => service.replay, request, signal);
  };
  for await (const point of persistently(open, { signal, say })) {
    const recorded = compared.find(({ stage, step }) => stage === point.stage && step === point.step);
    if (point.step <= provedStep || (recorded === undefined && point.stage === 0)) continue;
    const verdict = point.verdict ?? recordedVerdict(point, recorded?.stateDigest ?? '');
    print(options.json ? toJson({ ...point, verdict }) : verdictText(point, verdict));
    if (!verdict.equal) {
      // Everything after it starts from a state that is not the stored one.
      say(`pocketfleet: ${id} is not what its spec gives: ${placeOf(point)} differs`);
      process.exitCode = 1;
      return;
    }
    proved[point.stage > 0 ? 'stages' : 'pauses'] += 1;
    // After a restart of the coordinator it goes on from the stage that was proved last.
    if (point.stage > 0) fromStage = point.stage;
    provedStep = point.step;
    if (point.step === last?.step) break;
  }
  signal.throwIfAborted();
  say(`${id}: ${countText(proved)} computed again, all equal to the last bit`);
}

const stepOf = ({ step }: LedgerEntry): number => step;

/** The entries of a range in the order of their steps, those of pauses once for each step. */
export function comparedEntries(entries: readonly LedgerEntry[], { from, to }: ReplayRange): LedgerEntry[] {
  const endOf = (of: number) => entries.find(({ stage }) => stage === of)?.step;
  const first = from === 0 ? 0 : (endOf(from) ?? 0);
  const end = to === 0 ? Number.POSITIVE_INFINITY : (endOf(to) ?? 0);
  const byStep = new Map<number, LedgerEntry>();
  for (const entry of entries)
    if (entry.step > first && entry.step <= end && !byStep.has(entry.step)) byStep.set(entry.step, entry);
  return [...byStep.values()].sort((a, b) => a.step - b.step);
}

/** The verdict on what is not stored any more: the journal has the digest of its state. */
function recordedVerdict(point: ReplayPoint, recorded: string): StageVerdict {
  if (recorded === '')
    throw new FleetError(
      'failedPrecondition',
      `${placeOf(point)} is not stored any more, and its digest was not recorded`,
    );
  return {
    equal: point.stateDigest === recorded,
    storedStateDigest: recorded,
    tensor: '',
    tensorsDiffering: 0,
    differenceMax: 0,
  };
}

const placeOf = ({ stage, step }: ReplayPoint): string =>
  stage > 0 ? `stage ${stage}` : `the pause at step ${formatCount(step)}`;

function countText({ stages, pauses }: { readonly stages: number; readonly pauses: number }): string {
  const text = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`;
  const parts = [
    ...(stages > 0 || pauses === 0 ? [text(stages, 'stage')] : []),
    ...(pauses > 0 ? [text(pauses, 'pause')] : []),
  ];
  return parts.join(' and ');
}

function verdictText(point: ReplayPoint, verdict: StageVerdict): string {
  const at = formatCount(point.step);
  const where = point.stage > 0 ? `stage ${point.stage}, step ${at}` : `pause, step ${at}`;
  const by = `(${point.workerId}, ${point.deviceClass})`;
  if (verdict.equal)
    return `${where}: equal, state ${point.stateDigest}, weights ${point.weightsDigest} ${by}`;
  if (verdict.tensor === '')
    return `${where}: DIFFERS; recorded ${verdict.storedStateDigest}, computed ${point.stateDigest} ${by}; its bytes are not kept any more, so that no tensor can be named`;
  return `${where}: DIFFERS in ${verdict.tensorsDiffering} tensors, first ${verdict.tensor} by up to ${verdict.differenceMax}; stored ${verdict.storedStateDigest}, computed ${point.stateDigest} ${by}`;
}
