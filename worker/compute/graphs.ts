// Compiled graphs of the compute thread, kept by content and bounded in number: the least recently used one is freed.
// Decides which graph belongs to a specification; how a graph is recorded and run is core/tensor/compiled.ts'.

import { headGradients, headStatistics } from '../../core/head/step.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import {
  backboneFunction,
  embeddingFunction,
  type TensorFunction,
  trainingFunction,
  unitFunction,
} from '../../core/nn/step-function.ts';
import { type CompiledGraph, compileGraph } from '../../core/tensor/compiled.ts';
import { type GraphSpec, graphKey } from './messages.ts';

/** A worker with four slots needs at most eight graphs a run: its step (with a sharded head six), its evaluation and its teacher's. */
const GRAPHS_MAX = 24;

export interface GraphCache {
  /** The graph, compiled now if need be. */
  get(graph: GraphSpec): CompiledGraph;
  size(): number;
}

export function createGraphCache(options: { readonly cacheDir: string }): GraphCache {
  const kept = new Map<string, CompiledGraph>();
  return {
    get(graph) {
      const key = graphKey(graph);
      const found = kept.get(key) ?? compile(graph, key, options.cacheDir);
      // A Map keeps the order of insertion: putting the used one last makes the first the least recently used.
      kept.delete(key);
      kept.set(key, found);
      evict(kept);
      return found;
    },
    size: () => kept.size,
  };
}

function evict(kept: Map<string, CompiledGraph>): void {
  while (kept.size > GRAPHS_MAX) {
    const [key, graph] = kept.entries().next().value!;
    graph.dispose();
    kept.delete(key);
  }
}

function compile(graph: GraphSpec, key: string, cacheDir: string): CompiledGraph {
  const { inputs, build } = functionOf(graph);
  return compileGraph({ key, inputs, build, ...(cacheDir === '' ? {} : { cacheDir }) });
}

function functionOf(graph: GraphSpec): TensorFunction {
  if ('embedding' in graph)
    return graph.kind === 'head-statistics' ? headStatistics(graph) : headGradients(graph);
  const network = buildNetwork(graph.network);
  const { batch } = graph;
  switch (graph.kind) {
    case 'train':
      return trainingFunction({
        network,
        layout: layoutOf(network, { classes: graph.classes }),
        loss: graph.loss,
        batch,
        ...weightOf(graph),
      });
    case 'unit':
      return unitFunction({ network, layout: layoutOf(network), batch });
    case 'backbone':
      return backboneFunction({ network, layout: layoutOf(network), batch, ...weightOf(graph) });
    case 'embed':
      return embeddingFunction({ network, layout: layoutOf(network), batch });
  }
}

const weightOf = ({ distillationWeight }: { readonly distillationWeight: number | undefined }) =>
  distillationWeight === undefined ? {} : { distillationWeight };
