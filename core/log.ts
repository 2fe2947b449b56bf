// The logger: pino, JSON lines on stderr (stdout of the CLI is data). Log changes of state once, with the reason.

import { destination, pino } from 'pino';

export type { Logger } from 'pino';

export function createLogger(options: {
  program: string;
  level: string;
  bindings?: Record<string, unknown>;
}) {
  return pino(
    { level: options.level, base: { program: options.program, ...options.bindings } },
    destination({ dest: 2, sync: true }),
  );
}
