// A simulated fleet: real coordinators upon a fake clock and an in-memory broker, with workers that only
// pretend to train. Workers, coordinators and appends fail at seeded times; supervisors start again what has
// died. What is true is what the witness at the broker has seen.

import assert from 'node:assert/strict';
import type { Answer, Input } from '../../coordinator/decisions/inputs.ts';
import type { Event } from '../../coordinator/model/events.ts';
import { evolve } from '../../coordinator/model/evolve.ts';
import { initialState } from '../../coordinator/model/state.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { plainOf } from '../support/state.ts';
import { type AppendFate, type Broker, createBroker } from './broker.ts';
import { type CallEnd, type CallListener, openCall } from './call.ts';
import { chanceOf } from './chance.ts';
import { type Limits, type SimCoordinator, startCoordinator } from './coordinator.ts';
import { createHost } from './host.ts';
import { createHoldWatch, createIdleWatch, createLeadWatch } from './invariants.ts';
import { createStepWatch } from './step-watch.ts';
import { createTimeline } from './timeline.ts';
import { createWitness, type Witness } from './witness.ts';
import { IMAGES, type SimWorker, type Surroundings, startWorker } from './worker.ts';

export const LIMITS: Limits = {
  ...{ heartbeatIntervalMs: 500, heartbeatsMissedMax: 10, reattachGraceMs: 15_000, tickMs: 200 },
};

/** Of the data set of every spec. */
export const FACTS = { trainingImages: IMAGES, classes: 8, heldOutImages: 20, heldOutIdentities: 4 };

/** Turns of the event loop after which a coordinator that still computes is stuck. */
const TURNS_MAX = 100_000;
/** Turns that a coordinator may let pass between two slices of one decision. */
const TURNS_MIN = 2;
/** How long a peer that stands still keeps its connections, milliseconds: keep-alive pings end them. */
const KEEPALIVE_MS = 15_000;
const FOUND_AGAIN_MS = 100;

/** Everything that a scenario has. */
export interface World {
  /** As they were stored. Empty without `keepEvents`. */
  readonly events: readonly Event[];
  readonly witness: Witness;
  readonly broker: Broker;
  readonly workers: ReadonlyMap<string, SimWorker>;
  readonly chance: () => number;
  /** Those that live, in the order of their places. */
  readonly coordinators: readonly SimCoordinator[];
  /** The one that leads, if one does. */
  readonly leader: SimCoordinator | undefined;
  now(): number;
  /** Runs `action` `ms` from now. */
  later(ms: number, action: () => void): void;
  /** Gives an input to the leader and lets time pass until it was taken; asks again while there is none. */
  call(input: Input): Promise<Answer | undefined>;
  /** As `call`, without asking again: rejects when there is no leader, or it dies over it. */
  callOnce(input: Input): Promise<Answer | undefined>;
  addWorker(id: string, options?: { slots?: number; deviceClass?: string; speed?: number }): void;
  /** kill -9 of the process in this place; its supervisor starts another one after `downMs`. */
  killCoordinator(place: number, downMs: number): void;
  /** Places for coordinators. */
  readonly places: number;
  /** The wall clock of the machine of this place jumps. */
  jumpClock(place: number, byMs: number): void;
  /** Throws unless the state of the leader is the fold of what is stored. */
  checkFold(): void;
  /** SIGSTOP, and SIGCONT after a while. */
  stopCoordinator(place: number, ms: number): void;
  /** Nothing passes between the process in this place and the broker for a while. */
  cutCoordinator(place: number, ms: number): void;
  /** Lets time pass until `done` holds; throws after `limitMs` of fake time. */
  runUntil(done: () => boolean, limitMs: number): Promise<void>;
  /** Steps within a stage that gangs have stored by pausing. */
  readonly pausedWithinStage: number;
  /** Called with each event when it is stored. */
  onEvent: (event: Event) => void;
  /** As `Broker.fate`; how long a process that it kills stays away is drawn. */
  fate: (process: string, part: number) => AppendFate;
}

/** Starts the coordinators; the first reads the journal when time passes. */
export function createWorld(options: {
  readonly seed: number;
  readonly coordinators?: number;
  readonly limits?: Partial<Limits>;
  readonly stepMs?: number;
  readonly stepSpread?: number;
  /** Events that a message of the journal may have. */
  readonly groupEventsMax?: number;
  /** As `Parts.snapshotEvents` of a coordinator. */
  readonly snapshotEvents?: number;
  /** false: events are not kept, and the witness folds nothing, so that its memory does not grow. */
  readonly keepEvents?: boolean;
}): World {
  const { seed, groupEventsMax = 40, keepEvents = true } = options;
  const limits = { ...LIMITS, ...options.limits };
  const timeline = createTimeline(`seed ${seed}`);
  const chance = chanceOf(seed);
  const noise = chanceOf(seed + 1);
  const broker = createBroker();
  const places: (SimCoordinator | undefined)[] = [];
  const workers = new Map<string, SimWorker>();
  const stored = new Map<string, number>();
  const pausedSteps = new Map<string, number>();
  const events: Event[] = [];
  /** Streams to each process, so that they end with it. */
  const streams = new Map<SimCoordinator, Set<() => void>>();
  /** Of the machines, by place. */
  const wallOffsetsMs: number[] = [];
  let starts = 0;
  let stirred = false;

  const steps = createStepWatch();
  const onEvent = (event: Event) => {
    if (keepEvents) events.push(event);
    const runId = endedRun(event);
    if (runId !== undefined) for (const steps of [stored, pausedSteps]) steps.delete(runId);
    steps.event(event);
    world.onEvent(event);
  };
  const witness = createWitness(onEvent, { folds: keepEvents });
  broker.onStored = witness.stored;
  broker.fate = (process, part) => {
    const fate = world.fate(process, part);
    // Whoever has just taken the lead is gone, or waits: the time to take it over begins anew.
    if (fate !== 'stored') lead.excuse(timeline.now());
    if (fate === 'killed before' || fate === 'killed after') {
      const place = places.findIndex((coordinator) => coordinator?.host.name === process);
      const downMs = 100 + 3_000 * chance();
      timeline.later(fate === 'killed before' ? 0 : 1, () => buried(place, process, downMs));
    }
    return fate;
  };

  const around: Surroundings = {
    ...{ timeline, chance: noise, workers, stored, pausedSteps, onStep: (id, step) => steps.step(id, step) },
    heartbeatIntervalMs: limits.heartbeatIntervalMs,
    stepMs: options.stepMs ?? 40,
    stepSpread: options.stepSpread ?? 0,
    dial,
  };

  const world: World = {
    ...{ events, witness, broker, workers, chance },
    get coordinators() {
      return places.filter((one) => one !== undefined);
    },
    get leader() {
      // One that was replaced may not know it yet.
      return world.coordinators.find(
        ({ host, driver }) => host.name === broker.lastWriter && !host.stopped && driver.leads,
      );
    },
    now: timeline.now,
    later: (ms, action) => void timeline.later(ms, action),
    async call(input) {
      for (;;) {
        const outcome = await ask(input);
        if (!('error' in outcome)) return outcome.answer;
        if (!outcome.error.retryable) throw outcome.error;
        await pass(FOUND_AGAIN_MS);
      }
    },
    async callOnce(input) {
      const outcome = await ask(input);
      if ('error' in outcome) throw outcome.error;
      return outcome.answer;
    },
    addWorker(id, { slots = 2, deviceClass = 'cpu', speed = 1 } = {}) {
      workers.set(id, startWorker({ id, slots, deviceClass, speed }, around));
    },
    killCoordinator(place, downMs) {
      const name = places[place]?.host.name;
      if (name !== undefined) buried(place, name, downMs);
    },
    stopCoordinator(place, ms) {
      const coordinator = places[place];
      if (coordinator === undefined || coordinator.host.stopped) return;
      coordinator.host.stop();
      timeline.later(KEEPALIVE_MS, () => {
        if (coordinator.host.stopped) endStreams(coordinator);
      });
      timeline.later(ms, () => {
        coordinator.host.goOn();
        stirred = true;
      });
    },
    cutCoordinator(place, ms) {
      const host = places[place]?.host;
      if (host === undefined) return;
      host.cut = true;
      timeline.later(ms, () => {
        host.cut = false;
      });
    },
    places: options.coordinators ?? 1,
    jumpClock(place, byMs) {
      wallOffsetsMs[place] = (wallOffsetsMs[place] ?? 0) + byMs;
      const host = places[place]?.host;
      if (host !== undefined) host.wallOffsetMs = wallOffsetsMs[place]!;
    },
    checkFold() {
      let state = initialState;
      for (let at = 1; at <= broker.lastSequence; at++)
        for (const event of broker.read(at)!.events) state = evolve(state, event);
      assert.deepEqual(plainOf(world.leader!.driver.state), plainOf(state), 'the journal tells the state');
    },
    runUntil: (done, limitMs) => timeline.runUntil(done, limitMs, settle),
    get pausedWithinStage() {
      return steps.stored;
    },
    onEvent: () => undefined,
    fate: () => 'stored',
  };

  function enter(place: number): void {
    const host = createHost(`c${place}.${++starts}`, `c${place}`, timeline, () => {
      stirred = true;
    });
    host.wallOffsetMs = wallOffsetsMs[place] ?? 0;
    const coordinator = startCoordinator({
      ...{ host, broker, limits, groupEventsMax, snapshotEvents: options.snapshotEvents },
      stirred: () => {
        stirred = true;
      },
      onFailed: () => buried(place, host.name, 500),
    });
    places[place] = coordinator;
    streams.set(coordinator, new Set());
  }

  /** The process in this place is dead, and another one starts after `downMs`. */
  function buried(place: number, name: string, downMs: number): void {
    const coordinator = places[place];
    if (coordinator?.host.name !== name) return;
    coordinator.host.kill();
    places[place] = undefined;
    endStreams(coordinator);
    streams.delete(coordinator);
    timeline.later(downMs, () => enter(place));
  }

  function endStreams(coordinator: SimCoordinator): void {
    for (const end of [...(streams.get(coordinator) ?? [])]) end();
  }

  const delay = () => 1 + Math.floor(15 * noise());

  function dial(attempt: number, listener: CallListener): CallEnd | undefined {
    const living = places.filter((one) => one?.host.alive);
    const coordinator = living[attempt % Math.max(1, living.length)];
    if (coordinator === undefined) return undefined;
    const ends = streams.get(coordinator)!;
    const over = () => ends.delete(lost);
    const end = openCall(
      { timeline, host: coordinator.host, delay, attach: coordinator.attach },
      {
        received: listener.received,
        ended() {
          over();
          listener.ended();
        },
      },
    );
    const hangUp = () => {
      over();
      end.hangUp();
    };
    /** The coordinator's side is gone without a word. */
    function lost(): void {
      hangUp();
      timeline.later(delay(), listener.ended);
    }
    ends.add(lost);
    return { send: end.send, hangUp };
  }

  /** Lets every coordinator do what it can do before time passes again. */
  function settle(): Promise<void> | undefined {
    return stirred || places.some((one) => one?.computes || one?.driver.known === undefined)
      ? settled()
      : undefined;
  }

  async function settled(): Promise<void> {
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      stirred = false;
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (turn >= TURNS_MIN && !stirred && !places.some((one) => one?.computes)) return;
    }
    throw new Error(`a coordinator computes without an end (seed ${seed})`);
  }

  async function pass(ms: number): Promise<void> {
    const end = timeline.now() + ms;
    let over = false;
    timeline.later(ms, () => {
      over = true;
    });
    await timeline.runUntil(() => over && timeline.now() >= end, ms + 1, settle);
  }

  /** One try of a call. A coordinator that dies over it counts as one that does not answer. */
  async function ask(
    input: Input,
  ): Promise<{ answer: Answer | undefined } | { error: FleetError; answer?: undefined }> {
    const { leader } = world;
    if (leader === undefined) return { error: new FleetError('unavailable', 'nobody leads') };
    let outcome: Awaited<ReturnType<typeof ask>> | undefined;
    leader.submit(input).then(
      (answer) => {
        outcome = { answer };
      },
      (caught) => {
        outcome = { error: toFleetError(caught) };
      },
    );
    while (outcome === undefined && leader.host.alive) await pass(1);
    return outcome ?? { error: new FleetError('unavailable', 'the leader died over it') };
  }

  const idle = createIdleWatch();
  const lead = createLeadWatch();
  const holds = createHoldWatch(limits.tickMs);
  function look(): void {
    const { leader } = world;
    lead.look(timeline.now(), {
      leads: leader !== undefined,
      healthy: world.coordinators
        .filter(({ host }) => !host.stopped && !host.cut && host.lostUntilMs < timeline.now())
        .map(({ host }) => host.name),
    });
    if (leader === undefined || leader.host.cut || leader.isTroubled) {
      idle.forget();
      holds.forget();
    } else {
      const observed = leader.observe();
      idle.look(leader.driver.state, observed);
      holds.look(leader.driver.state, observed, workers.values());
    }
    timeline.later(limits.tickMs, look);
  }
  timeline.later(limits.tickMs, look);

  for (let place = 0; place < (options.coordinators ?? 1); place++) enter(place);
  return world;
}

/** Whether every sweep, plan and run that was begun has ended. */
export function allEnded({ witness: { state } }: World): boolean {
  return (
    state.runs.size > 0 &&
    state.openRuns.size === 0 &&
    state.openSweeps.size === 0 &&
    state.openPlans.size === 0
  );
}

function endedRun(event: Event): string | undefined {
  switch (event.kind) {
    case 'run.finished':
    case 'run.failed':
    case 'run.cancelled':
      return event.runId;
  }
  return undefined;
}
