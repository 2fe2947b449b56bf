// The beat at which time passes for the core. Decides how often workers are judged, that one whose stream
// ended is judged as soon as a verdict can be due, and that nobody is suspected while the broker is away.
//
// A verdict does not wait for the next beat, because a gang stands still until it is given: it is due
// REDIAL_GRACE_MS after a stream has ended, or at once when the broker no longer knows the process either.

import { after, type Clock, every } from '../core/clock.ts';
import type { NatsConnection } from '../core/net/nats.ts';
import { isAbsent } from '../core/net/presence.ts';
import type { Names } from '../core/net/subjects.ts';
import type { Driver } from './journal/driver.ts';
import type { PodWatch } from './kubernetes/pods.ts';
import { valuesOf } from './model/persistent-map.ts';
import { openRuns, workerWith } from './model/state.ts';
import type { Links } from './workers/links.ts';
import { REDIAL_GRACE_MS } from './workers/membership.ts';
import type { Requests } from './workers/requests.ts';
import type { SuspicionBoard } from './workers/suspicion.ts';
import { createVerdicts } from './workers/verdicts.ts';

/** Between two beats, milliseconds: losses are judged and postponed elastic changes made. */
const TICK_MS = 200;

/** Starts the beat. `judge`: judges all workers soon, before the next beat; `stop`: ends every timer. */
export function startTicking(options: {
  driver: Driver;
  links: Links;
  connection: NatsConnection;
  names: Names;
  pods: () => PodWatch | undefined;
  suspicion: SuspicionBoard;
  requests: Pick<Requests, 'occupies'>;
  clock: Clock;
  broker: { connected: boolean };
}): { judge: () => void; stop: () => void } {
  const { driver, links, connection, names, pods, suspicion, requests, broker, clock } = options;
  const verdicts = createVerdicts(driver.submit);
  const judge = () => {
    if (driver.halted !== undefined) return;
    verdicts.submitNew(links.judge().map((lost) => ({ kind: 'lost', ...lost })));
    verdicts.submitNew(pods()?.judge(valuesOf(driver.state.workers)) ?? []);
  };
  // Many streams can end in one turn of the event loop; one judgement is about all of them.
  let soon: NodeJS.Immediate | undefined;
  const judgeSoon = () => {
    soon ??= setImmediate(() => {
      soon = undefined;
      judge();
    });
  };
  /** While the broker is away all members of all gangs are silent, and none of them is to blame. */
  const judgeSuspects = () => {
    if (!broker.connected || driver.halted !== undefined) return;
    for (const { workerId, reason, ms } of suspicion.judge(openRuns(driver.state), requests.occupies)) {
      const incarnation = workerWith(driver.state, workerId)?.incarnation ?? '';
      const goneAtMs = clock.now() - ms;
      verdicts.submitNew([{ kind: 'lost', workerId, incarnation, cause: 'held_up', reason, goneAtMs }]);
    }
  };
  const stopTicks = every(TICK_MS, () => {
    judge();
    judgeSuspects();
    driver.submit({ kind: 'tick' }).catch(() => undefined);
  });
  /** Timers of verdicts that are due. */
  const dues = new Set<() => void>();
  links.onDetach((workerId, incarnation) => {
    const stopDue = after(REDIAL_GRACE_MS + 1, () => {
      dues.delete(stopDue);
      judgeSoon();
    });
    dues.add(stopDue);
    void isAbsent(connection, names, { workerId, incarnation }).then((absent) => {
      if (!absent) return;
      links.absent(workerId, incarnation);
      judgeSoon();
    });
  });
  const stop = () => {
    stopTicks();
    for (const stopDue of dues) stopDue();
    clearImmediate(soon);
  };
  return { judge: judgeSoon, stop };
}
