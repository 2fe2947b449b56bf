// Which of its teacher's stages a student's epoch learns from, and when the student waits for it. Decides when the
// network of a stage is loaded: ahead of its epoch, or, where an embedding run computes for the student, with the first
// block that the student has to compute itself. A wait is back-pressure: it has no deadline, because the teacher may be
// queued, and it is reported as long as it lasts.

import { FleetError } from '../../core/errors.ts';
import { type TaughtEpochs, teacherStageFor } from '../../core/spec/distillation.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { BlockSupply } from './block-supply.ts';
import { createRate } from './rate.ts';
import {
  type NetworkOptions,
  type OpenStage,
  openStage,
  type StoredStage,
  type TeacherNetwork,
  teacherNetwork,
} from './teacher-network.ts';

export interface TeacherFeed {
  /** The network for an epoch; waits until the teacher has stored it. */
  forEpoch(epoch: number, signal: AbortSignal): Promise<TeacherNetwork>;
  /**
   * Of the teacher's checkpoint that an epoch learns from; SHA-256, hex. `noted` is asked where this feed has not met
   * it: whoever goes on from a stage has it there, and the teacher's own may have gone since. Then it has to be stored.
   */
  digestFor(epoch: number, signal: AbortSignal, noted?: () => Promise<string | undefined>): Promise<string>;
  /** From now on embeddings are shared with the students of all workers; undefined: with those of this worker alone. */
  shareThrough(supply: BlockSupply | undefined): void;
  /** From now on rows of single images are kept in at most so many bytes; undefined: none are. */
  keepRows(bytesMax: number | undefined): void;
  /** Images a second whose embeddings are computed here; undefined before the first. */
  passSpeed(): number | undefined;
  /** Why no rows of single images are kept although they may be; undefined while they are, or nothing was embedded. */
  rowsRefused(): string | undefined;
  /** How much longer than a step whose embeddings are there one may take, milliseconds; 0: no longer. */
  allowanceMs(): number;
  close(): void;
}

export interface TeacherOptions extends NetworkOptions {
  /** Which stages the student's epochs learn from. */
  readonly taught: TaughtEpochs;
  /** Resolves when the stage is stored, however long that takes. */
  readonly find: (stage: number, signal: AbortSignal) => Promise<StoredStage>;
  /** Whether the stage is stored. Finding a stored stage is short and is not reported as a wait. */
  readonly exists: (stage: number, signal: AbortSignal) => Promise<boolean>;
  /** Digest of the checkpoint of a stage that is stored. */
  readonly digestOf: (stage: number, signal: AbortSignal) => Promise<string>;
  /** Called with the stage that the student waits for, and with undefined when the wait is over. */
  readonly onWaiting: (stage: number | undefined) => void;
}

/** So many passes of a student are not timed. */
const PASSES_BEFORE_SPEED = 2;

export function createTeacherFeed(given: TeacherOptions): TeacherFeed {
  const { taught, imageRows } = given;
  let rowsRefused: string | undefined;
  const onRefused = (reason: string) => {
    rowsRefused = reason;
    imageRows?.onRefused(reason);
  };
  const options = { ...given, imageRows: imageRows && { ...imageRows, onRefused } };
  const closing = new AbortController();
  /** The stage in use and the one after it. */
  const stages = new Map<number, Promise<OpenStage>>();
  /** Digests of all stages that were found. */
  const digests = new Map<number, string>();
  /** Of the epoch that was asked for last: it keeps what was computed ahead. */
  let current: { epoch: number; open: OpenStage; network: TeacherNetwork } | undefined;
  const stageOf = (epoch: number) => teacherStageFor({ ...taught, epoch });
  let supply: BlockSupply | undefined;
  let rowBytesMax: number | undefined;
  const passRate = createRate();
  let passSpeed: number | undefined;
  let passesSeen = 0;
  const onPass = (images: number, seconds: number) => {
    passesSeen += 1;
    // Graphs have never run, and caches are cold.
    if (passesSeen > PASSES_BEFORE_SPEED && seconds > 0) passSpeed = passRate.add(images, seconds);
  };
  const isLazy = () => supply?.isFed === true;

  const find = (stage: number): Promise<OpenStage> => {
    const begun =
      stages.get(stage) ??
      options.find(stage, closing.signal).then((stored) => {
        digests.set(stage, stored.digest);
        return openStage(options, stored, closing.signal);
      });
    stages.set(stage, begun);
    // A stage that is looked for ahead may fail before it is needed; then the next need looks again and reports the
    // failure.
    begun.catch(() => {
      if (stages.get(stage) === begun) stages.delete(stage);
    });
    return begun;
  };
  /** The network of a stage that is stored, unless it may never be needed. */
  const loadAhead = async (open: OpenStage) => {
    if (!isLazy()) await open.load();
  };

  return {
    async forEpoch(epoch, signal) {
      const stage = stageOf(epoch);
      const next = epoch + 1 < taught.epochs ? stageOf(epoch + 1) : stage;
      for (const other of stages.keys()) if (other !== stage && other !== next) stages.delete(other);
      const found = find(stage);
      if (!(await isReady(found)) && !(await options.exists(stage, signal))) options.onWaiting(stage);
      try {
        const open = await untilAborted(found, signal);
        await untilAborted(loadAhead(open), signal);
        if (next !== stage)
          find(next)
            .then(loadAhead)
            .catch(() => undefined);
        if (current?.epoch !== epoch || current.open !== open)
          current = {
            ...{ epoch, open },
            network: teacherNetwork(options, open, {
              ...{ stage, epoch, supply: () => supply, rowBytesMax: () => rowBytesMax, onPass },
            }),
          };
        return current.network;
      } finally {
        options.onWaiting(undefined);
      }
    },
    async digestFor(epoch, signal, noted) {
      const stage = stageOf(epoch);
      return digests.get(stage) ?? (await noted?.()) ?? options.digestOf(stage, signal);
    },
    shareThrough(next) {
      supply = next;
    },
    keepRows(bytes) {
      rowBytesMax = bytes;
      rowsRefused = undefined;
    },
    passSpeed: () => passSpeed,
    rowsRefused: () => rowsRefused,
    allowanceMs: () => (supply === undefined ? 0 : supply.allowanceMs() + (current?.open.loadMsMax() ?? 0)),
    close() {
      closing.abort(new FleetError('cancelled', 'the student no longer needs its teacher'));
      stages.clear();
      imageRows?.sharing?.close();
    },
  };
}

/** Whether a promise has resolved by now, after everything that is due has run. */
function isReady(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([
    promise.then(() => true),
    new Promise<boolean>((resolve) => setImmediate(resolve, false)),
  ]);
}
