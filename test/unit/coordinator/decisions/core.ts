// The core of the coordinator with some workers that are attached, for tests that give it one input after the
// other.

import assert from 'node:assert/strict';
import { step } from '../../../../coordinator/decisions/decide.ts';
import type {
  CheckedDocument,
  FailureCause,
  Input,
  WorkerHello,
} from '../../../../coordinator/decisions/inputs.ts';
import type { Event } from '../../../../coordinator/model/events.ts';
import {
  type EvaluationState,
  initialState,
  runOf,
  type State,
} from '../../../../coordinator/model/state.ts';
import { connections, wholeRuns } from '../../../support/state.ts';

/** What a worker says of itself. */
export const HELLO = {
  ...{
    incarnation: 'i',
    version: '',
    host: '',
    pid: 1,
    deviceKind: 'cpu',
    deviceName: 'cpu',
    deviceClass: 'cpu',
  },
  ...{ slots: 1, leases: [], metricsEndpoint: '', podUid: '' },
};

/** The core with so many workers of one slot; every input one second after the last. `about`: what they say of themselves. */
export function core(workers: number, about: Partial<WorkerHello> = {}) {
  let state: State = initialState;
  let now = 0;
  const events: Event[] = [];
  const connected = new Set<string>();
  const give = (input: Input) => {
    now += 1_000;
    const decision = step(state, input, { now, connected: connections(connected) });
    state = decision.state;
    events.push(...decision.events);
    return decision;
  };
  const attach = (workerId: string, more: Partial<WorkerHello> = {}) => {
    connected.add(workerId);
    give({ kind: 'attached', hello: { ...HELLO, ...about, ...more, workerId } });
  };
  for (let n = 1; n <= workers; n++) attach(`w${n}`);
  const report = (id: string, said: object) => {
    const run = runOf(state, id);
    const [member] = run.gang;
    assert.ok(member, `${id} is ${run.state}: ${run.reason}`);
    const full = { runId: id, generation: run.generation, step: 8, ...said } as never;
    return give({ kind: 'reported', workerId: member.workerId, incarnation: 'i', sequence: 1, report: full });
  };
  const halt = (id: string, stage: number, accuracy: number, more: Partial<EvaluationState> = {}) => {
    const evaluation = { accuracy, accuracyStd: 0, auc: 0, eer: 0, tarAtFar: 0, pairs: 20, ...more };
    return report(id, { kind: 'halted', stage, step: stage * 4, weightsDigest: 'w', evaluation });
  };
  return {
    give,
    attach,
    report,
    submit: (document: CheckedDocument) => give({ kind: 'submit', documents: [document] }),
    fail: (id: string, cause: FailureCause, message = 'bad') =>
      report(id, { kind: 'failed', cause, message }),
    /** `accuracy`: it was verified there. */
    checkpoint: (id: string, stage: number, accuracy?: number) => {
      const evaluation = { accuracy, accuracyStd: 0, auc: 0, eer: 0, tarAtFar: 0, pairs: 20 };
      const stored = { kind: 'checkpointStored', stage, step: stage * 4, bytes: 1, digest: `d${stage}` };
      return report(id, { ...stored, ...(accuracy === undefined ? {} : { evaluation }) });
    },
    finish: (id: string, accuracy = 0.5, weightsDigest = 'w', more: Partial<EvaluationState> = {}) => {
      const evaluation = { accuracy, accuracyStd: 0, auc: 0, eer: 0, tarAtFar: 0, pairs: 20, ...more };
      const { haltStage: stage } = runOf(state, id);
      if (stage === undefined) return report(id, { kind: 'finished', weightsDigest, evaluation });
      report(id, { kind: 'checkpointStored', stage, step: stage * 4, bytes: 1, digest: `d${stage}` });
      return halt(id, stage, accuracy, more);
    },
    halt,
    resume: (id: string, reason = '') => {
      const { answer } = give({ kind: 'resume', id, reason });
      assert.ok(answer?.kind === 'resumed');
      return answer.ids;
    },
    refusal(id: string): string {
      try {
        give({ kind: 'resume', id, reason: '' });
      } catch (caught) {
        return (caught as Error).message;
      }
      return assert.fail(`${id} was resumed`);
    },
    running: () =>
      wholeRuns(state)
        .filter((run) => run.state === 'running')
        .map(({ id }) => id),
    get state() {
      return state;
    },
    events,
  };
}
