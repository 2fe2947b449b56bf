// Compiled graphs of the compute thread, by content. Decides which graph belongs to a specification and which
// graphs are kept: a bounded number, of which the least recently used is freed first.

import { headGradients, headStatistics } from '../../core/head/step.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import {
  backboneFunction,
  embeddingFunction,
  type TensorFunction,
  type TwoPartFunction,
  trainingFunction,
} from '../../core/nn/step-function.ts';
import { buildSupernet } from '../../core/nn/supernet.ts';
import {
  searchEmbeddingFunction,
  searchFunction,
  searchLogitsFunction,
  searchStatisticsFunction,
} from '../../core/search/search-function.ts';
import type { CompiledGraph, Engine, TwoPartGraph } from '../../core/tensor/graph/engine.ts';
import { type GraphSpec, graphKey, type TwoPartSpec } from './messages.ts';

/**
 * A worker with four slots needs at most six graphs a run: its step (with a sharded head four), its
 * evaluation and its teacher's.
 */
const GRAPHS_MAX = 24;
/** Of those that run in two parts a run has one at most. */
const TWO_PART_MAX = 8;

export interface GraphCache {
  /** The graph, compiled now if need be. */
  get(graph: GraphSpec): CompiledGraph;
  twoPart(graph: TwoPartSpec): TwoPartGraph;
  size(): number;
}

export function createGraphCache(options: {
  readonly cacheDir: string;
  readonly engine: Engine;
}): GraphCache {
  const { engine } = options;
  const cache = options.cacheDir === '' ? {} : { cacheDir: options.cacheDir };
  const whole = createRecent<CompiledGraph>({ max: GRAPHS_MAX, isFree: () => true });
  // What is begun would have to be computed again.
  const twoPart = createRecent<TwoPartGraph>({ max: TWO_PART_MAX, isFree: (graph) => graph.begun() === 0 });
  return {
    get: (graph) => {
      const key = graphKey(graph);
      return whole.get(key, () => engine.compile({ key, ...functionOf(graph), ...manner(graph), ...cache }));
    },
    twoPart: (graph) => {
      const key = graphKey(graph);
      return twoPart.get(key, () =>
        engine.compileTwoPart({ key, ...twoPartFunctionOf(graph), ...manner(graph), ...cache }),
      );
    },
    size: () => whole.size() + twoPart.size(),
  };
}

/** Keeps so many; the least recently used of those that are free goes first. */
function createRecent<G extends { dispose(): void }>(options: {
  readonly max: number;
  readonly isFree: (graph: G) => boolean;
}) {
  const kept = new Map<string, G>();
  return {
    get(key: string, compile: () => G): G {
      const found = kept.get(key) ?? compile();
      // A Map keeps the order of insertion: putting the used one last makes the first the least recently
      // used.
      kept.delete(key);
      kept.set(key, found);
      for (const [other, graph] of kept) {
        if (kept.size <= options.max) break;
        if (other === key || !options.isFree(graph)) continue;
        graph.dispose();
        kept.delete(other);
      }
      return found;
    },
    size: () => kept.size,
  };
}

function functionOf(graph: GraphSpec): TensorFunction {
  if ('embedding' in graph)
    return graph.kind === 'head-statistics' ? headStatistics(graph) : headGradients(graph);
  if ('supernet' in graph) return searchFunctionOf(graph);
  const network = buildNetwork(graph.network);
  const { batch } = graph;
  switch (graph.kind) {
    case 'train':
      return trainingFunction({
        network,
        layout: layoutOf(network, graph),
        loss: graph.loss,
        batch,
        distils: graph.distils,
      });
    case 'embed':
      return embeddingFunction({ network, layout: layoutOf(network), batch });
  }
}

function searchFunctionOf(graph: Extract<GraphSpec, { readonly supernet: unknown }>): TensorFunction {
  const network = buildSupernet(graph.supernet);
  const { batch } = graph;
  const hasAuxiliarySkip = 'hasAuxiliarySkip' in graph && graph.hasAuxiliarySkip === true;
  const of = { network, layout: layoutOf(network), batch, hasAuxiliarySkip };
  switch (graph.kind) {
    case 'search':
      return searchFunction({ ...of, wanted: graph.wanted });
    case 'search-logits':
      return searchLogitsFunction(of);
    case 'search-statistics':
      return searchStatisticsFunction(of);
    case 'search-embed':
      return searchEmbeddingFunction(of);
  }
}

function twoPartFunctionOf(graph: TwoPartSpec): TwoPartFunction {
  const network = buildNetwork(graph.network);
  const { adapter, batch, distils } = graph;
  return backboneFunction({ network, layout: layoutOf(network, { adapter }), batch, distils });
}

/** Whether the backward pass of the graph computes activations again, and how products are computed. */
const manner = (graph: GraphSpec | TwoPartSpec) => ({
  recompute: 'recompute' in graph && graph.recompute === true,
  ...('precision' in graph && graph.precision !== undefined ? { precision: graph.precision } : {}),
});
