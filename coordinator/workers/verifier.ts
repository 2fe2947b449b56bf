// Verification on request: a checkpoint is compared with a verification set by one worker, which answers with
// one report. Decides that any worker will do, since accuracies do not depend on the last bit as replays do.

import { FleetError } from '../../core/errors.ts';
import type { EvaluationReport } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Requests } from './requests.ts';

/** What is verified, and on what. */
export interface VerifyRequest {
  readonly runId: string;
  /** Of a checkpoint that is stored. */
  readonly stage: number;
  readonly specJson: string;
  /** File or folder as the worker sees it; empty: the run's own held-out identities. */
  readonly setPath: string;
  /** Of the run's data as submit found them. */
  readonly dataDigest?: string;
}

/** Verifications for callers of the service. */
export interface Verifier {
  /**
   * The report, or a FleetError: `unavailable` without a worker, `deadlineExceeded`, `cancelled`, or the
   * worker's refusal.
   */
  verify(request: VerifyRequest, deadlineMs: number, signal: AbortSignal): Promise<EvaluationReport>;
  /** Takes the worker's answer; one that nobody waits for any more is dropped. */
  answered(requestId: string, result: { report?: EvaluationReport | undefined; error: string }): void;
}

/** Verifications go through these requests. */
export function createVerifier(requests: Requests): Verifier {
  const verifications = requests.kind<EvaluationReport>({
    lost: (workerId) => `${workerId} was lost`,
    tooSlow: 'the caller does not read the report',
  });
  return {
    async verify(request, deadlineMs, signal) {
      const reports = verifications.ask({
        choose(free, lost) {
          const [worker] = free;
          if (worker !== undefined) return worker;
          throw new FleetError(
            'unavailable',
            lost.length === 0
              ? 'no worker is connected to verify on; start one and try again'
              : `${lost.join(', ')} were lost over this verification and no other worker is connected`,
            { details: { missing: 'worker' } },
          );
        },
        command: () => ({ kind: 'verify', ...request }),
        signal,
        deadline: { ms: deadlineMs, sentence: `no verification within ${Math.round(deadlineMs / 1000)} s` },
      });
      for await (const report of reports) return report;
      throw new Error('assertion: a verification ended without a report');
    },
    answered(requestId, { report, error }) {
      const refusal = error === '' && report === undefined ? 'the worker sent no report' : error;
      const items = refusal === '' && report !== undefined ? [report] : [];
      verifications.answered(requestId, { items, ended: true, error: refusal });
    },
  };
}
