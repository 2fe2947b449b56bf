// The record of a run's committed steps as the journal has it, collected page by page for whoever proves it.
// Checks nothing: a proof is worth something because the one who doubts makes it, from this record and the
// spec, without trusting the coordinator.

import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { type GetLedgerRequest, type Ledger, LedgerEntry } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Journal } from '../journal/journal.ts';
import type { Event } from '../model/events.ts';
import type { SpecifiedRun } from '../model/spec-of.ts';
import { bytesOf, openPage } from './page.ts';

/**
 * Read from the journal itself and not from the state, so that each event is there as often as it was
 * written.
 */
export async function ledgerOf(
  journal: Pick<Journal, 'story'>,
  run: SpecifiedRun,
  request: Pick<GetLedgerRequest, 'pageSize' | 'pageToken'>,
): Promise<Ledger> {
  const list = `ledger of ${run.id}`;
  const page = openPage<LedgerEntry>({ list, request, bytesOf: bytesOf(LedgerEntry) });
  for await (const { number: sequence, event } of journal.story(run.id, page.afterNumber() ?? 0)) {
    const entry = entryOf(event);
    if (entry !== undefined && !page.take(String(sequence), { sequence, ...entry })) break;
  }
  return {
    runId: run.id,
    name: run.name,
    state: run.state,
    specJson: canonicalJson(run.spec),
    trainingImages: run.facts.trainingImages,
    classes: run.facts.classes,
    deviceClass: run.deviceClass ?? '',
    entries: page.items,
    finalStep: run.finalStep ?? 0,
    weightsDigest: run.weightsDigest ?? '',
    generations: run.generation,
    teacherRunId: run.teacherRunId ?? '',
    nextPageToken: page.nextPageToken,
    dataDigest: run.facts.digest,
  };
}

/** What a stored checkpoint says of the steps before it; undefined for every other event. */
function entryOf(event: Event): Omit<LedgerEntry, 'sequence'> | undefined {
  const { atMs } = event;
  if (event.kind === 'run.checkpointed') {
    const { stage, step, digest, workerId, weightsDigest = '', stateDigest = '', ledgerDigest = '' } = event;
    const genotype = event.found?.genotype ?? '';
    return { stage, step, digest, workerId, atMs, weightsDigest, stateDigest, ledgerDigest, genotype };
  }
  // A pause at the end of a stage has stored that stage, and no step of its own.
  if (event.kind !== 'run.paused' || event.stored === undefined) return undefined;
  const { step, workerId = '', stored } = event;
  const { digest, weightsDigest, stateDigest, ledgerDigest } = stored;
  const none = { stage: 0, genotype: '' };
  return { ...none, step, digest, workerId, atMs, weightsDigest, stateDigest, ledgerDigest };
}
