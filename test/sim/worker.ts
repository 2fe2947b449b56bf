// A worker of the simulation: a small state machine that speaks the protocol's reports and commands. Only the
// training is simulated: a gang advances while every member holds the newest generation, and a checkpoint
// that was stored is there for whoever goes on.

import { PROTOCOL } from '../../core/net/protocol.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { haltedAt, scheduleOf, stageEndingAt, stepsAtStage } from '../../core/spec/schedule.ts';
import type {
  Assign,
  Member,
  Score,
  WorkerCommand,
  WorkerReport,
} from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { CallEnd, CallListener } from './call.ts';
import { numberOfText } from './chance.ts';
import type { Timeline } from './timeline.ts';

type ReportKind = NonNullable<WorkerReport['kind']>;

/** A run that a worker holds, as it was assigned. */
interface Held {
  readonly assign: Assign;
  readonly spec: RunSpec;
  /** Committed steps that this member has. */
  step: number;
  /** Up to which it has reported stages; absent: to none. */
  reportedStage?: number;
}

/** One worker: its processes come and go, its name stays. */
export interface SimWorker {
  readonly id: string;
  readonly alive: boolean;
  readonly held: ReadonlyMap<string, Held>;
  /** Reports that nobody has acknowledged. */
  readonly unacknowledged: number;
  /** Relative to others; a step of a gang takes as long as its slowest member needs. */
  speed: number;
  /** The process is gone at once; it starts again after `downMs` unless that is undefined. */
  kill(downMs?: number): void;
  /** Its stream breaks, and it dials this coordinator of those that live next. */
  redial(place: number): void;
  /** It has got SIGTERM: it gives its runs back, and goes on until it is killed. */
  drain(): void;
}

/** What workers share: each other, and the store of checkpoints. */
export interface Surroundings {
  readonly timeline: Timeline;
  readonly chance: () => number;
  readonly workers: ReadonlyMap<string, SimWorker>;
  /** Steps of the newest stage of each open run. */
  readonly stored: Map<string, number>;
  /** The step within a stage that a pause of each open run has stored last. */
  readonly pausedSteps: Map<string, number>;
  /** A gang has computed this step of a run. */
  readonly onStep: (runId: string, step: number) => void;
  /** Opens a stream to a coordinator, the one that leads if the worker can find it; undefined: there is none. */
  readonly dial: (attempt: number, listener: CallListener) => CallEnd | undefined;
  readonly heartbeatIntervalMs: number;
  /** Milliseconds that a gang of equal workers needs for a step. */
  readonly stepMs: number;
  /** Share of a step by which chance makes it shorter or longer, 0 to 1. */
  readonly stepSpread: number;
}

/** A run of this name takes down each process that begins to compute it. */
export const POISON = 'poison';
/** Images of each data set. */
export const IMAGES = 64;
const REDIAL_MS = 50;
/** How much one measurement weighs in a smoothed speed. */
const SMOOTHING = 0.04;
/** A stream on which nothing has come for as long, milliseconds: the peer is gone. */
const WELCOME_MS = 3_000;

/** Starts a worker; it dials at once. */
export function startWorker(
  options: { id: string; slots: number; deviceClass: string; speed: number },
  around: Surroundings,
): SimWorker {
  const { timeline, chance, workers, stored, pausedSteps } = around;
  const { id } = options;
  let incarnation = 1;
  let alive = true;
  let draining = false;
  let stream: CallEnd | undefined;
  let welcomed = false;
  let attempt = 0;
  /** Streams that were opened. */
  let dials = 0;
  let sequence = 0;
  let measured = options.speed;
  const held = new Map<string, Held>();
  const unacknowledged = new Map<number, ReportKind>();

  const worker: SimWorker = {
    id,
    get alive() {
      return alive;
    },
    held,
    get unacknowledged() {
      return unacknowledged.size;
    },
    speed: options.speed,
    kill(downMs) {
      if (!alive) return;
      alive = false;
      stream?.hangUp();
      stream = undefined;
      held.clear();
      unacknowledged.clear();
      if (downMs !== undefined) timeline.later(downMs, start);
    },
    redial(place) {
      stream?.hangUp();
      stream = undefined;
      attempt = place;
      dial();
    },
    drain() {
      if (!alive || draining) return;
      draining = true;
      report({ $case: 'draining', value: {} });
    },
  };

  /** Runs something later, unless the process that planned it is gone by then. */
  function later(ms: number, action: () => void): void {
    const mine = incarnation;
    timeline.later(ms, () => {
      if (alive && incarnation === mine) action();
    });
  }

  function start(): void {
    alive = true;
    draining = false;
    incarnation += 1;
    sequence = 0;
    dial();
  }

  function dial(): void {
    later(REDIAL_MS + Math.floor(50 * chance()), () => {
      if (stream !== undefined) return;
      welcomed = false;
      const mine = around.dial(attempt++, {
        received: (command) => {
          if (stream === mine) receive(command);
        },
        ended() {
          if (stream !== mine) return;
          stream = undefined;
          if (alive) dial();
        },
      });
      stream = mine;
      if (mine === undefined) return dial();
      mine.send({ sequence: 0, kind: { $case: 'hello', value: hello() } });
      awaitWelcome();
    });
  }

  /** Keeps no stream: while nobody leads, each worker tries tens of them in this time. */
  function awaitWelcome(): void {
    dials += 1;
    const dialled = dials;
    later(WELCOME_MS, () => {
      if (dials !== dialled || stream === undefined || welcomed) return;
      stream.hangUp();
      stream = undefined;
      dial();
    });
  }

  function hello() {
    return {
      fleet: '',
      ...{ workerId: id, incarnation: String(incarnation), version: 'sim', host: 'sim', pid: incarnation },
      device: {
        ...{ kind: 'cpu', name: 'cpu', deviceClass: options.deviceClass, tensorflowVersion: '' },
        ...{ threads: 1, memoryBytes: 0, gpu: undefined, devices: [] },
      },
      ...{
        slots: options.slots,
        leases: leases(),
        metricsEndpoint: '',
        podUid: '',
        labels: {},
        protocol: PROTOCOL,
      },
    };
  }

  function leases() {
    return [...held.values()].map(({ assign: { runId, generation }, step }) => ({
      ...{ runId, generation, step, inExchange: true, suspects: [] },
      imagesPerSecond: measured,
    }));
  }

  /** A report that is repeated on each stream until it is acknowledged. */
  function report(kind: ReportKind): void {
    sequence += 1;
    unacknowledged.set(sequence, kind);
    if (welcomed) stream?.send({ sequence, kind });
  }

  function receive({ kind }: WorkerCommand): void {
    switch (kind?.$case) {
      case 'welcome':
        welcomed = true;
        for (const [number, open] of unacknowledged) stream?.send({ sequence: number, kind: open });
        beat(stream);
        return;
      case 'acknowledge':
        unacknowledged.delete(kind.value.sequence);
        return;
      case 'release':
        held.delete(kind.value.runId);
        return;
      case 'assign':
        take(kind.value);
        return;
      case 'score':
        score(kind.value);
    }
  }

  /** A score follows from the network alone; each takes as long as a step. */
  function score({ requestId, networksJson }: Score): void {
    networksJson.forEach((network, place) => {
      later(around.stepMs * (place + 1), () => {
        const networks = [{ place, values: [numberOfText(network) % 1000], reason: '' }];
        const ended = place === networksJson.length - 1;
        report({ $case: 'scoreResult', value: { requestId, networks, ended, error: '' } });
      });
    });
  }

  /** Speeds are right within a third, and reports are smoothed as real ones are. */
  function beat(mine: CallEnd | undefined): void {
    if (stream !== mine) return;
    measured += (worker.speed * (0.7 + 0.6 * chance()) - measured) * SMOOTHING;
    mine?.send({ sequence: 0, kind: { $case: 'heartbeat', value: { leases: leases() } } });
    for (const { assign, step } of held.values())
      if (assign.members[0]?.workerId === id && step > 0) mine?.send(progressOf(assign, step));
    later(around.heartbeatIntervalMs, () => beat(mine));
  }

  function take(assign: Assign): void {
    const { runId, generation, members } = assign;
    const old = held.get(runId);
    if (old !== undefined && old.assign.generation >= generation) return;
    const spec = JSON.parse(assign.specJson) as RunSpec;
    // What a pause has stored is found by its name alone, which the assignment has.
    const paused = pausedSteps.get(runId) === assign.pausedStep ? assign.pausedStep : undefined;
    held.set(runId, { assign, spec, step: old?.step ?? paused ?? 0 });
    if (spec.name === POISON) later(300, () => held.has(runId) && worker.kill(1_500));
    else if (members[0]!.workerId === id) train(runId, generation);
  }

  /** Rank 0 advances the run and reports for its gang. */
  function train(runId: string, generation: number): void {
    const members = held.get(runId)?.assign.members ?? [];
    const ms = around.stepMs * (1 + around.stepSpread * (2 * chance() - 1));
    later(ms * stepsOf(members, (other) => workers.get(other)?.speed ?? 1), () => {
      const mine = held.get(runId);
      if (mine?.assign.generation !== generation) return;
      const gang = members.map(({ workerId }) => workers.get(workerId)?.held.get(runId));
      const complete = gang.every((member) => member?.assign.generation === generation);
      if (complete && mine.assign.pauses && pauses(runId, mine, gang as Held[])) return;
      if (complete && advance(runId, mine, gang as Held[])) return;
      train(runId, generation);
    });
  }

  /** The gang stores the newest step that it has; false when that is the last, after which the run ends. */
  function pauses(runId: string, mine: Held, gang: readonly Held[]): boolean {
    const schedule = haltedAt(scheduleOf(mine.spec.training, IMAGES), mine.assign.haltStage);
    const step = Math.max(stored.get(runId) ?? 0, ...gang.map((member) => member.step));
    if (step >= schedule.stepsTotal) return false;
    for (const member of gang) member.step = step;
    const { generation } = mine.assign;
    const digest = `${runId}-s${step}`;
    const digests = { digest, weightsDigest: digest, stateDigest: digest, ledgerDigest: digest };
    const isStage = step === 0 || stageEndingAt(schedule, step) > 0;
    if (!isStage) pausedSteps.set(runId, step);
    report({
      $case: 'paused',
      value: { runId, generation, step, stored: isStage ? undefined : { bytes: 1, ...digests } },
    });
    return true;
  }

  function reportStored({ assign, spec }: Held, at: { readonly stage: number; readonly step: number }): void {
    const { runId, generation, evaluateStages } = assign;
    const evaluation = evaluateStages.includes(at.stage) ? evaluationOf(spec, at.stage) : undefined;
    const value = { runId, generation, ...at, bytes: 1, digest: `${runId}-${at.stage}`, evaluation };
    report({ $case: 'checkpointStored', value });
  }

  /** One more step of a run; true when it was the last. */
  function advance(runId: string, mine: Held, gang: readonly Held[]): boolean {
    const { haltStage } = mine.assign;
    const schedule = haltedAt(scheduleOf(mine.spec.training, IMAGES), haltStage);
    const newest = Math.max(stored.get(runId) ?? 0, ...gang.map(({ step }) => step));
    const step = Math.min(newest + 1, schedule.stepsTotal);
    for (const member of gang) member.step = step;
    around.onStep(runId, step);
    const { generation } = mine.assign;
    for (let stage = 1; stage <= (haltStage ?? mine.spec.training.epochs); stage++) {
      if (stepsAtStage(schedule, stage) !== step) continue;
      stored.set(runId, step);
      // What an earlier rank 0 has stored and perhaps not reported comes first.
      for (let at = (mine.reportedStage ?? 0) + 1; at <= stage; at++)
        reportStored(mine, { stage: at, step: stepsAtStage(schedule, at) });
      mine.reportedStage = stage;
    }
    if (step < schedule.stepsTotal) return false;
    const evaluation = evaluationOf(mine.spec, haltStage);
    const value = { runId, generation, step, weightsDigest: runId, evaluation };
    const isHalt = haltStage !== undefined && haltStage < mine.spec.training.epochs;
    report(
      isHalt ? { $case: 'halted', value: { ...value, stage: haltStage } } : { $case: 'finished', value },
    );
    return true;
  }

  dial();
  return worker;
}

/** Of a step of a gang, in steps of a gang of equal workers: as long as its slowest member needs. */
function stepsOf(members: readonly Member[], speedOf: (workerId: string) => number): number {
  const shards = members.reduce((sum, { shardCount }) => sum + shardCount, 0);
  const share = ({ workerId, shardCount }: Member) => shardCount / speedOf(workerId) / shards;
  return Math.max(0.025, ...members.map((member) => members.length * share(member)));
}

/**
 * It depends on the network and the epochs alone, as a trained one does, whoever has trained it: better with more
 * epochs, all or those up to a halt.
 */
function evaluationOf({ network, training }: RunSpec, epochs = training.epochs) {
  const accuracy = 0.5 + (numberOfText(JSON.stringify(network)) % 1000) / 2500 - 0.1 / (1 + epochs);
  return {
    ...{ accuracy, accuracyStd: 0, auc: 0.5, eer: 0.5, tarAtFar: 0, pairs: 20 },
    accuracyUntrained: Number.NaN,
  };
}

function progressOf({ runId, generation }: Assign, step: number): WorkerReport {
  const point = {
    ...{ step, epoch: 0, loss: 1, lossArcface: 1, lossKd: Number.NaN, learningRate: 0.1, gradientNorm: 1 },
    ...{ imagesPerSecond: 1, atMs: 0 },
  };
  return {
    sequence: 0,
    kind: {
      $case: 'progress',
      value: { runId, generation, point, waitingForStage: 0, openRoundSteps: 0 },
    },
  };
}
