// The process that looks at data sets, one after the other. It has memory, threads and file system calls of
// its own, so that a look can exhaust or hang them without harm to the program that asked for it.

import { existsSync } from 'node:fs';
import { type Code, toFleetError } from '../../errors.ts';
import type { DataSpec } from '../../spec/data.ts';
import { serveParent } from '../../system/child-process.ts';
import type { Roots } from '../../system/file-access.ts';
import { createProgressPace, type DataProgress } from '../progress-pace.ts';
import { type CheckReport, checkPath } from './check-path.ts';
import { createDataCache } from './data-cache.ts';
import { inspectData } from './inspect.ts';
import type { Inspection } from './inspection.ts';

/** What is looked at: a set as a spec names it, or all images of whatever lies at a path. */
export type InspectRequest =
  | { readonly kind: 'set'; readonly data: DataSpec }
  | { readonly kind: 'path'; readonly path: string };

export interface InspectJob {
  readonly request: InspectRequest;
  readonly cacheDir: string;
  readonly lanes: number;
  readonly roots: Roots;
}

/** Progress any number of times, then one of the others. */
export type InspectMessage =
  | { readonly kind: 'progress'; readonly progress: DataProgress }
  | { readonly kind: 'inspected'; readonly result: Inspection | CheckReport }
  | {
      readonly kind: 'failed';
      readonly code: Code;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };

/** Whether nothing lies at the path, which another machine may have. */
function absence(request: InspectRequest): { readonly absent?: true } {
  const path =
    request.kind === 'path' ? request.path : request.data.kind === 'synthetic' ? '' : request.data.path;
  return path === '' || existsSync(path) ? {} : { absent: true };
}

const parent = serveParent<InspectJob>(({ request, cacheDir, lanes, roots }) => {
  const send = (message: InspectMessage) => parent.send(message);
  const pace = createProgressPace({ onProgress: (progress) => send({ kind: 'progress', progress }) });
  const options = { cache: createDataCache(cacheDir), pace, lanes, roots };
  const work = request.kind === 'set' ? inspectData(request.data, options) : checkPath(request.path, options);
  work.then(
    (result) => send({ kind: 'inspected', result }),
    (caught: unknown) => {
      const { code, message, details } = toFleetError(caught);
      send({ kind: 'failed', code, message, details: { ...details, ...absence(request) } });
    },
  );
});
