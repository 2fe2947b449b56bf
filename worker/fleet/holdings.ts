// What a worker has of each run, and what a command does to it, purely. Decides which assignment starts a
// run, which moves it to another generation and which has to wait, and whether a run that is over begins
// again.
//
// A worker that was taken for lost gets a release and a new assignment of the same run one after the other.
// The run is then still being left, and the new assignment waits until nothing of it is left here; otherwise
// two lives of one run would share its exchange names.

import type { Assign } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { type Judgement, judgeAssign, judgeRelease } from './leases.ts';

export interface Holding {
  /** The newest generation that was given to the run. */
  readonly generation: number;
  /** Released, and not over yet. */
  readonly leaving: boolean;
  /** An assignment that came meanwhile. */
  readonly next: Assign | undefined;
}

/** What follows from a command. `verb` and `reason` are for the log. */
export interface Outcome<Action extends string, Verb extends string> extends Judgement<Verb> {
  readonly action: Action;
  /** What the worker has of the run afterwards; undefined when nothing. */
  readonly holding: Holding | undefined;
}

export function onAssign(
  holding: Holding | undefined,
  assign: Assign,
  workerId: string,
): Outcome<'start' | 'move' | 'nothing', 'start' | 'move' | 'ignore'> {
  const { generation, members } = assign;
  const judgement = judgeAssign({ held: holding?.generation, generation, members, workerId });
  if (judgement.verb === 'start')
    return { ...judgement, action: 'start', holding: { generation, leaving: false, next: undefined } };
  if (judgement.verb === 'ignore' || holding === undefined)
    return { ...judgement, action: 'nothing', holding };
  return holding.leaving
    ? { ...judgement, action: 'nothing', holding: { ...holding, next: assign } }
    : { ...judgement, action: 'move', holding: { ...holding, generation } };
}

/** `confirm`: the coordinator waits for an answer although nothing is held. */
export function onRelease(
  holding: Holding | undefined,
  generation: number,
): Outcome<'end' | 'confirm' | 'nothing', 'end' | 'confirm' | 'ignore'> {
  const judgement = judgeRelease({ held: holding?.generation, generation });
  if (judgement.verb !== 'end' || holding === undefined)
    return { ...judgement, action: judgement.verb === 'confirm' ? 'confirm' : 'nothing', holding };
  const next = generation >= (holding.next?.generation ?? 0) ? undefined : holding.next;
  return { ...judgement, action: 'end', holding: { ...holding, leaving: true, next } };
}
