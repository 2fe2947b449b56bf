// Gangs of one test file whose compute thread runs a plugin of PJRT for CPUs, and sums in this process. Thread, loader
// and cache end with the file's tests.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { createLoader, type Loader } from '../../core/data/loading/loader.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { type Compute, createCompute } from '../../worker/compute/client.ts';
import { QUICK_XLA_FLAGS } from './pjrt.ts';
import { createSums, joinSearch, type SearchGangOptions, type SearchMember } from './search-gang.ts';

export interface PjrtGangs {
  readonly cacheDir: string;
  /** Another thread, on so many devices, which the caller closes. */
  thread(devices: number): Compute;
  readonly compute: Compute;
  /** As a thread whose engine keeps vectors on the host. */
  readonly onHost: Compute;
  readonly loader: Loader;
  /** Opens a gang with a run id of its own. */
  gang(options: Partial<SearchGangOptions> & Pick<SearchGangOptions, 'counts'>): Promise<SearchMember[]>;
}

/** `name`: of the cache folder and the runs. `devices`: as many of the plugin as the thread computes on. */
export async function pjrtGangs(of: {
  readonly name: string;
  readonly spec: RunSpec;
  readonly devices?: number;
}): Promise<PjrtGangs> {
  const { name, spec, devices = 1 } = of;
  const cacheDir = mkdtempSync(join(tmpdir(), `pocketfleet-${name}-`));
  process.env.XLA_FLAGS = QUICK_XLA_FLAGS;
  const thread = (count: number): Compute =>
    createCompute({ cacheDir, engine: { wanted: 'pjrt', gpu: false, memoryShare: 0, devices: count } });
  const compute = thread(devices);
  const loader = await createLoader({ data: spec.data });
  after(async () => {
    await loader.close();
    await compute.close();
    rmSync(cacheDir, { recursive: true, force: true });
  });
  let runs = 0;
  return {
    ...{ cacheDir, thread, compute, loader },
    onHost: { ...compute, keepState: async () => undefined, keepRows: async () => undefined },
    gang(options) {
      const plane = createSums();
      const { classes, trainingImages } = loader.facts;
      return joinSearch({
        ...{
          spec,
          classes,
          trainingImages,
          loader,
          compute,
          planes: () => plane,
          runId: `${name}-${++runs}`,
        },
        ...options,
      });
    },
  };
}
