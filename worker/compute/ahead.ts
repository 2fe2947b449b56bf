// What is compiled ahead of its first use, by its kind: in the compute thread, and in the process that records beside it.

import type { GraphCache } from './graphs.ts';
import type { KeptRows } from './kept-rows.ts';
import type { KeptStates } from './kept-states.ts';
import type { Compilable } from './messages.ts';

/** Digest and operations of a graph; of programs of the device alone nothing is known. */
export interface CompiledAhead {
  readonly digest: string;
  readonly nodes: number;
}

/** Where graphs and programs are kept. */
export interface Compilers {
  readonly graphs: Pick<GraphCache, 'get' | 'twoPart'>;
  readonly states: Pick<KeptStates, 'prepare'>;
  readonly classShards: Pick<KeptRows, 'prepare'>;
}

const NO_GRAPH: CompiledAhead = { digest: '', nodes: 0 };

/** Compiles a graph, or the programs of a state or class shard. */
export function compileAhead(
  { graphs, states, classShards }: Compilers,
  compilable: Compilable,
): CompiledAhead {
  switch (compilable.kind) {
    case 'update':
      states.prepare(compilable);
      return NO_GRAPH;
    case 'rows':
      classShards.prepare(compilable);
      return NO_GRAPH;
    case 'backbone': {
      const { digest, nodes } = graphs.twoPart(compilable);
      return { digest, nodes };
    }
    default: {
      const { digest, nodes } = graphs.get(compilable);
      return { digest, nodes };
    }
  }
}
