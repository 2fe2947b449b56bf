// Replays on request: picks a worker of the run's device class, passes its points on as they come, and goes on elsewhere
// from the last finished stage when it is lost. Volatile, like verifications: nothing of it is a decision that must last.

import { randomUUID } from 'node:crypto';
import { FleetError } from '../../core/errors.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { isDeterministic } from '../../core/system/device-class.ts';
import type { ReplayPoint, ReplayRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { runsHeldBy } from '../decisions/gangs.ts';
import { type RunState, runOf, type State, type WorkerState } from '../model/state.ts';
import type { Links } from './links.ts';

export interface Replayer {
  replay(
    run: RunState,
    request: Omit<ReplayRequest, 'runId'>,
    signal: AbortSignal,
  ): AsyncGenerator<ReplayPoint>;
  /** What a worker says; what nobody waits for any more is dropped. */
  answered(
    requestId: string,
    result: { points: readonly ReplayPoint[]; ended: boolean; error: string },
  ): void;
  /** It has a request in hand, which its runs may have to wait for. */
  occupies(workerId: string): boolean;
}

interface Pending {
  readonly workerId: string;
  readonly points: ReplayPoint[];
  ended: boolean;
  failure: FleetError | undefined;
  wake: (() => void) | undefined;
}

/** Workers that one request may use up; each of them died over it or beside it. */
const WORKERS_MAX = 3;
/** Points that wait for a caller that does not read. */
const POINTS_MAX = 10_000;

export function createReplayer(options: { links: Links; state: () => State }): Replayer {
  const { links, state } = options;
  const pending = new Map<string, Pending>();
  links.onDetach((workerId) => {
    for (const waiting of pending.values())
      if (waiting.workerId === workerId)
        end(waiting, new FleetError('unavailable', `${workerId} was lost over the replay`));
  });

  function end(waiting: Pending, failure: FleetError | undefined): void {
    waiting.ended = true;
    waiting.failure ??= failure;
    waiting.wake?.();
  }

  /** Points of one worker until it has ended. */
  async function* ask(
    workerId: string,
    command: Omit<Parameters<Links['send']>[1] & { kind: 'replay' }, 'requestId'>,
    signal: AbortSignal,
  ): AsyncGenerator<ReplayPoint> {
    const requestId = randomUUID();
    const mine: Pending = { workerId, points: [], ended: false, failure: undefined, wake: undefined };
    const onAbort = () => end(mine, new FleetError('cancelled', 'the caller has gone'));
    signal.addEventListener('abort', onAbort, { once: true });
    pending.set(requestId, mine);
    try {
      links.send(workerId, { ...command, requestId });
      for (;;) {
        const point = mine.points.shift();
        if (point !== undefined) yield point;
        else if (mine.failure !== undefined) throw mine.failure;
        else if (mine.ended) return;
        else
          await new Promise<void>((resolve) => {
            mine.wake = resolve;
          });
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      pending.delete(requestId);
      if (!mine.ended || signal.aborted) links.send(workerId, { kind: 'forget', requestId });
    }
  }

  return {
    async *replay(run, request, signal) {
      const range = rangeOf(run, request);
      const tried = new Set<string>();
      const told = { step: -1, stage: range.fromStage };
      for (;;) {
        const worker = chooseWorker(run, tried);
        tried.add(worker.id);
        const command = { kind: 'replay', ...commandOf(state(), run, request), ...range } as const;
        try {
          for await (const point of ask(worker.id, { ...command, fromStage: told.stage }, signal)) {
            // Another worker begins with the last finished stage.
            if (point.step <= told.step) continue;
            told.step = point.step;
            if (point.stage > 0) told.stage = point.stage;
            yield point;
          }
          return;
        } catch (caught) {
          const lost = caught instanceof FleetError && caught.code === 'unavailable';
          if (!lost) throw caught;
          if (tried.size >= WORKERS_MAX)
            throw new FleetError(
              'aborted',
              `${[...tried].join(', ')} were lost over the replay of ${run.id}`,
              {
                cause: caught,
              },
            );
        }
      }
    },
    answered(requestId, { points, ended, error }) {
      const waiting = pending.get(requestId);
      if (waiting === undefined) return;
      waiting.points.push(...points);
      if (error !== '') end(waiting, new FleetError('failedPrecondition', error));
      else if (ended) end(waiting, undefined);
      else if (waiting.points.length > POINTS_MAX)
        end(
          waiting,
          new FleetError('resourceExhausted', 'the caller reads more slowly than steps are replayed'),
        );
      else waiting.wake?.();
    },
    occupies: (workerId) => [...pending.values()].some((waiting) => waiting.workerId === workerId),
  };

  /** Of the run's device class, least loaded first. */
  function chooseWorker(run: RunState, tried: ReadonlySet<string>): WorkerState {
    if (run.deviceClass !== undefined && !isDeterministic(run.deviceClass))
      throw new FleetError(
        'failedPrecondition',
        `${run.id} was computed on ${run.deviceClass}, which gives other bits each time; a replay proves something on devices whose class has deterministic=1`,
      );
    const live = [...state().workers.values()].filter(
      (worker) => worker.state === 'attached' && links.connected.has(worker.id) && !tried.has(worker.id),
    );
    const fitting = live.filter((worker) => worker.deviceClass === run.deviceClass);
    const load = (worker: WorkerState) => runsHeldBy(state(), worker.id).length;
    const [chosen] = fitting.sort((a, b) => load(a) - load(b));
    if (chosen !== undefined) return chosen;
    const classes = [...new Set(live.map((worker) => worker.deviceClass))].join(', ');
    const only = `${run.id} was computed on ${run.deviceClass} and only that device class gives the same bits`;
    if (classes === '')
      throw new FleetError('unavailable', `${only}; no worker is connected, start one and try again`, {
        details: { missing: 'worker' },
      });
    throw new FleetError('failedPrecondition', `${only}; the connected workers are ${classes}`);
  }
}

function rangeOf(
  run: RunState,
  { fromStage, toStage }: { fromStage: number; toStage: number },
): { fromStage: number; toStage: number } {
  const newest = run.checkpoints.at(-1)?.stage ?? 0;
  const refuse = (why: string) => new FleetError('failedPrecondition', `${run.id} ${why}`);
  if (!run.spec.training.exact) throw refuse('was not promised exact bits (training.exact: false)');
  if (newest === 0) throw refuse(`has no checkpoint yet; it is ${run.state}`);
  const to = toStage === 0 ? newest : toStage;
  if (to > newest) throw refuse(`has checkpoints up to stage ${newest}, not ${to}`);
  if (fromStage >= to) throw refuse(`has nothing between stage ${fromStage} and stage ${to} to compute`);
  return { fromStage, toStage: to };
}

function commandOf(state: State, run: RunState, request: { eachStep: boolean }) {
  return {
    runId: run.id,
    specJson: canonicalJson(run.spec),
    eachStep: request.eachStep,
    teacherRunId: run.teacherRunId ?? '',
    teacherStages: run.teacherRunId === undefined ? 0 : runOf(state, run.teacherRunId).spec.training.epochs,
    deviceClass: run.deviceClass ?? '',
  };
}
