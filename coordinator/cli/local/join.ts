// Workers of this machine for a fleet on another one: started, kept alive, ended. Decides what their folder holds, and
// that a join is done when each worker has attached.

import { join, resolve } from 'node:path';
import { makeFolder } from '../../../core/system/folder.ts';
import { filesIn } from './certificates.ts';
import { workerSpec } from './child-specs.ts';
import { endLeftovers } from './children.ts';
import { LOOPBACK } from './encryption.ts';
import { writePrivate } from './fleet-file.ts';
import { holdFolder } from './held-folder.ts';
import { readHost } from './host.ts';
import type { JoinFile } from './join-file.ts';
import { freePorts } from './ports.ts';
import { notReady, progressOf, until } from './readiness.ts';
import { placeWorkers, type WorkersAsked } from './worker-places.ts';

export interface JoinOptions extends WorkersAsked {
  readonly dir: string;
  readonly file: JoinFile;
  /** Beginning of the workers' names, which are unique in the fleet. */
  readonly name: string;
  readonly dataRoots: readonly string[];
  /** Ends a start that is under way. */
  readonly signal: AbortSignal;
  say(text: string): void;
}

export interface JoinedWorkers {
  readonly ids: readonly string[];
  /** Ends the workers; nothing is left running when it resolves. */
  close(): Promise<void>;
  /** SIGKILL to each at once. */
  kill(): void;
}

/** Milliseconds until all workers must have attached, as for a fleet of this machine. */
const WORKERS_DEADLINE_MS = 180_000;

/** Resolves when every worker has attached; on failure everything that was started is ended first. */
export async function joinFleet(options: JoinOptions): Promise<JoinedWorkers> {
  const { file, name, dataRoots, signal, say } = options;
  const dir = resolve(options.dir);
  const { children, release: close } = holdFolder(dir, say);
  try {
    await endLeftovers(dir, say);
    makeFolder(join(dir, 'logs'), { mode: 0o700 });
    const tlsDir = join(dir, 'tls');
    makeFolder(tlsDir, { mode: 0o700 });
    const files = filesIn(tlsDir, 'worker');
    writePrivate(files.caFile, file.ca);
    writePrivate(files.keyFile, file.key);
    writePrivate(files.certFile, file.cert);
    const places = placeWorkers(readHost(), options);
    for (const line of places.lines) say(line);
    const ports = await freePorts(places.environments.map(() => ({ host: LOOPBACK, port: 0 })));
    const workers = places.environments.map((place, i) =>
      children.begin(
        workerSpec({
          ...{ dir, fleet: file, dataRoots, place, tlsDir, workerToken: file.token },
          id: `${name}-${i + 1}`,
          metricsListen: `${LOOPBACK}:${ports[i]}`,
        }),
        'worker',
      ),
    );
    const said = progressOf(workers, say);
    const attached = async () =>
      said(await notReady(workers.map((worker, i) => ({ worker, port: ports[i]! }))));
    await until(attached, children.all, WORKERS_DEADLINE_MS, signal);
    return { ids: workers.map((worker) => worker.name), close, kill: children.kill };
  } catch (caught) {
    await close();
    throw caught;
  }
}
