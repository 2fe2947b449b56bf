// What the journal says of a run's committed steps, collected for whoever proves it. Decides nothing and checks nothing: the
// proof is made from this and the spec by the one who doubts (cli/ledger-proof.ts).

import { canonicalJson } from '../core/spec.ts';
import type { Ledger, LedgerEntry } from '../proto/gen/pocketfleet/v1/fleet.ts';
import type { Journal } from './journal.ts';
import type { RunState } from './state.ts';

/** Read from the journal itself and not from the state, so that each event is there as often as it was written. */
export async function ledgerOf(journal: Pick<Journal, 'read'>, run: RunState): Promise<Ledger> {
  const entries: LedgerEntry[] = [];
  let sequence = 0;
  for await (const event of journal.read()) {
    sequence += 1;
    if (event.kind !== 'run.checkpointed' || event.runId !== run.id) continue;
    const { stage, step, digest, workerId, atMs } = event;
    entries.push({
      ...{ sequence, stage, step, digest, workerId, atMs },
      weightsDigest: event.weightsDigest ?? '',
      stateDigest: event.stateDigest ?? '',
      ledgerDigest: event.ledgerDigest ?? '',
    });
  }
  return {
    runId: run.id,
    name: run.name,
    state: run.state,
    specJson: canonicalJson(run.spec),
    trainingImages: run.facts.trainingImages,
    classes: run.facts.classes,
    deviceClass: run.deviceClass ?? '',
    entries,
    finalStep: run.finalStep ?? 0,
    weightsDigest: run.weightsDigest ?? '',
    generations: run.generation,
    teacherRunId: run.teacherRunId ?? '',
  };
}
