// A fleet with a long past, folded from the events that would have made it: a sweep of many trials, and
// beside it a plan with runs of its own. Nothing is trained; the services of the coordinator answer from it
// over real gRPC.

import { createFleetService, type ServiceParts } from '../../../../coordinator/api/service.ts';
import { fleetServiceDefinition } from '../../../../coordinator/api/shared-encoding.ts';
import { createDesk } from '../../../../coordinator/decisions/desk.ts';
import type { Decided, Event } from '../../../../coordinator/model/events.ts';
import type { State } from '../../../../coordinator/model/state.ts';
import { createProgressBoard } from '../../../../coordinator/workers/progress-board.ts';
import { systemClock } from '../../../../core/clock.ts';
import { type GrpcServer, startGrpcServer } from '../../../../core/net/grpc-server.ts';
import { canonicalCode, keyOfCode } from '../../../../core/nn/genotype-code.ts';
import { randomCode } from '../../../../core/nn/random-genotype.ts';
import { OPS } from '../../../../core/spec/network.ts';
import { plan, sweep, teacher } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { accessWith } from '../../../support/access.ts';
import { connections, drawn, folded, recorded } from '../../../support/state.ts';
import { storiesOf } from '../../../support/told.ts';

const costs = { parameters: 1, mflops: 1, multiplyAdds: 1 };

export interface Grown {
  readonly events: readonly Event[];
  readonly state: State;
}

/**
 * `trials` of sweep-1, all done; `cancelled` runs of nobody; 40 plans, the first with a failed teacher, the
 * last run of all.
 */
export function grow(options: {
  readonly trials: number;
  readonly cancelled: number;
  readonly reasonBytes: number;
  readonly yamlBytes: number;
}): Grown {
  const events: Event[] = [];
  let atMs = 1_000;
  const add = (event: Decided) => events.push({ ...event, atMs: atMs++ } as Event);
  const record = (spec: Parameters<typeof recorded>[0]) => {
    const { event, digest } = recorded(spec);
    add(event);
    return digest;
  };
  const space = record(sweep({ name: 'many' }));
  add({ kind: 'sweep.submitted', sweepId: 'sweep-1', spec: space, facts: FACTS });
  const spec = record(teacher({ name: 'many-candidate' }));
  const candidates = randomKeys(options.trials);
  for (let number = 1; number <= options.trials; number++) {
    const [trialId, runId] = [`trial-${number}`, `run-${number}`];
    const proposed = { genotype: candidates[number - 1]!, cursor: drawn(number), costs };
    add({ kind: 'trial.proposed', trialId, sweepId: 'sweep-1', number, ...proposed });
    add({ kind: 'trial.attempted', trialId, runId, attempt: 1, reason: 'first attempt' });
    const weightsDigest = '00112233';
    add({ kind: 'run.finished', runId, generation: 1, workerId: 'w1', step: 8, weightsDigest });
    const objectives = { accuracy: (number % 1_000) / 1_000 };
    add({ kind: 'trial.ended', trialId, state: 'done', reason: 'accuracy', objectives });
  }
  for (let n = 1; n <= options.cancelled; n++) {
    const runId = `run-${options.trials + n}`;
    add({ kind: 'run.created', runId, spec, facts: FACTS, costs, reason: 'submitted' });
    add({ kind: 'run.cancelled', runId, reason: 'by request' });
  }
  const yaml = 'x'.repeat(options.yamlBytes);
  const planSpec = record(plan({ name: 'vast', search: undefined, students: [], export: undefined }));
  for (let n = 1; n <= 40; n++)
    add({ kind: 'plan.submitted', planId: `plan-${n}`, spec: planSpec, yaml, facts: FACTS });
  const runId = `run-${options.trials + options.cancelled + 1}`;
  const own = { spec: record(teacher({ name: 'own' })), facts: FACTS, costs, reason: 'teacher of plan-1' };
  add({ kind: 'run.created', runId, planId: 'plan-1', role: 'teacher', ...own });
  const reason = 'é'.repeat(options.reasonBytes / 2);
  add({ kind: 'run.failed', runId, cause: 'user', reason });
  return { events, state: folded(events) };
}

/** Keys of so many genotypes, all different. */
function randomKeys(count: number): string[] {
  const ops = OPS.filter((op) => op !== 'none');
  const keys = new Set<string>();
  for (let draw = 0; keys.size < count; draw++) keys.add(keyOfCode(canonicalCode(randomCode(ops, 1, draw))));
  return [...keys];
}

const STORE = { kind: 'ok', reason: '', usedBytes: 0, limitBytes: 0, place: '', sinceMs: 0 } as const;

/** A fleet whose state may move on. */
export interface Moving extends Grown {
  /** Called after each change; the returned function ends that. */
  onChange(listener: () => void): () => void;
}

/** The real service on a real port. */
export function serve(fleet: Grown | Moving, token: string): Promise<GrpcServer> {
  const { events } = fleet;
  const driver = {
    get state() {
      return fleet.state;
    },
    onChange: 'onChange' in fleet ? fleet.onChange : () => () => undefined,
  } as unknown as ServiceParts['driver'];
  const journal = {
    sequence: events.length,
    story: storiesOf(events).tell,
  } as unknown as ServiceParts['journal'];
  const parts = {
    ...{ driver, journal, clock: systemClock, progress: createProgressBoard() },
    links: {
      lastSeenMs: () => undefined,
      deviceOf: () => undefined,
      connected: connections(),
    } as unknown as ServiceParts['links'],
    desk: createDesk(),
    onSubmission: () => undefined,
    principalOf: () => undefined,
    store: () => ({ state: STORE, halted: '', blocksDecisions: false }),
  } as unknown as ServiceParts;
  return startGrpcServer({
    listen: '127.0.0.1:0',
    access: accessWith(token),
    services: [{ definition: fleetServiceDefinition, implementation: createFleetService(parts) }],
    healthOf: [],
  });
}
