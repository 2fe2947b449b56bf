// The log of a run or of a worker, line by line, over restarts of the coordinator. Each line carries its
// position, and a new stream begins after the last printed line, so that no line is lost or repeated.

import { formatTime } from '../../core/report/format.ts';
import { printable } from '../../core/text/printable.ts';
import type { LogLine, LogsRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { type Absence, persistently } from './absence.ts';
import type { FleetClient } from './client.ts';

/** Lines in the order of their positions, each once. */
export async function* logLines(
  client: FleetClient,
  request: Omit<LogsRequest, 'afterSequence'>,
  absence: Absence,
): AsyncGenerator<LogLine> {
  let afterSequence = 0;
  const open = () => client.follow((service) => service.logs, { ...request, afterSequence }, absence.signal);
  for await (const line of persistently(open, absence)) {
    // A coordinator of an older release sends no positions and begins with the first line again.
    if (line.sequence > 0 && line.sequence <= afterSequence) continue;
    afterSequence = Math.max(afterSequence, line.sequence);
    yield line;
  }
}

/** One line of a log as people read it. */
export function logText(line: LogLine): string {
  const run = line.runId === '' ? '' : ` ${line.runId}`;
  return printable(`${formatTime(line.atMs)} ${line.level.padEnd(5)} ${line.workerId}${run}  ${line.text}`);
}
