// A whole fleet in one thread under a fake clock: the real core, the real links, simulated workers and a
// network with seeded delays. Workers die, come back and drain at seeded times; the coordinator is killed
// between any two of its messages. Only the training is simulated: a gang advances while every member holds
// the newest generation.

import { pino } from 'pino';
import { type Decision, step } from '../../coordinator/decisions/decide.ts';
import type { Command, Effect, Input, Report, WorkerHello } from '../../coordinator/decisions/inputs.ts';
import type { Event } from '../../coordinator/model/events.ts';
import { evolve } from '../../coordinator/model/evolve.ts';
import { initialState, type Member, runOf, type State } from '../../coordinator/model/state.ts';
import { createLinks, type Links, type Stream } from '../../coordinator/workers/links.ts';
import type { Clock } from '../../core/clock.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { scheduleOf, stepsAtStage } from '../../core/spec/schedule.ts';

export const LIMITS = { heartbeatIntervalMs: 500, heartbeatsMissedMax: 10, reattachGraceMs: 15_000 };

/** A run that a worker holds, as it was assigned. */
interface Held {
  readonly generation: number;
  readonly spec: RunSpec;
  readonly members: readonly Member[];
}

export interface SimWorker {
  readonly id: string;
  /** Counts the starts of its process. */
  incarnation: number;
  alive: boolean;
  readonly slots: number;
  readonly deviceClass: string;
  stream: Stream | undefined;
  readonly held: Map<string, Held>;
  /** Reports by sequence that are repeated at each dial until they are acknowledged. */
  readonly unacknowledged: Map<number, Report>;
  /** Of the newest report. */
  sequence: number;
  draining: boolean;
  /** Relative to others; a step of a gang takes as long as its slowest member. */
  speed: number;
}

export interface World {
  readonly events: Event[];
  readonly workers: Map<string, SimWorker>;
  readonly random: () => number;
  state: State;
  now(): number;
  /** Runs `action` at a time; the order of equal times is that of the calls. */
  at(ms: number, action: () => void): void;
  submit(input: Input): Decision;
  addWorker(id: string, options?: { slots?: number; deviceClass?: string; speed?: number }): void;
  /** The process is gone at once; it starts again after `downMs` unless that is undefined. */
  kill(id: string, downMs?: number): void;
  drain(id: string): void;
  /** Everything that was not yet sent is lost; a new one folds the journal. */
  restartCoordinator(downMs: number): void;
  /** Lets time pass until `done` holds; throws after `limitMs` of fake time. */
  runUntil(done: () => boolean, limitMs: number): void;
  /** Called after each event, with the state before and after it. */
  onEvent: (event: Event, before: State, after: State) => void;
}

/** Milliseconds that a gang of equal workers needs for a step, whatever its size. */
const STEP_MS = 40;
const TICK_MS = 200;
/** How much one measurement weighs in a smoothed speed: a tick's part of five seconds. */
const SMOOTHING = TICK_MS / 5_000;
/** A run of this name takes down each process that begins to compute it. */
export const POISON = 'poison';
const IMAGES = 64;

export function createWorld(seed: number): World {
  const { clock, at, runUntil } = createTimeline(seed);
  const { now } = clock;
  const random = mulberry(seed);
  const noise = mulberry(seed + 1);
  const log = pino({ level: 'silent' });
  const progress = new Map<string, number>();
  const measured = new Map<string, number>();
  let links = createLinks({ clock, log, limits: LIMITS });
  /** Counts the coordinators; what an older one still had to do is void. */
  let life = 0;
  let up = true;

  const world: World = {
    events: [],
    workers: new Map(),
    random,
    state: initialState,
    now,
    onEvent: () => undefined,
    at,
    runUntil,
    submit,
    addWorker(id, options = {}) {
      const worker: SimWorker = {
        id,
        incarnation: 1,
        alive: true,
        slots: options.slots ?? 2,
        deviceClass: options.deviceClass ?? 'cpu',
        stream: undefined,
        held: new Map(),
        unacknowledged: new Map(),
        sequence: 0,
        draining: false,
        speed: options.speed ?? 1,
      };
      world.workers.set(id, worker);
      dial(worker);
    },
    kill(id, downMs) {
      const worker = world.workers.get(id)!;
      if (!worker.alive) return;
      worker.alive = false;
      hangUp(worker);
      worker.held.clear();
      worker.unacknowledged.clear();
      if (downMs === undefined) return;
      world.at(now() + downMs, () => {
        Object.assign(worker, { alive: true, draining: false });
        worker.incarnation += 1;
        dial(worker);
      });
    },
    drain(id) {
      const worker = world.workers.get(id)!;
      if (!worker.alive || worker.draining) return;
      worker.draining = true;
      send(worker, { kind: 'draining' });
    },
    restartCoordinator(downMs) {
      life += 1;
      up = false;
      for (const worker of world.workers.values()) worker.stream = undefined;
      world.at(now() + downMs, () => {
        up = true;
        world.state = world.events.reduce(evolve, initialState);
        links = createLinks({ clock, log, limits: LIMITS });
        submit({ kind: 'started', version: 'sim' });
        links.expect(world.state.workers);
        for (const worker of world.workers.values()) if (worker.alive) dial(worker);
      });
    },
  };

  /**
   * The speed that a worker reports: each measurement is right within a third, and reports are smoothed as
   * real ones are.
   */
  function measuredSpeed(workerId: string): number | undefined {
    const worker = world.workers.get(workerId);
    return worker?.stream === undefined ? undefined : measured.get(workerId);
  }

  function measure(worker: SimWorker): void {
    const sample = worker.speed * (0.7 + 0.6 * noise());
    const before = measured.get(worker.id);
    measured.set(worker.id, before === undefined ? worker.speed : before + (sample - before) * SMOOTHING);
  }

  function delay(): number {
    return 1 + Math.floor(random() * 15);
  }

  function submit(input: Input): Decision {
    const decision = step(world.state, input, {
      now: now(),
      connected: links.connected,
      stepOf: (runId) => progress.get(runId),
      speedOf: (_, workerId) => measuredSpeed(workerId),
    });
    for (const event of decision.events) {
      const before = world.state;
      world.state = evolve(world.state, event);
      world.events.push(event);
      world.onEvent(event, before, world.state);
    }
    // A disk sync lies between a decision and its effects, and a kill may fall into it.
    const mine = life;
    world.at(now() + 2, () => {
      if (life === mine) for (const effect of decision.effects) perform(links, effect);
    });
    return decision;
  }

  function dial(worker: SimWorker): void {
    const { incarnation } = worker;
    world.at(now() + 50 + delay(), () => {
      if (!worker.alive || worker.incarnation !== incarnation || worker.stream !== undefined) return;
      if (!up) return dial(worker);
      const stream: Stream = {
        send: (command) => world.at(now() + delay(), () => receive(worker, stream, command as Command)),
        end: () => {
          if (worker.stream !== stream) return;
          worker.stream = undefined;
          if (worker.alive) dial(worker);
        },
      };
      worker.stream = stream;
      const hello = helloOf(worker);
      const goneAtMs = links.attach(hello, stream);
      submit({ kind: 'attached', hello, ...(goneAtMs === undefined ? {} : { goneAtMs }) });
      for (const [sequence, report] of worker.unacknowledged) deliver(worker, sequence, report);
    });
  }

  function hangUp(worker: SimWorker): void {
    const { stream } = worker;
    worker.stream = undefined;
    if (stream && up) links.detach(worker.id, stream);
  }

  function send(worker: SimWorker, report: Report): void {
    worker.sequence += 1;
    worker.unacknowledged.set(worker.sequence, report);
    deliver(worker, worker.sequence, report);
  }

  function deliver(worker: SimWorker, sequence: number, report: Report): void {
    const { stream } = worker;
    const mine = life;
    const incarnation = String(worker.incarnation);
    world.at(now() + delay(), () => {
      if (stream === undefined || worker.stream !== stream || life !== mine || !up) return;
      links.seen(worker.id, stream);
      if (report.kind === 'draining') links.draining(worker.id);
      submit({ kind: 'reported', workerId: worker.id, incarnation, sequence, report });
    });
  }

  function receive(worker: SimWorker, stream: Stream, command: Command): void {
    if (worker.stream !== stream || !worker.alive) return;
    if (command.kind === 'acknowledge') worker.unacknowledged.delete(command.sequence);
    if (command.kind === 'release') worker.held.delete(command.runId);
    if (command.kind === 'assign') {
      const { runId, generation, spec, members } = command;
      const old = worker.held.get(runId);
      if (old && old.generation >= generation) return;
      worker.held.set(runId, { generation, spec, members });
      if (spec.name === POISON) world.at(now() + 300, () => crash(worker, runId));
      else if (members[0]!.workerId === worker.id) train(worker, runId, generation);
    }
  }

  /** A kernel that crashes takes its process along, and the supervisor starts it again. */
  function crash(worker: SimWorker, runId: string): void {
    if (worker.held.has(runId)) world.kill(worker.id, 1_500);
  }

  /** Rank 0 advances the run and reports for its gang. */
  function train(worker: SimWorker, runId: string, generation: number): void {
    const { incarnation } = worker;
    const members = worker.held.get(runId)?.members ?? [];
    world.at(now() + stepMs(members, (id) => world.workers.get(id)?.speed ?? 1), () => {
      const held = worker.held.get(runId);
      if (!worker.alive || worker.incarnation !== incarnation || held?.generation !== generation) return;
      const complete = held.members.every(
        ({ workerId }) => world.workers.get(workerId)?.held.get(runId)?.generation === generation,
      );
      if (complete && advance(worker, runId, held)) return;
      train(worker, runId, generation);
    });
  }

  /** One more step of a run; true when it was the last. */
  function advance(worker: SimWorker, runId: string, held: Held): boolean {
    const schedule = scheduleOf(held.spec.training, IMAGES);
    const known = world.state.runs.size > 0 ? runOf(world.state, runId).checkpoints.at(-1) : undefined;
    const steps = Math.max(progress.get(runId) ?? 0, known?.step ?? 0) + 1;
    progress.set(runId, Math.min(steps, schedule.stepsTotal));
    for (const report of reportsAt(steps, runId, held)) send(worker, report);
    return steps >= schedule.stepsTotal;
  }

  function tick(): void {
    for (const worker of world.workers.values()) measure(worker);
    if (up) {
      for (const worker of world.workers.values()) if (worker.stream) links.seen(worker.id, worker.stream);
      for (const lost of links.judge()) submit({ kind: 'lost', ...lost });
      submit({ kind: 'tick' });
    }
    world.at(now() + TICK_MS, tick);
  }

  submit({ kind: 'started', version: 'sim' });
  world.at(now(), tick);
  return world;
}

export const FACTS = { trainingImages: IMAGES, classes: 8, heldOutImages: 20, heldOutIdentities: 4 };

/**
 * The fake clock, and what happens when on it. Actions of equal times run in the order in which they were
 * planned.
 */
function createTimeline(seed: number) {
  let now = 1_000_000;
  const queue: { ms: number; action: () => void }[] = [];
  const clock: Clock = { now: () => now, monotonic: () => now, sleep: () => Promise.resolve() };
  return {
    clock,
    at(ms: number, action: () => void): void {
      // Nearly everything happens soon: looking for the place from the end of a sorted list is short enough.
      let place = queue.length;
      while (place > 0 && queue[place - 1]!.ms > ms) place -= 1;
      queue.splice(place, 0, { ms, action });
    },
    runUntil(done: () => boolean, limitMs: number): void {
      const end = now + limitMs;
      while (!done()) {
        const next = queue.shift();
        if (next === undefined || next.ms > end)
          throw new Error(`nothing was done after ${limitMs} ms of fake time (seed ${seed})`);
        now = Math.max(now, next.ms);
        next.action();
      }
    },
  };
}

function helloOf({ id, incarnation, deviceClass, slots, held }: SimWorker): WorkerHello {
  const leases = [...held].map(([runId, { generation }]) => ({ runId, generation }));
  return {
    ...{ workerId: id, incarnation: String(incarnation), version: 'sim', host: 'sim', pid: incarnation },
    ...{ deviceKind: 'cpu', deviceName: 'cpu', deviceClass, slots, leases, metricsEndpoint: '', podUid: '' },
  };
}

/** How long a step of a gang takes: as long as its slowest member needs for its shards. */
function stepMs(members: readonly Member[], speedOf: (workerId: string) => number): number {
  const shards = members.reduce((sum, { shardCount }) => sum + shardCount, 0);
  const share = ({ workerId, shardCount }: Member) => shardCount / speedOf(workerId) / shards;
  return Math.max(1, ...members.map((member) => STEP_MS * members.length * share(member)));
}

/**
 * What rank 0 reports when `steps` are committed: a checkpoint at the end of a stage, and the end of the run.
 */
function reportsAt(steps: number, runId: string, { spec, generation }: Held): Report[] {
  const schedule = scheduleOf(spec.training, IMAGES);
  const reports: Report[] = [];
  for (let stage = 1; stage <= spec.training.epochs; stage++)
    if (stepsAtStage(schedule, stage) === steps)
      reports.push({
        kind: 'checkpointStored',
        ...{ runId, stage, step: steps, bytes: 1, digest: `${runId}.${stage}` },
      });
  if (steps < schedule.stepsTotal) return reports;
  const accuracy = 0.5 + (hash(`${runId}${spec.name}`) % 1000) / 2500;
  const evaluation = { accuracy, accuracyStd: 0, auc: 0.5, eer: 0.5, tarAtFar: 0, pairs: 20 };
  return [...reports, { kind: 'finished', runId, generation, step: steps, weightsDigest: runId, evaluation }];
}

function perform(links: Links, effect: Effect): void {
  if (effect.kind === 'send') links.send(effect.workerId, effect.command);
  else links.disconnect(effect.workerId, effect.incarnation, 'lost');
}

function hash(text: string): number {
  let value = 7;
  for (let i = 0; i < text.length; i++) value = (Math.imul(value, 31) + text.charCodeAt(i)) >>> 0;
  return value;
}

/**
 * Seeded chance for faults; not the generator of the product, so that neither can hide a fault of the other.
 */
function mulberry(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
