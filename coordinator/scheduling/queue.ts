// The runs that wait for workers, in groups of those that need the same: when the first of a group finds no
// workers, none of the group does, so that a look at the queue costs as much as it has groups. A group belongs to
// one share of the fleet, so that the groups are ordered by what was used, and not the runs.

import { trainedImages } from '../../core/spec/schedule.ts';
import type { Share } from '../model/accounts.ts';
import { numberOf, priorityOf, type RunState } from '../model/state.ts';
import { createLazyHeap, type LazyHeap } from './lazy-heap.ts';

/** Queued runs that need the same. */
export interface Group {
  readonly key: string;
  readonly priority: number;
  readonly share: Share;
  /** Numbers of their ids; the lowest is the oldest. */
  readonly numbers: LazyHeap<number>;
}

/** Every queued run. */
export interface Queue {
  /** The number of queued runs. */
  readonly size: number;
  add(run: RunState): void;
  remove(run: RunState): void;
  groupOf(number: number): Group | undefined;
  /** Every group that has a run. */
  groups(): Iterable<Group>;
}

/** What decides where a run can be placed; `isBlamed`: it may have to be placed alone, and waits by itself. */
function keyOf(run: RunState, { account }: Share, isBlamed: boolean): string {
  const { workers, training } = run.job;
  if (run.twinRunId !== undefined) return JSON.stringify([account, priorityOf(run), 'twin']);
  if (isPlain(run) && !isBlamed)
    return `${priorityOf(run)} ${workers.min} ${training.exact} ${training.precision ?? ''} ${workOf(run)} ${account}`;
  const avoided = run.avoided.map(({ workerId, untilMs }) => `${workerId}@${untilMs}`);
  return JSON.stringify([
    account,
    priorityOf(run),
    workers.min,
    training.exact,
    training.precision ?? '',
    run.deviceClass ?? '',
    run.teacherRunId === undefined ? '' : `${run.teacherRunId}/${run.checkpoints.at(-1)?.stage ?? 0}`,
    run.waitsForStage ?? '',
    avoided,
    isBlamed ? run.id : '',
    workOf(run),
    run.job.require ?? '',
    run.memory ?? '',
    // One that has begun is no further attempt of its owner.
    run.generation > 0,
  ]);
}

/** It begins, and needs nothing but workers, as most that are queued. */
function isPlain(run: RunState): boolean {
  if (run.generation > 0 || run.deviceClass !== undefined || run.teacherRunId !== undefined) return false;
  if (run.waitsForStage !== undefined || run.avoided.length > 0) return false;
  return run.job.require === undefined && run.memory === undefined;
}

/**
 * How much the run computes, in powers of two: of those that need the same a short one may fit where a long one
 * does not.
 */
function workOf({ job, facts, costs }: RunState): number {
  const images = job.training.epochs * trainedImages(job.training, facts.trainingImages);
  return Math.round(Math.log2(1 + images * costs.multiplyAdds));
}

/** An empty queue. */
export function createQueue(of: {
  readonly isBlamed: (run: RunState) => boolean;
  readonly share: (run: RunState) => Share;
}): Queue {
  const groups = new Map<string, Group>();
  const byNumber = new Map<number, Group>();
  return {
    get size() {
      return byNumber.size;
    },
    add(run) {
      const share = of.share(run);
      const key = keyOf(run, share, of.isBlamed(run));
      const number = numberOf(run.id);
      let group = groups.get(key);
      if (group === undefined) {
        const numbers = createLazyHeap<number>((a, b) => a < b);
        group = { key, priority: priorityOf(run), share, numbers };
        groups.set(key, group);
      }
      group.numbers.add(number);
      byNumber.set(number, group);
    },
    remove(run) {
      const number = numberOf(run.id);
      const group = byNumber.get(number);
      if (group === undefined) return;
      byNumber.delete(number);
      group.numbers.delete(number);
      if (group.numbers.size === 0) groups.delete(group.key);
    },
    groupOf: (number) => byNumber.get(number),
    groups: () => groups.values(),
  };
}
