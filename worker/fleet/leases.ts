// Which commands of the coordinator count, as pure functions of the generation that a worker holds.
// Generations of a run only grow, so a command about an older one is late and is ignored.

import type { Member } from '../../proto/gen/pocketfleet/v1/worker.ts';

/** What a command does, with the reason for the log. */
export type Judgement<Verb extends string> = { readonly verb: Verb; readonly reason: string };

export function judgeAssign(options: {
  /** The generation of this run that the worker holds; undefined when it does not hold the run. */
  readonly held: number | undefined;
  readonly generation: number;
  readonly members: readonly Member[];
  readonly workerId: string;
}): Judgement<'start' | 'move' | 'ignore'> {
  const { held, generation, members, workerId } = options;
  if (!members.some((member) => member.workerId === workerId))
    return { verb: 'ignore', reason: `${workerId} is no member of generation ${generation}` };
  if (held === undefined) return { verb: 'start', reason: `generation ${generation}, new here` };
  if (generation === held)
    return { verb: 'ignore', reason: `generation ${generation} is the one already worked on` };
  if (generation < held)
    return { verb: 'ignore', reason: `generation ${generation} is older than ${held}, which is held` };
  return { verb: 'move', reason: `generation ${generation} replaces ${held}` };
}

/** `confirm`: nothing is held, and the coordinator waits for a report of that. */
export function judgeRelease(options: {
  readonly held: number | undefined;
  readonly generation: number;
}): Judgement<'end' | 'confirm' | 'ignore'> {
  const { held, generation } = options;
  if (held === undefined) return { verb: 'confirm', reason: 'this run is not held' };
  if (generation < held)
    return { verb: 'ignore', reason: `release of generation ${generation}, but ${held} is held` };
  return { verb: 'end', reason: `generation ${generation} is released` };
}
