// The beat at which time passes for the core: losses are judged, postponed elastic changes made, and the lead is checked.

import { after, type Clock, every } from '../core/clock.ts';
import type { NatsConnection } from '../core/net/nats.ts';
import { isAbsent } from '../core/net/presence.ts';
import type { Driver } from './journal/driver.ts';
import type { PodWatch } from './kubernetes/pods.ts';
import { openRuns } from './model/state.ts';
import type { Links } from './workers/links.ts';
import { REDIAL_GRACE_MS } from './workers/membership.ts';
import type { Requests } from './workers/requests.ts';
import type { SuspicionBoard } from './workers/suspicion.ts';
import { createVerdicts } from './workers/verdicts.ts';

/** How often time is let pass: losses are judged, postponed elastic changes made. */
const TICK_MS = 200;

/** How often a coordinator that may have nothing to append asks whether it still leads. */
const LEAD_CHECK_MS = 1_000;

export function startTicking(options: {
  driver: Driver;
  links: Links;
  connection: NatsConnection;
  pods: () => PodWatch | undefined;
  suspicion: SuspicionBoard;
  requests: Pick<Requests, 'occupies'>;
  clock: Clock;
  broker: { connected: boolean };
}): { judge: () => void; stop: () => void } {
  const { driver, links, connection, pods, suspicion, requests, broker, clock } = options;
  const verdicts = createVerdicts(driver.submit);
  const judge = () => {
    if (driver.halted !== undefined) return;
    verdicts.submitNew(links.judge().map((lost) => ({ kind: 'lost', ...lost })));
    verdicts.submitNew(pods()?.judge(driver.state.workers.values()) ?? []);
  };
  // Of many that hang up in one turn all are judged together.
  let soon: NodeJS.Immediate | undefined;
  const judgeSoon = () => {
    soon ??= setImmediate(() => {
      soon = undefined;
      judge();
    });
  };
  /** While the broker is away nobody hears anybody, and nobody is to blame. */
  const judgeSuspects = () => {
    if (!broker.connected || driver.halted !== undefined) return;
    for (const { workerId, reason, ms } of suspicion.judge(openRuns(driver.state), requests.occupies)) {
      const incarnation = driver.state.workers.get(workerId)?.incarnation ?? '';
      verdicts.submitNew([{ kind: 'lost', workerId, incarnation, reason, goneAtMs: clock.now() - ms }]);
    }
  };
  const stopTicks = every(TICK_MS, () => {
    judge();
    judgeSuspects();
    driver.submit({ kind: 'tick' }).catch(() => undefined);
  });
  // The verdict about one that hung up is due at a known time; its gang stands still until then.
  const dues = new Set<() => void>();
  links.onDetach((workerId, incarnation) => {
    const stopDue = after(REDIAL_GRACE_MS + 1, () => {
      dues.delete(stopDue);
      judgeSoon();
    });
    dues.add(stopDue);
    void isAbsent(connection, { workerId, incarnation }).then((absent) => {
      if (!absent) return;
      links.absent(workerId, incarnation);
      judgeSoon();
    });
  });
  const stopLeadChecks = every(LEAD_CHECK_MS, () => void driver.confirmLead());
  const stop = () => {
    stopTicks();
    stopLeadChecks();
    for (const stopDue of dues) stopDue();
    clearImmediate(soon);
  };
  return { judge: judgeSoon, stop };
}
