// The decisions of a coordinator without journal, streams or time: groups of inputs go in, and what workers
// would be sent is kept, so that the workers of a benchmark can answer it at once. The one place of the
// benchmark that knows how decisions are called.

import { createDesk } from '../../coordinator/decisions/desk.ts';
import { decideGroup } from '../../coordinator/decisions/group.ts';
import type { Answer, Effect, Input } from '../../coordinator/decisions/inputs.ts';
import type { Event } from '../../coordinator/model/events.ts';
import { entriesOf } from '../../coordinator/model/persistent-map.ts';
import { initialState, type State } from '../../coordinator/model/state.ts';
import { sweep } from '../../test/sim/specs.ts';
import { FACTS } from '../../test/sim/world.ts';
import { connections } from '../../test/support/state.ts';
import { DEVICE_CLASS } from './device-class.ts';

/** A coordinator's state, and the runs that its workers have. */
export interface Decider {
  readonly state: State;
  /** Runs that are assigned now, by worker. */
  readonly busy: ReadonlyMap<string, { readonly runId: string; readonly generation: number }>;
  /** Decides one group, and everything that follows from it. */
  give(...inputs: Input[]): readonly (Answer | undefined)[];
  /** Those since the last call, when they are kept. */
  takeEvents(): readonly Event[];
  /** The worker reports each checkpoint and the end of its run, as it would: one after the other. */
  finish(workerId: string, epochs?: number): void;
}

/** A fleet of idle workers with one slot each. */
export function createDecider(workers: number): Decider {
  let state = initialState;
  let now = 1_000_000;
  let events: Event[] = [];
  let sequence = 0;
  const connected = connections(Array.from({ length: workers }, (_, i) => `w${i}`));
  const desk = createDesk();
  const busy = new Map<string, { runId: string; generation: number }>();

  function perform(effect: Effect): void {
    if (effect.kind !== 'send') return;
    const { workerId, command } = effect;
    if (command.kind === 'assign')
      busy.set(workerId, { runId: command.runId, generation: command.generation });
  }

  function give(...inputs: Input[]): readonly (Answer | undefined)[] {
    now += 1;
    const waiting = inputs.map((input) => ({ input }));
    let group = decideGroup(state, waiting, () => ({ now, connected }), desk);
    const answers = group.decided.map(({ decision }) => decision.answer);
    for (;;) {
      if (group.refused.length > 0) throw group.refused[0]!.error;
      state = group.state;
      events.push(...group.events);
      for (const { decision } of group.decided) for (const effect of decision.effects) perform(effect);
      for (const effect of group.effects) perform(effect);
      if (!group.isUnfinished) return answers;
      group = decideGroup(state, [], () => ({ now, connected }), desk);
    }
  }

  function report(workerId: string, report: Extract<Input, { kind: 'reported' }>['report']): void {
    give({ kind: 'reported', workerId, incarnation: '1', sequence: ++sequence, report });
  }

  const decider: Decider = {
    get state() {
      return state;
    },
    busy,
    give,
    takeEvents() {
      const taken = events;
      events = [];
      return taken;
    },
    finish(workerId, epochs = 1) {
      const run = busy.get(workerId);
      if (run === undefined) throw new Error(`${workerId} has no run`);
      busy.delete(workerId);
      const { runId, generation } = run;
      for (let stage = 1; stage <= epochs; stage++)
        report(workerId, {
          kind: 'checkpointStored',
          ...{ runId, stage, step: 4 * stage, bytes: 3_800_000, digest: hex(sequence, 64) },
          ...{ weightsDigest: hex(sequence, 16), stateDigest: hex(sequence + 1, 16) },
          ledgerDigest: hex(sequence + 2, 64),
        });
      const evaluation = {
        ...{ accuracy: (sequence % 1_000) / 1_000, accuracyStd: 0.0123, auc: 0.8765, eer: 0.2345 },
        ...{ tarAtFar: 0.3456, pairs: 600 },
      };
      const end = { runId, generation, step: 4 * epochs, weightsDigest: hex(sequence, 16), evaluation };
      report(workerId, { kind: 'finished', ...end });
    },
  };
  give({ kind: 'started', version: 'bench' });
  give(
    ...[...entriesOf(connected)].map(([workerId]): Input => ({ kind: 'attached', hello: helloOf(workerId) })),
  );
  return decider;
}

/** Digits that hardly repeat, as those of a digest. */
function hex(number: number, digits: number): string {
  let text = '';
  for (let i = 1; text.length < digits; i++)
    text += (Math.imul(number * 64 + i, 2_654_435_761) >>> 0).toString(16).padStart(8, '0');
  return text.slice(0, digits);
}

/** The hello of a worker with one slot. */
export function helloOf(workerId: string) {
  return {
    ...{ workerId, incarnation: '1', version: 'bench', host: 'bench', pid: 1, slots: 1, leases: [] },
    ...{ deviceKind: 'cpu', deviceName: 'cpu', deviceClass: DEVICE_CLASS, metricsEndpoint: '', podUid: '' },
  };
}

/** A sweep of short trials; `parallelism` 0: as many at once as there are workers. */
export function sweepOf(options: {
  trials: number;
  parallelism?: number;
  epochs?: number;
}): Extract<Input, { kind: 'submit' }> {
  const { trials, parallelism = 0, epochs = 1 } = options;
  const spec = sweep({
    strategy: { trials },
    evaluation: { training: { epochs, batch: 16, shards: 8 } },
    parallelism,
  });
  return { kind: 'submit', documents: [{ kind: 'sweep', spec, facts: FACTS }] };
}
