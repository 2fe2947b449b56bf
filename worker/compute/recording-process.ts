// Records graphs into the cache on disk, in a process of its own: recording takes JavaScript a second, in which the compute
// thread would train nothing. The process ends with its work.

import { serveParent } from '../../core/system/child-process.ts';
import { type EngineRequest, openEngine } from './engine.ts';
import { createGraphCache } from './graphs.ts';
import { createKeptStates } from './kept-states.ts';
import { createLayouts } from './layouts.ts';
import type { Compilable } from './messages.ts';

/** What the parent asks for. */
export interface RecordingJob {
  readonly cacheDir: string;
  readonly engine: EngineRequest;
  readonly graphs: readonly Compilable[];
}

serveParent<RecordingJob>(({ cacheDir, engine: request, graphs }) => {
  const { engine } = openEngine(request);
  const cache = createGraphCache({ cacheDir, engine });
  const states = createKeptStates({ engine, cacheDir, layoutFor: createLayouts() });
  for (const graph of graphs) {
    if (graph.kind === 'update') states.prepare(graph);
    else if (graph.kind === 'backbone') cache.twoPart(graph);
    else cache.get(graph);
  }
  process.exit(0);
});
