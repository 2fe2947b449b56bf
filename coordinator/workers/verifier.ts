// Verification on request: picks a worker, asks it, and asks another one when it is lost. Volatile: the caller waits for
// the answer and asks again after a restart of the coordinator; nothing of it is a decision that must last.

import { randomUUID } from 'node:crypto';
import { FleetError } from '../../core/errors.ts';
import type { EvaluationReport } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { runsHeldBy } from '../decisions/gangs.ts';
import type { State } from '../model/state.ts';
import type { Links } from './links.ts';

export interface VerifyRequest {
  readonly runId: string;
  readonly stage: number;
  readonly specJson: string;
  readonly setPath: string;
}

export interface Verifier {
  verify(request: VerifyRequest, deadlineMs: number, signal: AbortSignal): Promise<EvaluationReport>;
  /** The worker's answer; one that nobody waits for any more is dropped. */
  answered(requestId: string, result: { report?: EvaluationReport | undefined; error: string }): void;
  /** It has a request in hand, which its runs may have to wait for. */
  occupies(workerId: string): boolean;
}

interface Pending {
  readonly settle: (result: EvaluationReport | FleetError) => void;
  readonly workerId: string;
}

/** Workers that one request may use up; each of them died over it or beside it. */
const WORKERS_MAX = 3;

export function createVerifier(options: { links: Links; state: () => State }): Verifier {
  const { links, state } = options;
  const pending = new Map<string, Pending>();
  links.onDetach((workerId) => {
    for (const waiting of pending.values())
      if (waiting.workerId === workerId)
        waiting.settle(new FleetError('unavailable', `${workerId} was lost`));
  });

  /** Least loaded first. */
  function chooseWorker(tried: ReadonlySet<string>): string {
    const held = new Map<string, number>();
    for (const { workerId } of pending.values()) held.set(workerId, (held.get(workerId) ?? 0) + 1);
    const workers = [...state().workers.values()].filter(
      (worker) => worker.state === 'attached' && links.connected.has(worker.id) && !tried.has(worker.id),
    );
    const busy = (id: string) => (held.get(id) ?? 0) + runsHeldBy(state(), id).length;
    const [chosen] = workers.sort((a, b) => busy(a.id) - busy(b.id));
    if (chosen === undefined)
      throw new FleetError(
        'unavailable',
        tried.size === 0
          ? 'no worker is connected to verify on; start one and try again'
          : `${[...tried].join(', ')} were lost over this verification and no other worker is connected`,
        { details: { missing: 'worker' } },
      );
    return chosen.id;
  }

  async function ask(
    request: VerifyRequest,
    workerId: string,
    deadline: Deadline,
  ): Promise<EvaluationReport> {
    const requestId = randomUUID();
    let answered = false;
    try {
      const report = await new Promise<EvaluationReport>((resolve, reject) => {
        pending.set(requestId, {
          workerId,
          settle: (result) => (result instanceof FleetError ? reject(result) : resolve(result)),
        });
        deadline.onExpire(reject);
        links.send(workerId, { kind: 'verify', requestId, ...request });
      });
      answered = true;
      return report;
    } catch (caught) {
      // The worker's own refusal is an answer too; all else leaves it at work for nobody.
      answered = caught instanceof FleetError && caught.code === 'failedPrecondition';
      throw caught;
    } finally {
      pending.delete(requestId);
      if (!answered) links.send(workerId, { kind: 'forget', requestId });
    }
  }

  return {
    async verify(request, deadlineMs, signal) {
      const deadline = startDeadline(deadlineMs, signal);
      const tried = new Set<string>();
      try {
        for (;;) {
          const workerId = chooseWorker(tried);
          tried.add(workerId);
          try {
            return await ask(request, workerId, deadline);
          } catch (caught) {
            const lost = caught instanceof FleetError && caught.code === 'unavailable';
            if (!lost || tried.size >= WORKERS_MAX) throw caught;
          }
        }
      } finally {
        deadline.clear();
      }
    },
    answered(requestId, { report, error }) {
      const waiting = pending.get(requestId);
      if (error !== '' || report === undefined)
        waiting?.settle(
          new FleetError('failedPrecondition', error === '' ? 'the worker sent no report' : error),
        );
      else waiting?.settle(report);
    },
    occupies: (workerId) => [...pending.values()].some((waiting) => waiting.workerId === workerId),
  };
}

interface Deadline {
  onExpire(listener: (error: FleetError) => void): void;
  clear(): void;
}

function startDeadline(ms: number, signal: AbortSignal): Deadline {
  const listeners: ((error: FleetError) => void)[] = [];
  const expire = (error: FleetError) => {
    for (const listener of listeners) listener(error);
  };
  const timer = setTimeout(
    () => expire(new FleetError('deadlineExceeded', `no verification within ${Math.round(ms / 1000)} s`)),
    ms,
  );
  const gone = () => expire(new FleetError('cancelled', 'the caller has gone'));
  signal.addEventListener('abort', gone, { once: true });
  return {
    onExpire: (listener) => void listeners.push(listener),
    clear() {
      clearTimeout(timer);
      signal.removeEventListener('abort', gone);
    },
  };
}
