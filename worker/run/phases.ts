// The phase that a run is in, with the effects of a change: where its time goes, one line in this worker's log
// and one in the run's own log.

import {
  entered,
  type Phase,
  restOf,
  type Standing,
  sentenceOf,
  standingIn,
  storeAwaited,
  teacherAwaited,
} from './phase.ts';
import type { OwnServices } from './services.ts';

export interface Phases {
  current(): Phase;
  enter(phase: Phase): void;
  /** A wait for a teacher's stage begins, or is over. */
  onTeacherWait(wait: Parameters<typeof teacherAwaited>[1]): void;
  /** A wait for the store begins, with its reason, or is over. */
  onStoreWait(reason: string | undefined): void;
}

export function createPhases(services: Pick<OwnServices, 'log' | 'broker' | 'time'>, runId: string): Phases {
  let standing = standingIn({ kind: 'preparing' });
  const change = (next: Standing) => {
    const isNew = next.phase !== standing.phase;
    standing = next;
    if (!isNew) return;
    services.time.rest(restOf(next.phase));
    const text = sentenceOf(next.phase);
    services.log.info({ phase: next.phase.kind }, text);
    void services.broker.then(({ records }) => records.publishLine({ runId, level: 'info', text }));
  };
  return {
    current: () => standing.phase,
    enter: (phase) => change(entered(standing, phase)),
    onTeacherWait: (wait) => change(teacherAwaited(standing, wait)),
    onStoreWait: (reason) => change(storeAwaited(standing, reason)),
  };
}
