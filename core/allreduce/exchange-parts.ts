// The parts of one member's exchange and how they are connected. Decides which part gets a message and what a
// tick looks for.
//
//   connection ──► channel ──► placeData, routeMessage ──► ending     stop
//       ▲                                              ──► sync       hello, ask-state, state
//       │                                              ──► steps ──► reduction    contribution, result, missing
//       └── channel ◄── wire ◄── all of them
//
//   listening (ticks) ──► sync, the open reduction: repeat and ask ──► watch: who is suspect

import { FleetError, toFleetError } from '../errors.ts';
import { SGD_STATE } from '../state-vectors.ts';
import { createChannel } from './channel.ts';
import { createEarly, type Early } from './early.ts';
import { createEnding, type Ending } from './ending.ts';
import type { ExchangeOptions } from './exchange-options.ts';
import { createListening, type Listening } from './exchange-time.ts';
import { createHabitStore, createMemberWatch, type MemberWatch } from './member-watch.ts';
import { createExchangeMemory, type ExchangeMemory } from './memory.ts';
import type { Header } from './message.ts';
import { createNeighbours, type Neighbours } from './neighbours.ts';
import { createNotes } from './notes.ts';
import { createOwnVectors, type OwnVectors } from './own-vectors.ts';
import { createPace, type Pace } from './pace.ts';
import { type Plan, planOf } from './plan.ts';
import { createReduction } from './reduction.ts';
import { createResidualStore, type ResidualStore } from './residuals.ts';
import { type Routes, routesOf } from './routes.ts';
import { destinationOf, placementOf } from './routing.ts';
import { segmentDoor } from './segment-door.ts';
import { createSteps, type Steps } from './steps.ts';
import { createSync, type Sync } from './sync.ts';
import { type ExchangeStats, type Place, STATS, type Wire } from './wire.ts';

export interface Parts {
  readonly plan: Plan;
  readonly stats: ExchangeStats;
  readonly memory: ExchangeMemory;
  readonly vectors: OwnVectors;
  readonly residuals: ResidualStore;
  /** Shards whose residual is in memory rather than in the store. */
  readonly residualsLive: ReadonlySet<number>;
  /** Residuals of shards of others, where this member gathers all. */
  readonly gathered: ReadonlyMap<number, Float32Array>;
  readonly watch: MemberWatch;
  readonly pace: Pace;
  readonly wire: Wire;
  readonly steps: Steps;
  readonly sync: Sync;
  readonly ending: Ending;
  readonly neighbours: Neighbours;
  readonly early: Early;
  /** The groups are known. */
  hasMet(): boolean;
  readonly listening: Listening;
  /** Stops listening; aborted when the exchange is closed. */
  readonly closing: AbortController;
  closeChannel(): void;
}

const STALL_MS = 250;

export function createParts(options: ExchangeOptions): Parts {
  const { connection, names, runId, generation, rank, members, clock, log } = options;
  const plan = planOf(options);
  const ranks = members.length;
  const stats = options.stats ?? createStats();
  const memory = createExchangeMemory(plan, rank, options.memory);
  const vectors = createOwnVectors({
    ...{ plan, rank, memory },
    factor: options.factor ?? 1,
    speaksFor: ({ shard }) => routing!.spokenShards.has(shard),
  });
  const residuals = options.residuals ?? createResidualStore();
  const residualsLive = new Set<number>();
  const gathered = new Map<number, Float32Array>();
  const closing = new AbortController();
  /** Known once the members have met. */
  let routing: Routing | undefined;
  const watch = createMemberWatch({
    ranks,
    rank,
    store: options.habits ?? createHabitStore(),
    now: () => listening.now(),
    onChange: (suspects) => options.onSuspects?.(suspects),
  });
  const stallMsMin = options.stallMs ?? STALL_MS;
  const pace = createPace({ clock, stallMsMin, onStep: (ms) => watch.noteStep(ms) });
  const channel = createChannel({
    connection,
    names,
    runId,
    generation,
    rank,
    ranks,
    stats,
    faults: options.faults,
    placeData: (header) => placeData(parts, header),
    onMessage: (header, data) => routeMessage(parts, header, data),
    onRefused: (error) =>
      log.warn({ runId, generation, reason: error.message }, 'refused a message of the gang'),
    onBroken: (error) => ending.endHere(error),
  });
  const wire: Wire = {
    rank,
    ranks,
    stats,
    get stallMs() {
      return pace.stallMs();
    },
    now: () => listening.now(),
    noteQuestion: (other) => watch.noteQuestion(other),
    header: channel.header,
    sendTo: channel.sendTo,
    sendAll: channel.sendAll,
    sendToHosts: channel.sendToHosts,
    nameOf: (other) => `rank ${other} (${members[other]?.workerId ?? 'unknown'})`,
    stop: (error) => ending.endForAll(error),
  };
  const rooms = [...memory.layout.rooms];
  const neighbours = createNeighbours({
    wire,
    door: segmentDoor({ plan, rank, memory, sharing: options.sharing }),
    onGroups(groups) {
      routing = routingOf(planOf({ ...options, groups }), rank);
      const { routes } = routing;
      if (!routes.isApart)
        for (let other = 0; other < ranks; other++) if (routes.brings(other)) channel.listenTo(other);
      parts.early.release((header, data) => channel.refusing(() => takeEarly(parts, header, data)));
    },
    onUnshared: (reason) =>
      log.warn(
        { runId, generation, reason },
        'the exchange goes over the broker, also between members of one host',
      ),
  });
  const notes = createNotes(memory, (error) => {
    log.error({ runId, generation }, error.message);
    ending.endHere(error);
  });
  const steps = createSteps(() =>
    createReduction({ ...routing!, wire, memory, vectors, rooms, neighbours, notes }),
  );
  const sync = createSync({
    wire,
    provideState: options.provideState,
    stateNames: options.stateNames ?? SGD_STATE,
    elements: Math.max(plan.elements, options.stateElements ?? 0),
    residuals: () => residuals.all(),
    needed: neededResiduals(plan, rank, options.gathersResiduals === true),
    onResidual(shard, values) {
      const residual = vectors.residual(shard, 'open');
      if (residual === undefined) {
        if (values !== undefined) gathered.set(shard, values);
        return;
      }
      residualsLive.add(shard);
      if (values === undefined) residual.fill(0);
      else residual.set(values);
    },
    holds: (step) => steps.openStep() === undefined || steps.openStep() === step,
    onAgreed(step) {
      steps.agreeOn(step);
      watch.clearQuestions();
    },
  });
  const ending = createEnding({
    clock,
    nameOf: wire.nameOf,
    sendStop: (reason) => wire.sendAll(wire.header('stop', 0), reason),
    quietMs: pace.stallMs,
    onStopped: (error) => log.error({ runId, generation, details: error.details }, error.message),
    onFailed(error) {
      sync.failSync(error);
      steps.failAll(error);
    },
  });
  const listening = createListening({
    clock,
    signal: closing.signal,
    onTick: () => lookForMissing(parts, options),
    onFailed: (caught) => ending.endHere(toFleetError(caught, 'repairing the exchange')),
  });
  const parts: Parts = {
    ...{ plan, stats, memory, vectors, residuals, residualsLive, gathered, watch, pace },
    ...{ wire, steps, sync, ending, neighbours, listening, closing },
    early: createEarly(),
    hasMet: () => routing !== undefined,
    closeChannel: channel.close,
  };
  return parts;
}

interface Routing {
  readonly plan: Plan;
  readonly routes: Routes;
  /** Slices of these shards are of owners to whom this member speaks for others. */
  readonly spokenShards: ReadonlySet<number>;
}

function routingOf(plan: Plan, rank: number): Routing {
  const routes = routesOf(plan, rank);
  return { plan, routes, spokenShards: new Set(routes.spokenTo.flatMap((owner) => shardsOf(plan, owner))) };
}

/** Data of sums is read to where it belongs; all other data is small and has memory of its own. */
function placeData({ watch, ending, steps, stats, hasMet }: Parts, header: Header): Place {
  const { kind, step, source } = header;
  watch.noteMessage(source);
  const placement = placementOf(kind, ending.failure() !== undefined);
  // A note is small, and before the members have met nobody knows what belongs where.
  if (placement === 'own' || header.inMemory || !hasMet()) return 'own';
  const reduction = placement === 'begins' ? steps.reductionFor(step) : steps.reductionOf(step);
  if (reduction !== undefined) return reduction.placePart(header);
  stats.refused++;
  return 'skip';
}

function routeMessage(parts: Parts, header: Header, data: Uint8Array): void {
  const { wire, ending, sync, steps, neighbours, stats, early, hasMet } = parts;
  const { kind, step, source, inMemory } = header;
  const hasEnded = ending.failure() !== undefined;
  if (kind === 'contribution' && !hasEnded && !hasMet()) {
    if (!early.keep(header, data)) stats.refused++;
    return;
  }
  if (kind === 'contribution' && !hasEnded && isAstray(parts, header, data)) {
    takeEarly(parts, header, data);
    return;
  }
  // Data of a contribution has begun its step when it was placed; a note does it here.
  const begins = inMemory && kind === 'contribution' && !hasEnded;
  const reduction = begins ? steps.reductionFor(step) : steps.reductionOf(step);
  if (inMemory && !hasEnded && reduction === undefined) stats.refused++;
  switch (destinationOf(kind, hasEnded, reduction !== undefined)) {
    case 'ending':
      ending.acceptStop(header, data);
      return;
    case 'repeat-stop':
      ending.repeatStop();
      return;
    case 'sync':
      sync.acceptSync(header, data);
      return;
    case 'neighbours':
      neighbours.acceptNeighbour(header, data);
      return;
    case 'reduction':
      reduction?.acceptPart(header, data);
      return;
    case 'answer-here':
      wire.sendTo(source, wire.header('here', step));
      return;
    case 'nothing':
  }
}

/** What came while the members met lies nowhere in the memory of the sum. */
const isAstray = ({ memory, wire }: Parts, { inMemory, owner }: Header, data: Uint8Array): boolean =>
  !inMemory && owner === wire.rank && data.buffer !== memory.shared.buffer;

/** What came early goes where it would have gone. */
function takeEarly(parts: Parts, header: Header, data: Uint8Array): void {
  const place = placeData(parts, header);
  if (place === 'skip') return;
  if (place !== 'own') {
    if (place.length !== data.length)
      throw new FleetError('invalidArgument', `${data.length} bytes came where ${place.length} belong`);
    place.set(data);
  }
  routeMessage(parts, header, place === 'own' ? data : place);
}

function lookForMissing(
  { watch, pace, steps, sync, neighbours }: Parts,
  { connection }: Pick<ExchangeOptions, 'connection'>,
): void {
  if (connection.isClosed()) throw new FleetError('unavailable', 'the connection to the broker is closed');
  sync.repeatUnanswered();
  neighbours.repeatUnknown();
  const openStep = steps.openStep();
  const open = openStep === undefined ? undefined : steps.reductionOf(openStep);
  open?.askMissing();
  // While the broker is away, silence says nothing about any member.
  if (connection.isUp()) watch.judge((other) => (pace.isUsualStep() ? open?.waitedFor(other) : undefined));
  else watch.clearQuestions();
}

function neededResiduals(plan: Plan, rank: number, all: boolean): number[] {
  if (plan.compression !== 'int8') return [];
  return all ? Array.from({ length: plan.shards }, (_, shard) => shard) : shardsOf(plan, rank);
}

function shardsOf({ members }: Plan, rank: number): number[] {
  const { shardFirst, shardCount } = members[rank]!;
  return Array.from({ length: shardCount }, (_, i) => shardFirst + i);
}

const createStats = (): ExchangeStats => Object.fromEntries(STATS.map((name) => [name, 0])) as ExchangeStats;
