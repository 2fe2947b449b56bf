// The logger: JSON lines on stderr by pino; stdout is for data. Decides that a line which cannot be written
// never ends the program, and how many bytes of lines are kept for later.

import { destination, pino } from 'pino';

export type { Logger } from 'pino';

/** Bytes of lines that are kept while a disk is full and may have room again; more are dropped. */
const KEPT_BYTES_MAX = 1 << 20;

/** A logger whose lines carry the program's name and the given fields. */
export function createLogger(options: {
  program: string;
  level: string;
  bindings?: Record<string, unknown>;
}) {
  const stderr = destination({ dest: 2, sync: true, maxLength: KEPT_BYTES_MAX });
  stderr.on('error', () => undefined);
  return pino({ level: options.level, base: { program: options.program, ...options.bindings } }, stderr);
}
