// A fleet by hand for tests of placing: the real core, and workers that do only what a test has them do.

import { step } from '../../coordinator/decisions/decide.ts';
import { createDesk, renewSlice } from '../../coordinator/decisions/desk.ts';
import type { CheckedDocument, Input, WorkerHello } from '../../coordinator/decisions/inputs.ts';
import { sentenceOf } from '../../coordinator/journal/why.ts';
import type { Event } from '../../coordinator/model/events.ts';
import type { Jump, Observed } from '../../coordinator/model/observed.ts';
import { specOf } from '../../coordinator/model/spec-of.ts';
import { initialState, runOf, type State } from '../../coordinator/model/state.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { WhyRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { FACTS } from '../sim/world.ts';
import { connections, waitsIn, wholeRuns } from './state.ts';
import { whyTexts } from './why.ts';

/** A fleet by hand: every input one millisecond after the last. */
export function handFleet(...workers: Partial<WorkerHello>[]) {
  let state: State = initialState;
  let now = 0;
  let jump: Jump | undefined;
  const connected = new Set<string>();
  /** As each worker came last: it comes back the same. */
  const hellos = new Map<string, WorkerHello>();
  const living = new Map<string, string>();
  const steps = new Map<string, number>();
  const speeds = new Map<string, number>();
  const desk = createDesk();
  const events: Event[] = [];
  const observed = (): Observed => ({
    ...{ now, jump, connected: connections(connected), stepOf: (id: string) => steps.get(id) },
    speedOf: (id, workerId) => speeds.get(`${id} ${workerId}`),
  });
  const give = (input: Input) => {
    now += 1;
    renewSlice(desk);
    const decision = step(state, input, observed(), desk);
    state = decision.state;
    events.push(...decision.events);
    return decision;
  };
  const attach = (worker: Partial<WorkerHello>) => {
    const before = hellos.get(worker.workerId ?? '');
    const hello: WorkerHello = {
      workerId: `w${connected.size + 1}`,
      incarnation: 'i',
      version: '',
      host: '',
      pid: 1,
      deviceKind: 'cpu',
      deviceName: 'cpu',
      deviceClass: 'cpu',
      slots: 1,
      leases: [],
      metricsEndpoint: '',
      podUid: '',
      ...before,
      ...worker,
    };
    hellos.set(hello.workerId, hello);
    connected.add(hello.workerId);
    living.set(hello.workerId, hello.incarnation);
    return give({ kind: 'attached', hello });
  };
  for (const worker of workers) attach(worker);
  return {
    give,
    attach,
    /** The process ends and starts again; `heldMs`: how long it lived after the last input. */
    crash(workerId: string, heldMs = 1000) {
      now += heldMs;
      const incarnation = crypto.randomUUID();
      give({
        kind: 'lost',
        cause: 'silent',
        workerId,
        incarnation: living.get(workerId)!,
        reason: 'test',
        goneAtMs: now,
      });
      attach({ workerId, incarnation });
    },
    progress: (id: string, committed: number) => void steps.set(id, committed),
    /** Images a second that a worker computes for a run. */
    measure: (id: string, workerId: string, speed: number) => void speeds.set(`${id} ${workerId}`, speed),
    held: (workerId: string) =>
      wholeRuns(state)
        .filter((run) => run.gang.some((m) => m.workerId === workerId))
        .map(({ id }) => id),
    submit(spec: RunSpec | SweepSpec | PlanSpec, owner?: string): string {
      const document = {
        kind: spec.kind === 'sweep' || spec.kind === 'plan' ? spec.kind : 'run',
        spec,
        yaml: '',
        facts: FACTS,
      };
      const by = owner === undefined ? {} : { by: { name: owner, role: 'user', fingerprint: owner } };
      const { answer } = give({ kind: 'submit', documents: [document as CheckedDocument], ...by });
      if (answer?.kind !== 'submitted') return '';
      return [...answer.runIds, ...answer.sweepIds, ...answer.planIds][0]!;
    },
    /** Time passes, and nobody looks. */
    wait(ms: number) {
      now += ms;
    },
    /** The clock is set ahead, which the coordinator sees. */
    jump(ms: number) {
      jump = { fromMs: now, toMs: now + ms, reason: 'test' };
      now += ms;
      give({ kind: 'tick' });
    },
    /** What the journal says of jumps. */
    jumps: () => events.flatMap((event) => (event.kind === 'clock.jumped' ? [sentenceOf(event, state)] : [])),
    now: () => now,
    state: () => state,
    /** All that was decided so far. */
    events: (): readonly Event[] => events,
    /** What `why` says of an id, the queue or a gang, a line each. */
    why: (request: Partial<WhyRequest>) => whyTexts({ state, observed: observed(), events }, request),
    pass(ms: number) {
      now += ms;
      return give({ kind: 'tick' });
    },
    report(workerId: string, report: Extract<Input, { kind: 'reported' }>['report']) {
      return give({ kind: 'reported', workerId, incarnation: 'i', sequence: 1, report });
    },
    gang: (id: string) => runOf(state, id).gang.map((member) => member.workerId),
    run: (id: string) => runOf(state, id),
    specOf: (id: string) => specOf(state, runOf(state, id)),
    reason: (id: string) => waitsIn(state, observed()).of(id)?.reason ?? '',
    kind: (id: string) => waitsIn(state, observed()).of(id)?.kind,
  };
}
