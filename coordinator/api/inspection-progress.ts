// The progress of a look at data sets, as messages of a stream. Decides that a reader who is slower than the
// look gets the newest state, and not every state that there was.

import type { Inspection } from '../../core/data/inspection/inspection.ts';
import type { DataSpec } from '../../core/spec/data.ts';
import type { InspectionProgress } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Inspector } from '../workers/inspector.ts';

/** Runs `check` and yields how far its inspections are. Ends when `check` ends, and fails with its error. */
export async function* inspectionProgress(
  inspector: Pick<Inspector, 'inspect'>,
  signal: AbortSignal,
  check: (inspect: (data: DataSpec) => Promise<Inspection>) => Promise<unknown>,
): AsyncGenerator<InspectionProgress> {
  let newest: InspectionProgress | undefined;
  let wake = (): void => undefined;
  let ended = false;
  const checked = check((data) =>
    inspector.inspect(data, {
      signal,
      onProgress: (progress) => {
        newest = { ...progress, path: data.kind === 'synthetic' ? '' : data.path };
        wake();
      },
    }),
  ).finally(() => {
    ended = true;
    wake();
  });
  // Its failure is thrown at the end; until then it must not end the process.
  checked.catch(() => undefined);
  while (!ended) {
    const message = newest;
    newest = undefined;
    if (message !== undefined) yield message;
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
  await checked;
}
