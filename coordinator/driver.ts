// The thin part around the core: a queue of inputs, each given to step(), the events of all that are waiting appended as
// one group, then their effects performed. It keeps what is volatile (who is connected, how far steps are) and decides
// nothing about runs. When the journal refuses an append the lead is lost, and the driver stops for good.

import type { Clock } from '../core/clock.ts';
import { FleetError, toFleetError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { Event } from './events.ts';
import { evolve } from './evolve.ts';
import type { Answer, Effect, Input } from './inputs.ts';
import type { Journal } from './journal.ts';
import type { Observed } from './observed.ts';
import { initialState, type State } from './state.ts';
import { type Decision, step } from './step.ts';

export interface Driver {
  /** The state with everything that is on disk, and nothing else. */
  readonly state: State;
  /** Queues an input; resolves when what follows from it is on disk, rejects when it is refused. */
  submit(input: Input): Promise<Answer | undefined>;
  /** Called after each group and each volatile change, at most once a microtask turn. */
  onChange(listener: () => void): () => void;
  /** Something volatile changed: progress, a connection. */
  touch(): void;
  /** Asks the broker whether this coordinator still leads; what it finds is told by `failed`. */
  confirmLead(): Promise<void>;
  /** Resolves when the lead is lost or the journal cannot be written; never otherwise. */
  readonly failed: Promise<FleetError>;
  close(): Promise<void>;
}

interface Waiting {
  readonly input: Input;
  readonly resolve: (answer: Answer | undefined) => void;
  readonly reject: (error: FleetError) => void;
}

/** Inputs that may wait; beyond it the caller is told to come back. */
const QUEUE_MAX = 100_000;

export async function createDriver(options: {
  journal: Journal;
  clock: Clock;
  log: Logger;
  version: string;
  observe: () => Observed;
  perform: (effect: Effect) => void;
  /** Sees each event once, after it is on disk; not those of the replay. */
  onEvent?: (event: Event, before: State, after: State) => void;
}): Promise<Driver> {
  const { journal, clock, log } = options;
  const startedAt = clock.monotonic();
  let state = initialState;
  for await (const event of journal.replay()) state = evolve(state, event);
  log.info(
    { events: state.events, sequence: journal.sequence, ms: Math.round(clock.monotonic() - startedAt) },
    'journal replayed',
  );
  const queue: Waiting[] = [];
  const listeners = new Set<() => void>();
  let working: Promise<void> | undefined;
  let stopped: FleetError | undefined;
  let fail: (error: FleetError) => void;
  const failed = new Promise<FleetError>((resolve) => {
    fail = resolve;
  });

  function notify(): void {
    for (const listener of listeners) listener();
  }

  function stop(error: FleetError): void {
    stopped = error;
    for (const waiting of queue.splice(0)) waiting.reject(error);
  }

  /** Decides everything that waits, appends once, then tells everybody. */
  async function turn(): Promise<void> {
    const before = state;
    let after = state;
    const decided: { waiting: Waiting; decision: Decision }[] = [];
    for (const waiting of queue.splice(0)) {
      try {
        const decision = step(after, waiting.input, options.observe());
        after = decision.state;
        decided.push({ waiting, decision });
      } catch (caught) {
        // A refusal leaves the state as it was; anything else is a mistake of ours and must be seen.
        if (!(caught instanceof FleetError)) throw caught;
        waiting.reject(caught);
      }
    }
    const events = decided.flatMap(({ decision }) => decision.events);
    try {
      if (events.length > 0) await journal.append(events);
    } catch (caught) {
      // Nothing of it took effect; their callers hear it, and the driver stops.
      for (const { waiting } of decided) waiting.reject(toFleetError(caught));
      throw caught;
    }
    state = after;
    observe(events, before);
    for (const { waiting, decision } of decided) {
      for (const effect of decision.effects) options.perform(effect);
      waiting.resolve(decision.answer);
    }
    if (events.length > 0) notify();
  }

  function observe(events: readonly Event[], before: State): void {
    let at = before;
    for (const event of events) {
      const next = evolve(at, event);
      options.onEvent?.(event, at, next);
      at = next;
    }
  }

  async function work(): Promise<void> {
    // One breath before each group, so that inputs that arrive together are journalled together.
    await Promise.resolve();
    try {
      while (queue.length > 0 && stopped === undefined) await turn();
    } catch (caught) {
      const error = toFleetError(caught);
      stop(error);
      fail(error);
    } finally {
      working = undefined;
    }
  }

  const driver: Driver = {
    get state() {
      return state;
    },
    submit(input) {
      if (stopped !== undefined) return Promise.reject(stopped);
      if (queue.length >= QUEUE_MAX)
        return Promise.reject(
          new FleetError('resourceExhausted', `${queue.length} inputs wait for the journal; try again later`),
        );
      return new Promise((resolve, reject) => {
        queue.push({ input, resolve, reject });
        working ??= work();
      });
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    touch: notify,
    async confirmLead() {
      if (stopped !== undefined || working !== undefined) return;
      try {
        await journal.confirmLead();
      } catch (caught) {
        const error = toFleetError(caught);
        // A broker that does not answer now is asked again; only a lead that is lost is final.
        if (error.code !== 'aborted') return;
        stop(error);
        fail(error);
      }
    },
    failed,
    async close() {
      await working;
      stop(new FleetError('unavailable', 'the coordinator is stopping'));
    },
  };
  // Its first append is the claim of the lead: whoever led before cannot write any more.
  await driver.submit({ kind: 'started', version: options.version });
  return driver;
}
