// A sweep that is made to go on step by step, without anybody who trains: for tests of what is seen of it.

import type { Decided, Event } from '../../coordinator/model/events.ts';
import { evolve } from '../../coordinator/model/evolve.ts';
import { initialState, type State } from '../../coordinator/model/state.ts';
import { Edit } from '../../coordinator/model/table.ts';
import { canonicalCode, keyOfCode } from '../../core/nn/genotype-code.ts';
import { randomCode } from '../../core/nn/random-genotype.ts';
import { OPS } from '../../core/spec/network.ts';
import { sweep } from '../sim/specs.ts';
import { FACTS } from '../sim/world.ts';
import { drawn, recorded } from './state.ts';

/** sweep-1 and its trials; trial n has run n. */
export interface SweepFleet {
  readonly state: State;
  readonly events: readonly Event[];
  /** Called after each event; the returned function ends that. */
  onChange(listener: () => void): () => void;
  add(event: Decided): void;
  /** Another trial with its run, queued. Returns its number. */
  propose(epochs?: number): number;
  /** So many trials that are done and have no run: a long past in half of the time. */
  past(count: number): void;
  /** Gives the run of a trial to a worker. */
  assign(number: number, workerId: string): void;
  /** Ends a trial with this accuracy. */
  finish(number: number, accuracy: number): void;
  /** Fails a trial for good. */
  fail(number: number): void;
}

const costs = { parameters: 1, mflops: 1, multiplyAdds: 1 };
const CHOICES = OPS.filter((op) => op !== 'none');

/** A fleet with so many workers, w1 to wN, and a sweep without trials. */
export function createSweepFleet(workers: number): SweepFleet {
  const events: Event[] = [];
  const listeners = new Set<() => void>();
  let state = initialState;
  /** What nobody has seen is changed in place, or a long past would take long to make. */
  let edit = new Edit();
  let trials = 0;
  let draw = 0;
  const keys = new Set<string>();
  const add = (event: Decided) => {
    const made = { ...event, atMs: 1_000 + events.length } as Event;
    events.push(made);
    state = evolve(state, made, edit);
    for (const listener of listeners) listener();
  };
  const nextKey = () => {
    for (;;) {
      const key = keyOfCode(canonicalCode(randomCode(CHOICES, 1, draw++)));
      if (!keys.has(key) && keys.add(key)) return key;
    }
  };
  const proposeTrial = (epochs?: number) => {
    const number = ++trials;
    const trialId = `trial-${number}`;
    const cursor = drawn(number);
    add({
      kind: 'trial.proposed',
      trialId,
      sweepId: 'sweep-1',
      number,
      genotype: nextKey(),
      costs,
      cursor,
      ...(epochs === undefined ? {} : { fidelity: { epochs } }),
    });
    return number;
  };
  const { event, digest } = recorded(sweep({ name: 'many', strategy: { trials: 1_000_000 } }));
  add(event);
  add({ kind: 'sweep.submitted', sweepId: 'sweep-1', spec: digest, facts: FACTS });
  for (let n = 1; n <= workers; n++)
    add({
      ...{ kind: 'worker.attached', workerId: `w${n}`, incarnation: 'i', reason: 'dialled' },
      ...{ deviceKind: 'cpu', deviceName: 'cpu', deviceClass: 'cpu', slots: 4, host: 'h', pid: n },
      ...{ version: 'test', metricsEndpoint: '', podUid: '' },
    });
  return {
    get state() {
      edit = new Edit();
      return state;
    },
    events,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    add,
    propose(epochs) {
      const number = proposeTrial(epochs);
      const [trialId, runId] = [`trial-${number}`, `run-${number}`];
      add({ kind: 'trial.attempted', trialId, runId, attempt: 1, reason: 'first attempt' });
      return number;
    },
    past(count) {
      for (let n = 0; n < count; n++) {
        const trialId = `trial-${proposeTrial()}`;
        const objectives = { accuracy: (n % 1_000) / 1_000 };
        add({ kind: 'trial.ended', trialId, state: 'done', reason: 'accuracy', objectives });
      }
    },
    assign(number, workerId) {
      const members = [{ workerId, shardFirst: 0, shardCount: 8 }];
      const placed = { generation: 1, members, deviceClass: 'cpu', reason: 'a free slot' };
      add({ kind: 'run.assigned', runId: `run-${number}`, ...placed });
    },
    finish(number, accuracy) {
      const result = { generation: 1, workerId: 'w1', step: 8, weightsDigest: '00112233' };
      add({ kind: 'run.finished', runId: `run-${number}`, ...result });
      const ended = { state: 'done', reason: 'accuracy', objectives: { accuracy } } as const;
      add({ kind: 'trial.ended', trialId: `trial-${number}`, ...ended });
    },
    fail(number) {
      add({ kind: 'run.failed', runId: `run-${number}`, cause: 'numeric', reason: 'loss is not finite' });
      add({ kind: 'trial.ended', trialId: `trial-${number}`, state: 'failed', reason: 'loss is not finite' });
    },
  };
}

/** A worker with so many GPUs of its own attaches. */
export const ofSeveralDevices = (workerId: string, deviceCount: number): Decided => ({
  ...{ kind: 'worker.attached', workerId, incarnation: 'i', reason: 'dialled', deviceCount },
  ...{ deviceKind: 'cuda', deviceName: 'H200', deviceClass: 'cuda/H200', slots: 4, host: 'h', pid: 1 },
  ...{ version: 'test', metricsEndpoint: '', podUid: '' },
});
