// The logger: pino, JSON lines on stderr (stdout of the CLI is data). Log changes of state once, with the reason. A line that
// cannot be written never ends the program.

import { destination, pino } from 'pino';

export type { Logger } from 'pino';

/** Lines kept for a full disk that may have room again; more are dropped, bytes. */
const KEPT_BYTES_MAX = 1 << 20;

export function createLogger(options: {
  program: string;
  level: string;
  bindings?: Record<string, unknown>;
}) {
  const stderr = destination({ dest: 2, sync: true, maxLength: KEPT_BYTES_MAX });
  stderr.on('error', () => undefined);
  return pino({ level: options.level, base: { program: options.program, ...options.bindings } }, stderr);
}
