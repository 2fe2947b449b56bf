// The proof that a run counted each image of each epoch in exactly one committed step. It is computed on the
// user's side, from the spec, the size of the data set and the journal's entries, so that nobody has to trust
// the coordinator. Decides what has to hold, and words the first statement that does not.

import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { skippedPlaces } from '../../../core/data/inspection/skipped.ts';
import { ledgerAfter, stageSteps } from '../../../core/data/loading/sample-ledger.ts';
import { firstLedger, samplingsOf, stepSamples } from '../../../core/data/loading/samplings.ts';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import { genotypeOfText } from '../../../core/nn/genotype-code.ts';
import { earlyEnd, skipConnections } from '../../../core/search/policy.ts';
import type { DataSpec } from '../../../core/spec/data.ts';
import { anyRunSchema, type RunSpec } from '../../../core/spec/run.ts';
import { type Schedule, stepsAtStage } from '../../../core/spec/schedule.ts';
import type { Ledger, LedgerEntry } from '../../../proto/gen/pocketfleet/v1/fleet.ts';

export interface ProvedEpoch {
  /** From 1. */
  readonly epoch: number;
  /** Steps [first, end) that were committed when the epoch's stage was stored. */
  readonly firstStep: number;
  readonly endStep: number;
  /** Images of the epoch, each counted exactly once. */
  readonly images: number;
  /** SHA-256 over the epoch's image indices in the order in which they were counted. */
  readonly digest: string;
  /** The ledger up to and with this stage, equal in the journal and here. */
  readonly ledger: string;
  readonly entry: LedgerEntry;
  /**
   * Of a search: as many passes over the half of the alphas, each image of the half counted once in each; the fields
   * above are of the half of the weights. Images of a half are counted by their places in it.
   */
  readonly alphas?: { readonly images: number; readonly digest: string };
}

/** A step within a stage, which a pause has stored. */
export interface ProvedPause {
  /** Committed steps. */
  readonly step: number;
  /** The stage that was trained towards. */
  readonly stage: number;
  /** The ledger up to this step, equal in the journal and here. */
  readonly ledger: string;
  readonly entry: LedgerEntry;
}

export interface Proof {
  readonly epochs: readonly ProvedEpoch[];
  /** In the order of the journal. */
  readonly pauses: readonly ProvedPause[];
  /** Committed steps that the journal's entries of stages prove. */
  readonly steps: number;
  readonly images: number;
  /** Images of the epoch after the last proved one that the last step took along. */
  readonly ahead: number;
  /**
   * Images that the run leaves out because they were corrupt when it was submitted; the images of its epochs
   * are all others.
   */
  readonly skipped?: { readonly count: number; readonly digest: string };
  /** Why its stop rule has ended a search before its last epoch, by the genotypes of its stages. */
  readonly stopped?: string;
}

/**
 * Throws `dataLoss` with the first statement that does not hold. `onEpoch` is called with each epoch as it is
 * proved.
 */
export async function proveLedger(ledger: Ledger, onEpoch?: (epoch: ProvedEpoch) => void): Promise<Proof> {
  const spec = anyRunSchema.parse(JSON.parse(ledger.specJson));
  const skipped = skippedBy(ledger, spec.data);
  const samplings = samplingsOf(spec, ledger.trainingImages);
  const { schedule } = samplings.own;
  const stages = ledger.entries.filter(({ stage }) => stage > 0);
  checkEntries(ledger, stages, (stage) => stepsAtStage(schedule, stage));
  const stopped = checkEnd(ledger, stages, spec);
  const prove = pauseProver(ledger);
  const counted = createCount(schedule);
  const countedAlphas = samplings.alphas && createCount(samplings.alphas.schedule);
  const epochs: ProvedEpoch[] = [];
  let chain = firstLedger(samplings);
  for (const entry of stages) {
    const { first, end } = stageSteps(schedule, entry.stage);
    const tags: string[] = [];
    for (let step = first; step < end; step++) {
      const samples = stepSamples(samplings, step);
      tags.push(samples.tag);
      counted.step(step, samples.own);
      countedAlphas?.step(step, samples.alphas!);
      // A stage may have ten thousand steps; Ctrl-C is handled between them.
      if (step % 64 === 63) await nextTurn();
    }
    prove.within({ stage: entry.stage, first, end }, chain, tags);
    chain = ledgerAfter(chain, entry.stage, tags);
    if (chain !== entry.ledgerDigest)
      throw difference(
        ledger,
        `stage ${entry.stage}, steps ${first + 1} to ${end}: ${entry.workerId} reported ledger ${entry.ledgerDigest === '' ? '(none)' : entry.ledgerDigest} (journal event ${entry.sequence}), the spec gives ${chain}`,
      );
    const { digest } = counted.finished(entry.stage - 1);
    // The half of the alphas is as long as the other or one image shorter, so its epoch is over by then.
    const ofAlphas = countedAlphas?.finished(entry.stage - 1);
    const proved = {
      epoch: entry.stage,
      firstStep: first,
      endStep: end,
      images: schedule.images,
      digest,
      ledger: chain,
      entry,
      ...(ofAlphas && { alphas: { images: samplings.alphas!.schedule.images, digest: ofAlphas.digest } }),
    };
    epochs.push(proved);
    onEpoch?.(proved);
  }
  const steps = stages.at(-1)?.step ?? 0;
  // Pauses of the stage that is open.
  const open = stageSteps(schedule, stages.length + 1);
  const tags: string[] = [];
  for (let step = open.first; step < Math.min(open.end, prove.last()); step++) {
    tags.push(stepSamples(samplings, step).tag);
    if (step % 64 === 63) await nextTurn();
  }
  prove.within({ stage: stages.length + 1, ...open }, chain, tags);
  return {
    epochs,
    pauses: prove.all(),
    steps,
    images: steps * schedule.batch * (samplings.alphas === undefined ? 1 : 2),
    ahead: steps * schedule.batch - epochs.length * schedule.images,
    ...(skipped === undefined ? {} : { skipped }),
    ...(stopped === undefined ? {} : { stopped }),
  };
}

/** The list is a part of the spec, and must be what its digest says. */
function skippedBy(ledger: Ledger, data: DataSpec): Proof['skipped'] {
  if (data.kind === 'synthetic' || data.skipped === undefined) return undefined;
  try {
    skippedPlaces(data.skipped);
  } catch (caught) {
    throw difference(ledger, toFleetError(caught).message);
  }
  const { count, digest } = data.skipped;
  return { count, digest };
}

/** Stages without gap or repetition, each with the committed steps that it must have. */
function checkEntries(
  ledger: Ledger,
  stages: readonly LedgerEntry[],
  stepsAt: (stage: number) => number,
): void {
  stages.forEach((entry, i) => {
    const where = `journal event ${entry.sequence}, stored by ${entry.workerId}`;
    if (entry.stage !== i + 1)
      throw difference(
        ledger,
        entry.stage <= i
          ? `stage ${entry.stage} was committed twice (${where})`
          : `stage ${i + 1} is missing before stage ${entry.stage} (${where})`,
      );
    if (entry.step !== stepsAt(entry.stage))
      throw difference(
        ledger,
        `stage ${entry.stage} has ${entry.step} committed steps instead of ${stepsAt(entry.stage)} (${where})`,
      );
  });
}

/**
 * A run that is done has its last stage, with the final weights, unless the stop rule of a search ended it before: then
 * the genotypes of its stages fulfil the rule at the newest one, for the reason that is returned, and at none before.
 */
function checkEnd(ledger: Ledger, stages: readonly LedgerEntry[], spec: RunSpec): string | undefined {
  const skips = stages.map(({ genotype }) =>
    genotype === '' ? Number.NaN : skipConnections(genotypeOfText(genotype)),
  );
  const endAt = (stage: number) => earlyEnd(spec, stage, (one) => skips[one - 1] ?? Number.NaN);
  for (let stage = 1; stage < stages.length; stage++) {
    const reason = endAt(stage);
    if (reason !== undefined)
      throw difference(
        ledger,
        `its stop rule ends it with stage ${stage} (${reason}), and it has ${stages.length}`,
      );
  }
  if (ledger.state !== 'done') return undefined;
  const { epochs } = spec.training;
  const stopped = endAt(stages.length);
  const last = stages.at(-1);
  if (last === undefined || (last.stage < epochs && stopped === undefined))
    throw difference(ledger, `it is done with ${stages.length} of ${epochs} stages`);
  if (ledger.finalStep !== last.step)
    throw difference(ledger, `it ended after ${ledger.finalStep} steps, and its last stage has ${last.step}`);
  if (ledger.weightsDigest !== last.weightsDigest)
    throw difference(
      ledger,
      `it ended with weights ${ledger.weightsDigest}, and its last stage was stored with ${last.weightsDigest}`,
    );
  return stopped;
}

/** Compares what pauses have stored with the steps of their stages. */
function pauseProver(ledger: Ledger) {
  const entries = ledger.entries.filter(({ stage }) => stage === 0);
  const proved = new Map<LedgerEntry, ProvedPause>();
  return {
    /** The step of the latest one. */
    last: () => entries.reduce((most, { step }) => Math.max(most, step), 0),
    /** `before`: the ledger at the beginning of the stage; `tags`: of its steps from there on. */
    within(
      { stage, first, end }: { readonly stage: number; readonly first: number; readonly end: number },
      before: string,
      tags: readonly string[],
    ): void {
      for (const entry of entries) {
        const { step, ledgerDigest, workerId, sequence } = entry;
        if (step <= first || step >= end) continue;
        const own = ledgerAfter(before, stage, tags.slice(0, step - first));
        if (own !== ledgerDigest)
          throw difference(
            ledger,
            `step ${step}, where it was paused in stage ${stage}: ${workerId} reported ledger ${ledgerDigest === '' ? '(none)' : ledgerDigest} (journal event ${sequence}), the spec gives ${own}`,
          );
        proved.set(entry, { step, stage, ledger: own, entry });
      }
    },
    all(): ProvedPause[] {
      return entries.map((entry) => {
        const known = proved.get(entry);
        if (known !== undefined) return known;
        throw difference(
          ledger,
          `it was paused at step ${entry.step} (journal event ${entry.sequence}, stored by ${entry.workerId}), which lies within no stage that was begun`,
        );
      });
    },
  };
}

/**
 * Counts the images of each epoch; an epoch is finished when it has all, and nothing may come twice. Of a part of a set
 * every epoch has the same images.
 */
function createCount({ images: size, setImages = size }: Schedule) {
  const open = new Map<number, { seen: Uint8Array; count: number; hash: ReturnType<typeof createHash> }>();
  let position = 0;
  let chosen: Uint8Array | undefined;
  return {
    step(step: number, images: readonly Uint32Array[]): void {
      for (const shard of images)
        for (const image of shard) {
          const epoch = Math.floor(position++ / size);
          const at = open.get(epoch) ?? {
            seen: new Uint8Array(setImages),
            count: 0,
            hash: createHash('sha256'),
          };
          open.set(epoch, at);
          if (image >= setImages || at.seen[image] === 1)
            throw new FleetError(
              'dataLoss',
              image >= setImages
                ? `step ${step + 1} counts image ${image} of ${setImages}`
                : `image ${image} is counted twice in epoch ${epoch + 1}, again in step ${step + 1}`,
            );
          at.seen[image] = 1;
          at.count += 1;
          at.hash.update(Uint32Array.of(image));
        }
    },
    finished(epoch: number): { digest: string } {
      const at = open.get(epoch);
      if (at?.count !== size)
        throw new FleetError('dataLoss', `epoch ${epoch + 1} counts ${at?.count ?? 0} of ${size} images`);
      open.delete(epoch);
      chosen ??= at.seen;
      if (at.seen.some((seen, image) => seen !== chosen![image]))
        throw new FleetError('dataLoss', `epoch ${epoch + 1} counts other images than the first`);
      return { digest: at.hash.digest('hex') };
    },
  };
}

function difference(ledger: Ledger, what: string): FleetError {
  return new FleetError('dataLoss', `the ledger of ${ledger.runId} does not hold: ${what}`, {
    details: { runId: ledger.runId },
  });
}
