// Records graphs into the cache on disk, in a process of its own: recording takes JavaScript a second, in which the compute
// thread would train nothing. The process ends with its work.

import { serveParent } from '../../core/system/child-process.ts';
import { compileAhead } from './ahead.ts';
import { type EngineRequest, openEngine } from './engine.ts';
import { createGraphCache } from './graphs.ts';
import { createKeptRows } from './kept-rows.ts';
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
  const compilers = {
    graphs: createGraphCache({ cacheDir, engine }),
    states: createKeptStates({ engine, cacheDir, layoutFor: createLayouts() }),
    classShards: createKeptRows({ engine, cacheDir }),
  };
  for (const graph of graphs) compileAhead(compilers, graph);
  process.exit(0);
});
