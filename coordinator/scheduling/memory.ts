// What a run gets when a worker had too little memory for it: first a device to itself, then one with more memory,
// then a step that computes activations again, which gives the same bits in more time; after that it fails. None of
// it is charged to anybody, and none changes the result. (Smaller batches would: batch norm sees one shard alone.)
// Pure.

import { formatBytes } from '../../core/text/bytes-text.ts';
import type { MemoryNeed, RunState } from '../model/state.ts';

/** Where and how a run found too little memory. */
export interface Shortage {
  readonly run: Pick<RunState, 'job' | 'memory' | 'id'>;
  readonly workerId: string;
  /** Of the worker's device, whole GB; 0: not known. */
  readonly memoryGb: number;
  /** Bytes that were asked for at once; undefined: the library did not say. */
  readonly bytesWanted: number | undefined;
  /** Other runs on the worker's device. */
  readonly others: number;
  /** The memory of the devices that could train the run instead, whole GB, each once. */
  readonly elsewhereGb: readonly number[];
}

/** What follows: what the run needs from now on, or nothing any more; with the reason as a sentence. */
export interface MemoryStep {
  readonly need: MemoryNeed | undefined;
  readonly reason: string;
}

/** What a run gets after this shortage. */
export function afterShortage(shortage: Shortage): MemoryStep {
  const { run, others, memoryGb, elsewhereGb } = shortage;
  const { memory: before, job } = run;
  const what = shortageText(shortage);
  const shared = others === 1 ? '1 other run' : `${others} other runs`;
  if (before === undefined && others > 0)
    return {
      need: { rung: 'alone' },
      reason: `${what} beside ${shared}; next it gets a device to itself`,
    };
  const larger = elsewhereGb.filter((gb) => gb > memoryGb);
  const enough = larger.length >= job.workers.min;
  const recomputes = before?.rung === 'recompute' || job.training.recompute === true;
  if (before?.rung !== 'recompute' && memoryGb > 0 && enough)
    return {
      need: { rung: 'larger-device', aboveGb: memoryGb },
      reason: `${what} with the device to itself; next it gets one with more memory (the largest has ${Math.max(...larger)} GB)`,
    };
  if (!recomputes)
    return {
      need: { ...before, rung: 'recompute' },
      reason: `${what} with the device to itself, and no other that could train it has more memory; next it computes activations again, to the same bits in more time`,
    };
  const { batch, shards } = job.training;
  return {
    need: undefined,
    reason: `${what} with the device to itself and with activations computed again; it needs a device with more memory, or fewer images a shard than ${batch / shards} (training.batch ${batch} over ${shards} shards), which is another experiment`,
  };
}

/** `there is no memory for 1.2 GiB at once on w1 (16 GB)`. */
function shortageText({ workerId, memoryGb, bytesWanted }: Shortage): string {
  const size = bytesWanted === undefined ? '' : ` for ${formatBytes(bytesWanted)} at once`;
  return `there is no memory${size} on ${workerId}${memoryGb > 0 ? ` (${memoryGb} GB)` : ''}`;
}

/** Whether a device has the memory that the run needs. */
export function hasMemoryFor({ memory }: Pick<RunState, 'memory'>, memoryGb: number): boolean {
  return memory?.aboveGb === undefined || memoryGb > memory.aboveGb;
}

/** A run of one worker that has stored nothing begins again anyway, and so may do that on another device class. */
export function mayChangeClass({ gang, checkpoints, pausedStep }: RunState): boolean {
  return gang.length <= 1 && checkpoints.length === 0 && pausedStep === undefined;
}
