// Records graphs into the cache on disk, in a process of its own: recording takes JavaScript a second, in which the compute
// thread would train nothing. The process ends with its work.

import { serveParent } from '../../core/system/child-process.ts';
import { type EngineRequest, openEngine } from './engine.ts';
import { createGraphCache } from './graphs.ts';
import type { GraphSpec, TwoPartSpec } from './messages.ts';

/** What the parent asks for. */
export interface RecordingJob {
  readonly cacheDir: string;
  readonly engine: EngineRequest;
  readonly graphs: readonly (GraphSpec | TwoPartSpec)[];
}

serveParent<RecordingJob>(({ cacheDir, engine: request, graphs }) => {
  const { engine } = openEngine(request);
  const cache = createGraphCache({ cacheDir, engine });
  for (const graph of graphs) {
    if (graph.kind === 'backbone') cache.twoPart(graph);
    else cache.get(graph);
  }
  process.exit(0);
});
