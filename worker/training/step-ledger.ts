// The sample ledger of a run on this worker: the tag of the step in hand, and what the committed steps of a stage add up to.
// Decides what is remembered (the stage in hand) and computes the rest again, since a member may have joined in the middle
// of a stage; what a tag is made of is core/data/loading/sample-ledger.ts'.

import { setImmediate as otherWork } from 'node:timers/promises';
import {
  emptyLedger,
  ledgerAfter,
  type Sampling,
  stageSteps,
  stepImages,
  stepTag,
} from '../../core/data/loading/sample-ledger.ts';
import { FleetError } from '../../core/errors.ts';
import { stageEndingAt } from '../../core/spec/schedule.ts';

export interface Ledger {
  /** The tag of a step, and the images that each of its shards must consist of. */
  samplesOf(step: number): { readonly tag: string; readonly images: readonly Uint32Array[] };
  /** The ledger after a stage. `before`: what is stored of the stage before it, if it is. */
  digestAfter(stage: number, before: (stage: number) => Promise<string | undefined>): Promise<string>;
}

/** Steps whose tags are computed at a stretch before other work gets its turn. */
const STRETCH = 16;

export function createLedger(sampling: Sampling): Ledger {
  /** Tags by step, of the newest stages only. */
  const tags = new Map<number, string>();
  const known = new Map<number, string>();
  let opened: { step: number; tag: string; images: Uint32Array[] } | undefined;

  const samplesOf = (step: number) => {
    if (opened?.step === step) return opened;
    const images = stepImages(sampling, step);
    opened = { step, tag: stepTag(sampling, step, images), images };
    const ended = stageEndingAt(sampling.schedule, step);
    // The stage that just ended may be asked for while the next one begins; what is older is stored.
    if (ended > 0)
      for (const old of tags.keys()) if (old < stageSteps(sampling.schedule, ended).first) tags.delete(old);
    tags.set(step, opened.tag);
    return opened;
  };

  async function stageTags(stage: number): Promise<string[]> {
    const { first, end } = stageSteps(sampling.schedule, stage);
    const all: string[] = [];
    for (let step = first; step < end; step++) {
      const tag = tags.get(step) ?? stepTag(sampling, step, stepImages(sampling, step));
      all.push(tag);
      if (!tags.has(step) && (step - first) % STRETCH === STRETCH - 1) await otherWork();
    }
    return all;
  }

  return {
    samplesOf,
    async digestAfter(stage, before) {
      const done = known.get(stage);
      if (done !== undefined) return done;
      let at = stage;
      let ledger: string | undefined;
      // Back to the newest stage whose ledger is known here or stored.
      while (ledger === undefined && --at > 0) ledger = known.get(at) ?? (await before(at));
      ledger ??= emptyLedger(sampling);
      for (at += 1; at <= stage; at++) ledger = ledgerAfter(ledger, at, await stageTags(at));
      known.clear();
      known.set(stage, ledger);
      return ledger;
    },
  };
}

/** What the loader delivered for a shard is what the step counts, or the run must not go on here. */
export function assertCounted(
  expected: Uint32Array,
  delivered: Uint32Array,
  at: { readonly step: number; readonly shard: number },
): void {
  const differs = expected.findIndex((image, i) => image !== delivered[i]);
  if (expected.length === delivered.length && differs < 0) return;
  throw new FleetError(
    'internal',
    `step ${at.step}, shard ${at.shard}: sample ${differs} should be image ${expected[differs]} and the loader delivered ${delivered[differs] ?? 'none'}`,
    { details: { ...at } },
  );
}
