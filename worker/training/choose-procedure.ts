// Which procedure a run has, and what it trains: the one place where its spec decides that.

import { buildNetwork } from '../../core/nn/build.ts';
import type { LayerGraph } from '../../core/nn/network.ts';
import { buildSupernet } from '../../core/nn/supernet.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { createEveryStep } from './every-step.ts';
import { createOuter } from './outer.ts';
import type { Procedure, ProcedureOptions } from './procedure.ts';
import { createSearch } from './search.ts';
import { createShardedHead } from './sharded-head.ts';

/** A spec with both a sharded head and `sync: outer` is refused at submit. */
export function chooseProcedure(options: ProcedureOptions): Procedure {
  const { spec } = options;
  const { head, sync } = spec.training;
  if (spec.search !== undefined) return createSearch(options, spec.search);
  if (sync.kind === 'outer') return createOuter(options, sync);
  return head === 'sharded' ? createShardedHead(options) : createEveryStep(options);
}

/** What is trained of a run over so many classes: its network, or the search network of a search. */
export function trainedNetwork({ network, search }: RunSpec, classes: number): LayerGraph {
  if (search === undefined) return buildNetwork(network);
  return buildSupernet({ kind: 'supernet', ...search.supernet, classes });
}
