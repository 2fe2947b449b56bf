// Whether the coordinator encrypts gRPC, with which files, and what of that is logged. Decides that workers need a
// certificate of the fleet while people and scripts come with a token, and how often one reason for a refusal is
// logged, since a program with the wrong files dials again twice a second.

import type { Clock } from '../core/clock.ts';
import type { CoordinatorConfig } from '../core/config.ts';
import type { Logger } from '../core/log.ts';
import type { GrpcTls } from '../core/net/grpc-tls.ts';
import { expiryMs, identityFiles, identitySource } from '../core/net/tls-files.ts';
import { WorkerServiceService } from '../proto/gen/pocketfleet/v1/worker.ts';

/** One host's reason is logged so often, milliseconds. */
const SAME_LINE_MS = 10_000;
/** Hosts and reasons that are remembered. */
const LINES_MAX = 1_000;

/** Undefined when no files are configured. Throws one sentence when they cannot be used. */
export function encryptionOf(
  config: CoordinatorConfig,
  { log, clock }: { readonly log: Logger; readonly clock: Clock },
): GrpcTls | undefined {
  const files = identityFiles(config);
  if (files === undefined) return undefined;
  const source = identitySource(files, clock);
  /** When a line was logged, monotonic milliseconds. */
  const loggedAt = new Map<string, number>();
  const logExpiry = () => {
    const until = new Date(expiryMs(source.current().cert));
    if (until.getTime() > clock.now()) log.info({ until }, 'the certificate is in use');
    else log.error({ until }, `the certificate in ${files.certFile} has expired; nobody takes it`);
  };
  logExpiry();
  return {
    source,
    certified: [Object.values(WorkerServiceService)[0]!.path.split('/')[1]!],
    onRefused(host, reason) {
      const line = `${host} ${reason}`;
      const before = loggedAt.get(line);
      if (before !== undefined && clock.monotonic() - before < SAME_LINE_MS) return;
      if (loggedAt.size >= LINES_MAX) loggedAt.clear();
      loggedAt.set(line, clock.monotonic());
      log.warn({ host }, `a client was refused: ${reason}`);
    },
    onFiles(news) {
      if (news === undefined) logExpiry();
      else log.error({ code: news.code }, `the changed certificate is not in use: ${news.message}`);
    },
  };
}
