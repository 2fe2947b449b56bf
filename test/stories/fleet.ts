// A fleet for stories: coordinators around the real core and the real links, a journal in memory, workers that do
// only what a story has them do, and a clock that moves only when a story moves it. Each input adds lines to
// `output`: the events that were decided, as sentences, then the commands that left. Two rules of the real journal
// are repeated here, because stories are about them: an append names the message that it expects to be the last,
// and effects leave after the append.

import { pino } from 'pino';
import { type Decision, step } from '../../coordinator/decisions/decide.ts';
import { createDesk, type Desk } from '../../coordinator/decisions/desk.ts';
import type { Command, Effect, Input, LeaseClaim, Report } from '../../coordinator/decisions/inputs.ts';
import { sentenceOf } from '../../coordinator/journal/why.ts';
import type { Event } from '../../coordinator/model/events.ts';
import type { Observed } from '../../coordinator/model/observed.ts';
import { initialState, openRuns, type State } from '../../coordinator/model/state.ts';
import type { Wait } from '../../coordinator/scheduling/wait.ts';
import { createLinks, type Links, type Stream } from '../../coordinator/workers/links.ts';
import type { Clock } from '../../core/clock.ts';
import { FleetError } from '../../core/errors.ts';
import { folded, waitsIn } from '../support/state.ts';

/** The defaults of a coordinator (core/config.ts). */
const LIMITS = { heartbeatIntervalMs: 500, heartbeatsMissedMax: 10, reattachGraceMs: 15_000 };
/** Between two looks at the clock. */
const TICK_MS = 200;

/** A worker as a story has it: a process, its stream, and what it holds in memory. */
export interface StoryWorker {
  readonly id: string;
  /** Of its process: the first is 1. */
  incarnation: number;
  readonly slots: number;
  readonly deviceClass: string;
  stream: Stream | undefined;
  /** Name of the coordinator at the other end of the stream. */
  dialled: string;
  /** It is on a stream and sends nothing. */
  silent: boolean;
  /** Generation of each run that it was given and has not released. */
  readonly held: Map<string, number>;
  /** Reports that no coordinator has acknowledged, by sequence. */
  readonly unacknowledged: Map<number, Report>;
  sequence: number;
}

/** One process that decides: what it has read, and who is on a stream to it. */
export interface Coordinator {
  readonly name: string;
  readonly links: Links;
  state: State;
  /** Messages of the journal that it has read or written. */
  sequence: number;
  /** Why each queued run waits, as last printed. */
  waiting: ReadonlyMap<string, Wait>;
  /** What decisions keep between each other. */
  readonly desk: Desk;
}

/** Everything that a story has. */
export interface Fleet {
  /** The fake clock, milliseconds from the beginning of the story. */
  nowMs: number;
  /** One element for each message of the journal. */
  readonly journal: (readonly Event[])[];
  readonly coordinators: Map<string, Coordinator>;
  readonly workers: Map<string, StoryWorker>;
  /** Committed steps of runs, as reported since the last start of a coordinator. */
  readonly steps: Map<string, number>;
  /** Images a second, by worker. */
  readonly speeds: Map<string, number>;
  /** What the story prints below its current line. */
  readonly output: string[];
  /** State of the coordinator that led last. */
  lastState: State;
}

/** A point at which the coordinator is killed while it performs a decision. */
export type Kill = { readonly afterEvents: number } | { readonly beforeEffects: true };

/** A fleet without coordinator, workers or journal. */
export function createFleet(): Fleet {
  return {
    nowMs: 0,
    journal: [],
    coordinators: new Map(),
    workers: new Map(),
    steps: new Map(),
    speeds: new Map(),
    output: [],
    lastState: initialState,
  };
}

/** A coordinator reads the journal and claims the lead; one that leads already is not stopped by it. */
export function startCoordinator(fleet: Fleet, name: string): void {
  const clock: Clock = {
    now: () => fleet.nowMs,
    monotonic: () => fleet.nowMs,
    sleep: () => Promise.resolve(),
  };
  const coordinator: Coordinator = {
    name,
    links: createLinks({ clock, log: pino({ level: 'silent' }), limits: LIMITS }),
    state: folded(fleet.journal.flat()),
    sequence: fleet.journal.length,
    waiting: new Map(),
    desk: createDesk(),
  };
  fleet.coordinators.set(name, coordinator);
  fleet.steps.clear();
  decide(fleet, coordinator, { kind: 'started', version: 'story' });
  coordinator.links.expect(coordinator.state.workers);
}

/** The process is gone: what was not appended is lost, and every stream ends. */
export function killCoordinator(fleet: Fleet, name: string): void {
  fleet.coordinators.delete(name);
  for (const worker of fleet.workers.values()) if (worker.dialled === name) worker.stream = undefined;
}

/** Gives an input to the core, appends what was decided, performs the effects, and prints all of it. */
export function decide(fleet: Fleet, coordinator: Coordinator, input: Input, kill?: Kill): void {
  let decision: Decision;
  try {
    decision = step(coordinator.state, input, observedBy(fleet, coordinator), coordinator.desk);
  } catch (caught) {
    if (!(caught instanceof FleetError)) throw caught;
    fleet.output.push(`refused (${caught.code}): ${caught.message}`);
    return;
  }
  const stored =
    kill !== undefined && 'afterEvents' in kill
      ? decision.events.slice(0, kill.afterEvents)
      : decision.events;
  if (stored.length > 0 && !append(fleet, coordinator, stored)) return;
  fleet.output.push(...told(stored).map((event) => sentenceOf(event, decision.state)));
  if (kill !== undefined) {
    fleet.output.push(
      `the coordinator is killed: of ${decision.events.length} events ${stored.length} are stored, and no effect has left`,
    );
    killCoordinator(fleet, coordinator.name);
    return;
  }
  coordinator.state = decision.state;
  fleet.lastState = decision.state;
  for (const effect of decision.effects) perform(fleet, coordinator, effect);
  printAnswer(fleet, decision);
  printWaiting(fleet, coordinator);
}

/** Time passes in the steps of the coordinator's clock; whoever is on a stream and not silent is heard at each. */
export function passTime(fleet: Fleet, ms: number): void {
  for (const endMs = fleet.nowMs + ms; fleet.nowMs < endMs; ) {
    fleet.nowMs = Math.min(endMs, fleet.nowMs + TICK_MS);
    for (const coordinator of fleet.coordinators.values()) {
      const before = fleet.output.length;
      for (const worker of fleet.workers.values())
        if (worker.stream !== undefined && !worker.silent) coordinator.links.seen(worker.id, worker.stream);
      for (const verdict of coordinator.links.judge())
        decide(fleet, coordinator, { kind: 'lost', ...verdict });
      decide(fleet, coordinator, { kind: 'tick' });
      if (fleet.output.length > before)
        fleet.output.splice(before, 0, `at ${(fleet.nowMs / 1000).toFixed(1)} s`);
    }
  }
}

/** A worker dials: it names what it holds, and repeats what was not acknowledged. */
export function dial(fleet: Fleet, coordinator: Coordinator, worker: StoryWorker): void {
  const stream: Stream = {
    send: (command) => receive(worker, command as Command),
    end: () => {
      if (worker.stream === stream) worker.stream = undefined;
    },
  };
  worker.stream = stream;
  worker.dialled = coordinator.name;
  const leases: LeaseClaim[] = [...worker.held].map(([runId, generation]) => ({ runId, generation }));
  const hello = {
    workerId: worker.id,
    incarnation: String(worker.incarnation),
    version: 'story',
    host: `host-${worker.id}`,
    pid: worker.incarnation,
    deviceKind: 'cpu',
    deviceName: worker.deviceClass,
    deviceClass: worker.deviceClass,
    slots: worker.slots,
    leases,
    metricsEndpoint: '',
    podUid: '',
  };
  const goneAtMs = coordinator.links.attach(hello, stream);
  decide(fleet, coordinator, { kind: 'attached', hello, ...(goneAtMs === undefined ? {} : { goneAtMs }) });
  for (const [sequence, report] of worker.unacknowledged)
    deliver(fleet, coordinator, worker, sequence, report);
}

/** The worker reports; with nobody to hear it the report is kept. */
export function report(
  fleet: Fleet,
  coordinator: Coordinator | undefined,
  id: string,
  content: Report,
  kill?: Kill,
): void {
  const worker = fleet.workers.get(id)!;
  worker.sequence += 1;
  worker.unacknowledged.set(worker.sequence, content);
  if (coordinator === undefined || worker.stream === undefined)
    fleet.output.push(`${id} keeps report ${worker.sequence} until it is acknowledged`);
  else deliver(fleet, coordinator, worker, worker.sequence, content, kill);
}

function deliver(
  fleet: Fleet,
  coordinator: Coordinator,
  worker: StoryWorker,
  sequence: number,
  content: Report,
  kill?: Kill,
): void {
  if (content.kind === 'draining') coordinator.links.draining(worker.id);
  const incarnation = String(worker.incarnation);
  const input: Input = { kind: 'reported', workerId: worker.id, incarnation, sequence, report: content };
  decide(fleet, coordinator, input, kill);
}

function observedBy(fleet: Fleet, coordinator: Coordinator): Observed {
  return {
    now: fleet.nowMs,
    connected: coordinator.links.connected,
    stepOf: (runId) => fleet.steps.get(runId),
    speedOf: (_, workerId) => fleet.speeds.get(workerId),
  };
}

/** As JetStream does: an append that expects another message to be the last is refused. */
function append(fleet: Fleet, coordinator: Coordinator, events: readonly Event[]): boolean {
  const last = fleet.journal.length;
  if (coordinator.sequence !== last) {
    fleet.output.push(
      `${coordinator.name} cannot append what it decided (${events.map(({ kind }) => kind).join(', ')}): ` +
        `it expects message ${coordinator.sequence} to be the last, and message ${last} is; it exits`,
    );
    killCoordinator(fleet, coordinator.name);
    return false;
  }
  fleet.journal.push(events);
  coordinator.sequence = last + 1;
  return true;
}

function perform(fleet: Fleet, coordinator: Coordinator, effect: Effect): void {
  if (effect.kind === 'disconnect') {
    coordinator.links.disconnect(effect.workerId, effect.incarnation, 'lost');
    return;
  }
  const arrived = coordinator.links.send(effect.workerId, effect.command);
  fleet.output.push(`  ${effect.workerId} <- ${commandText(effect.command)}${arrived ? '' : ' (away)'}`);
}

function receive(worker: StoryWorker, command: Command): void {
  if (command.kind === 'acknowledge') worker.unacknowledged.delete(command.sequence);
  if (command.kind === 'release') worker.held.delete(command.runId);
  if (command.kind === 'assign') {
    const { runId, generation } = command;
    worker.held.set(runId, Math.max(generation, worker.held.get(runId) ?? 0));
  }
}

function commandText(command: Command): string {
  switch (command.kind) {
    case 'welcome':
      return 'welcome';
    case 'acknowledge':
      return `acknowledge report ${command.sequence}`;
    case 'release':
      return `release ${command.runId} generation ${command.generation}: ${command.reason}`;
    case 'prepare':
      return `prepare for ${command.of}`;
    case 'assign': {
      const gang = command.members.map(({ workerId }) => workerId).join(', ');
      return `assign ${command.runId} generation ${command.generation}: ${gang}`;
    }
  }
}

function printAnswer(fleet: Fleet, { answer }: Decision): void {
  if (answer === undefined) return;
  const ids =
    answer.kind === 'submitted' ? [...answer.planIds, ...answer.sweepIds, ...answer.runIds] : answer.ids;
  fleet.output.push(`answer: ${answer.kind} ${ids.join(', ')}`);
}

/** What a story is about; that a spec is recorded before it is used says nothing more. */
function told(events: readonly Event[]): Event[] {
  return events.filter(({ kind }) => kind !== 'spec.recorded');
}

/** Only what is new, so that a story does not repeat itself. */
function printWaiting(fleet: Fleet, coordinator: Coordinator): void {
  const waits = waitsIn(coordinator.state, observedBy(fleet, coordinator));
  const waiting = new Map(
    openRuns(coordinator.state).flatMap(({ id }) => {
      const wait = waits.of(id);
      return wait === undefined ? [] : [[id, wait] as const];
    }),
  );
  for (const [runId, { reason }] of waiting)
    if (coordinator.waiting.get(runId)?.reason !== reason) fleet.output.push(`  ${runId} is ${reason}`);
  coordinator.waiting = waiting;
}
