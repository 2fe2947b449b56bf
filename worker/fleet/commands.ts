// What a worker takes of a coordinator's commands before it acts on them: ids and prefixes, which become parts of
// subjects and keys, and numbers, which become timers. Decides that a command with others is refused as a whole.

import { FleetError } from '../../core/errors.ts';
import { foundText } from '../../core/text/printable.ts';
import { token, WORKER_ID, WORKER_ID_WORDS } from '../../core/text/wire-text.ts';
import type { Assign, Welcome, WorkerCommand } from '../../proto/gen/pocketfleet/v1/worker.ts';

/** How often a worker may have to report, milliseconds. */
const HEARTBEAT_MS = { least: 1, most: 3_600_000 };
/** Prefixes of streams, subjects and keys. */
const PREFIX = /^(?!.*\.\.)[A-Za-z0-9_.-]{0,200}$/;

/** Throws `invalidArgument` with the name of the field that no worker can act on. */
export function assertCommand({ kind }: WorkerCommand): void {
  if (kind === undefined) return;
  if (kind.$case === 'welcome') assertWelcome(kind.value);
  if (kind.$case === 'assign') assertAssign(kind.value);
  if ('requestId' in kind.value) token('request_id', kind.value.requestId);
  if ('runId' in kind.value) token('run_id', kind.value.runId);
}

function assertWelcome({ heartbeatIntervalMs: everyMs, names }: Welcome): void {
  if (everyMs < HEARTBEAT_MS.least || everyMs > HEARTBEAT_MS.most)
    refuse('heartbeat_interval_ms', `from ${HEARTBEAT_MS.least} to ${HEARTBEAT_MS.most}`, everyMs);
  for (const [field, text] of Object.entries(names ?? {}))
    if (!PREFIX.test(text))
      refuse(`names.${field}`, 'letters, digits, _ and - with single dots between, at most 200', text);
}

function assertAssign({ teacherRunId, members }: Assign): void {
  if (teacherRunId !== '') token('teacher_run_id', teacherRunId);
  for (const { workerId } of members)
    if (!WORKER_ID.test(workerId)) refuse('members.worker_id', WORKER_ID_WORDS, workerId);
}

function refuse(field: string, expected: string, found: unknown): never {
  throw new FleetError('invalidArgument', `${field}: expected ${expected}, found ${foundText(found)}`, {
    details: { field },
  });
}
