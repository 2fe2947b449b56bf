// The sample ledger of a run on this worker: the tag of a step, and the digest of all steps of a stage
// (core/data/loading/sample-ledger.ts has the definitions). Decides what is kept: the tags of the open stage.
// All others are computed again when they are needed, since a member may have joined in the middle of a
// stage.

import { setImmediate as otherWork } from 'node:timers/promises';
import { ledgerAfter, stageSteps } from '../../core/data/loading/sample-ledger.ts';
import {
  firstLedger,
  type Samplings,
  type StepSamples,
  stepSamples,
} from '../../core/data/loading/samplings.ts';
import { FleetError } from '../../core/errors.ts';
import { epochOfStep, stageEndingAt } from '../../core/spec/schedule.ts';

export interface Ledger {
  /** The tag of a step, and the images that each of its shards must consist of. */
  samplesOf(step: number): StepSamples;
  /**
   * The ledger's digest after a stage. `before`: the stored digest of an earlier stage, undefined when it is
   * not stored.
   */
  digestAfter(stage: number, before: (stage: number) => Promise<string | undefined>): Promise<string>;
  /** The digest after a step within a stage: as if the stage ended with it. */
  digestAtStep(step: number, before: (stage: number) => Promise<string | undefined>): Promise<string>;
}

/** Number of tags that are computed before other work gets its turn. */
const STRETCH = 16;

export function createLedger(samplings: Samplings): Ledger {
  const { schedule } = samplings.own;
  /** Tags by step, of the open stage and the one before it. */
  const tags = new Map<number, string>();
  const known = new Map<number, string>();
  let opened: (StepSamples & { readonly step: number }) | undefined;

  const samplesOf = (step: number) => {
    if (opened?.step === step) return opened;
    opened = { step, ...stepSamples(samplings, step) };
    const ended = stageEndingAt(schedule, step);
    // The digest of the stage that has just ended may be needed while the next one begins. Older ones are
    // stored.
    if (ended > 0)
      for (const old of tags.keys()) if (old < stageSteps(schedule, ended).first) tags.delete(old);
    tags.set(step, opened.tag);
    return opened;
  };

  /** Of the whole stage, or up to a step within it. */
  async function stageTags(stage: number, upTo = Number.POSITIVE_INFINITY): Promise<string[]> {
    const { first, end: last } = stageSteps(schedule, stage);
    const end = Math.min(last, upTo);
    const all: string[] = [];
    for (let step = first; step < end; step++) {
      const tag = tags.get(step) ?? stepSamples(samplings, step).tag;
      all.push(tag);
      if (!tags.has(step) && (step - first) % STRETCH === STRETCH - 1) await otherWork();
    }
    return all;
  }

  async function digestAfter(
    stage: number,
    before: (stage: number) => Promise<string | undefined>,
  ): Promise<string> {
    const done = known.get(stage);
    if (done !== undefined) return done;
    let at = stage;
    let ledger: string | undefined;
    // Back to the newest stage whose ledger is known here or stored.
    while (ledger === undefined && --at > 0) ledger = known.get(at) ?? (await before(at));
    ledger ??= firstLedger(samplings);
    for (at += 1; at <= stage; at++) ledger = ledgerAfter(ledger, at, await stageTags(at));
    known.clear();
    known.set(stage, ledger);
    return ledger;
  }

  return {
    samplesOf,
    digestAfter,
    async digestAtStep(step, before) {
      const stage = epochOfStep(schedule, step);
      const ledger = stage === 0 ? firstLedger(samplings) : await digestAfter(stage, before);
      return ledgerAfter(ledger, stage + 1, await stageTags(stage + 1, step));
    },
  };
}

/**
 * Throws when the loader delivered other samples for a shard than the step counts: the run must not go on
 * here.
 */
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
