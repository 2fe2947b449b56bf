// Which procedure a run has: the one place where its spec decides that.

import { createEveryStep } from './every-step.ts';
import { createOuter } from './outer.ts';
import type { Procedure, ProcedureOptions } from './procedure.ts';
import { createShardedHead } from './sharded-head.ts';

/** A spec with both a sharded head and `sync: outer` is refused at submit. */
export function chooseProcedure(options: ProcedureOptions): Procedure {
  const { head, sync } = options.spec.training;
  if (sync.kind === 'outer') return createOuter(options, sync);
  return head === 'sharded' ? createShardedHead(options) : createEveryStep(options);
}
