// Requests that somebody waits for and a worker answers: which worker is asked, that another one is asked
// when it is lost, and when a request is given up. Nothing of it lasts: a coordinator that starts again knows
// no request, and the caller asks once more.
//
// A request has three possible ends. The worker ends it, with a result or with its own refusal; then that is
// the answer. The worker is lost; then the next one is asked, up to WORKERS_MAX, because a request that takes
// down every worker it meets would take down the fleet. The caller leaves or its deadline passes; then the
// worker is asked to stop, or it would go on computing for nobody.

import type { Clock } from '../../core/clock.ts';
import { type Code, FleetError } from '../../core/errors.ts';
import { randomId } from '../../core/rng.ts';
import { runsHeldBy } from '../decisions/gangs.ts';
import { lookup, type PersistentMap, valuesOf } from '../model/persistent-map.ts';
import { byNumbers, type State, type WorkerState } from '../model/state.ts';
import type { ForgetCommand, Links, RequestCommand } from './links.ts';

/** One per coordinator: all kinds of requests share the count of what each worker has in hand. */
export interface Requests {
  /** A kind of request whose answer consists of `Item`s. */
  kind<Item>(sentences: KindSentences): RequestKind<Item>;
  /** The worker has a request in hand, which its runs may have to wait for. */
  occupies(workerId: string): boolean;
}

/** The requests of one kind. */
export interface RequestKind<Item> {
  /**
   * What the worker answers, as it comes; ends when the worker ends the request, and fails as described
   * above.
   */
  ask(request: WorkerRequest): AsyncGenerator<Item>;
  /** Takes a part of a worker's answer; a part of a request that nobody waits for any more is dropped. */
  answered(requestId: string, part: AnswerPart<Item>): void;
}

/** One request, until a worker has ended it. */
export interface WorkerRequest {
  /**
   * Picks the worker to ask, or throws the reason why none will do. `free`: attached, welcomed and not yet
   * asked, least loaded first. `lost`: those that were asked and lost. Undefined: the request waits until
   * another worker attaches, or one that was lost is back.
   */
  readonly choose: (free: readonly WorkerState[], lost: readonly string[]) => WorkerState | undefined;
  /** The request begins to wait for a worker. */
  readonly onWait?: () => void;
  /**
   * The command to send. It is made anew for each worker, so that the next one can go on where the last one
   * got to.
   */
  readonly command: () => RequestBody;
  /** Aborted when the caller has gone. */
  readonly signal: AbortSignal;
  /** Over all workers that are asked; without it the request takes as long as it takes. */
  readonly deadline?: { readonly ms: number; readonly sentence: string };
  /** The error when as many workers as may be asked were lost; without it that of the last one. */
  readonly gaveUp?: (workerIds: readonly string[], last: FleetError) => FleetError;
}

/** A command as a kind of request makes it: the id is given here. */
export type RequestBody = WithoutId<Exclude<RequestCommand, ForgetCommand>>;
type WithoutId<C> = C extends { readonly requestId: string } ? Omit<C, 'requestId'> : never;

/** A part of a worker's answer; an answer of one message is one part. */
export interface AnswerPart<Item> {
  readonly items: readonly Item[];
  /** Nothing more comes. */
  readonly ended: boolean;
  /** The worker's own refusal; empty when there is none. */
  readonly error: string;
  /** What kind of refusal it is; `failedPrecondition` without it. */
  readonly as?: { readonly code: Code; readonly details: Readonly<Record<string, unknown>> };
}

/** What a caller reads when a request of this kind ends without an answer. */
export interface KindSentences {
  /** A worker was lost over it. */
  readonly lost: (workerId: string) => string;
  /** The caller reads more slowly than items come. */
  readonly tooSlow: string;
}

/** Workers that one request may use up: each of them was lost over it or beside it. */
const WORKERS_MAX = 3;
/** Items that wait for a caller that does not read. */
const ITEMS_MAX = 10_000;

/** A refusal whose kind the worker does not name. */
const REFUSED = { code: 'failedPrecondition', details: {} } as const;

/** One request at one worker. */
interface Pending<Item> {
  readonly workerId: string;
  /** Not read yet, oldest first. */
  readonly items: Item[];
  /** How it ended, once it has: read after the items. */
  end: { readonly by: 'worker' | 'coordinator'; readonly failure?: FleetError } | undefined;
  wake: () => void;
}

/** No requests are open at first. */
export function createRequests(options: {
  readonly links: Pick<Links, 'welcomed' | 'onWelcome' | 'onDetach' | 'send'>;
  readonly state: () => State;
  /** The listener is called after each change of the state. Returns the end of that. */
  readonly onChange: (listener: () => void) => () => void;
  /** Why no worker comes here: another coordinator leads. */
  readonly redirect: () => FleetError | undefined;
  readonly clock: Pick<Clock, 'sleep'>;
}): Requests {
  const { links, state, clock } = options;
  /** Requests that wait for a worker: each looks again when one has attached. */
  const looking = new Set<() => void>();
  const lookAgain = () => {
    for (const look of [...looking]) look();
  };
  links.onWelcome(lookAgain);
  options.onChange(lookAgain);
  /** Worker of each open request, of all kinds. */
  const inHand = new Map<string, string>();

  function kind<Item>(sentences: KindSentences): RequestKind<Item> {
    const pending = new Map<string, Pending<Item>>();
    links.onDetach((workerId) => {
      const lost = [...pending.values()].filter((waiting) => waiting.workerId === workerId);
      for (const waiting of lost)
        finish(waiting, {
          by: 'coordinator',
          failure: new FleetError('unavailable', sentences.lost(workerId), { details: { lost: workerId } }),
        });
    });

    async function* askOne(
      workerId: string,
      command: RequestBody,
      leaving: AbortSignal,
    ): AsyncGenerator<Item> {
      const requestId = randomId();
      const mine: Pending<Item> = { workerId, items: [], end: undefined, wake: () => undefined };
      const leave = () => finish(mine, { by: 'coordinator', failure: leaving.reason as FleetError });
      leaving.addEventListener('abort', leave, { once: true });
      pending.set(requestId, mine);
      inHand.set(requestId, workerId);
      try {
        links.send(workerId, { ...command, requestId });
        yield* itemsOf(mine);
      } finally {
        leaving.removeEventListener('abort', leave);
        pending.delete(requestId);
        inHand.delete(requestId);
        if (mine.end?.by !== 'worker') links.send(workerId, { kind: 'forget', requestId });
      }
    }

    return {
      async *ask(request) {
        const { leaving, stop } = leavingOf(request, clock);
        const lost: string[] = [];
        let waits = false;
        try {
          for (;;) {
            leaving.throwIfAborted();
            const redirect = options.redirect();
            if (redirect !== undefined) throw redirect;
            const free = (but: readonly string[]) => freeWorkers(state(), links.welcomed, inHand, but);
            // One that was lost and is back is asked again before a request waits for others.
            const worker = request.choose(free(lost), lost) ?? request.choose(free([]), lost);
            if (worker === undefined) {
              if (!waits) request.onWait?.();
              waits = true;
              await nextLook(looking, leaving);
              continue;
            }
            waits = false;
            try {
              yield* askOne(worker.id, request.command(), leaving);
              return;
            } catch (caught) {
              if (!(caught instanceof FleetError) || caught.details.lost !== worker.id) throw caught;
              lost.push(worker.id);
              if (lost.length >= WORKERS_MAX) throw request.gaveUp?.(lost, caught) ?? caught;
            }
          }
        } finally {
          stop();
        }
      },
      answered(requestId, { items, ended, error, as = REFUSED }) {
        const waiting = pending.get(requestId);
        if (waiting === undefined || waiting.end !== undefined) return;
        waiting.items.push(...items);
        if (error !== '')
          finish(waiting, {
            by: 'worker',
            failure: new FleetError(as.code, error, { details: { ...as.details } }),
          });
        else if (ended) finish(waiting, { by: 'worker' });
        else if (waiting.items.length > ITEMS_MAX)
          finish(waiting, {
            by: 'coordinator',
            failure: new FleetError('resourceExhausted', sentences.tooSlow),
          });
        else waiting.wake();
      },
    };
  }

  return { kind, occupies: (workerId) => [...inHand.values()].includes(workerId) };
}

/**
 * Workers that can be asked now, least loaded first: attached, with a stream, and not among those that were
 * lost. The load of a worker is what it has in hand, requests and runs alike, since it computes for one of
 * them at a time.
 */
export function freeWorkers(
  state: State,
  connected: PersistentMap<true>,
  inHand: ReadonlyMap<string, string>,
  lost: readonly string[],
): WorkerState[] {
  const requests = new Map<string, number>();
  for (const workerId of inHand.values()) requests.set(workerId, (requests.get(workerId) ?? 0) + 1);
  const free = [...valuesOf(state.workers)].filter(
    ({ id, state: is }) => is === 'attached' && lookup(connected, id) === true && !lost.includes(id),
  );
  const loads = new Map(
    free.map(({ id }) => [id, (requests.get(id) ?? 0) + runsHeldBy(state, id).length] as const),
  );
  return free.sort((a, b) => loads.get(a.id)! - loads.get(b.id)! || byNumbers(a.id, b.id));
}

/** Resolves when it is time to look for a worker again; rejects when the caller leaves. */
function nextLook(looking: Set<() => void>, leaving: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      looking.delete(look);
      leaving.removeEventListener('abort', leave);
    };
    const look = () => {
      end();
      resolve();
    };
    const leave = () => {
      end();
      reject(leaving.reason);
    };
    looking.add(look);
    leaving.addEventListener('abort', leave, { once: true });
    if (leaving.aborted) leave();
  });
}

/** The first end counts: what comes later is about a request that is over. */
function finish<Item>(waiting: Pending<Item>, end: NonNullable<Pending<Item>['end']>): void {
  waiting.end ??= end;
  waiting.wake();
}

/** Everything that came before the end, then the end. */
async function* itemsOf<Item>(waiting: Pending<Item>): AsyncGenerator<Item> {
  for (;;) {
    const [item] = waiting.items.splice(0, 1);
    if (item !== undefined) yield item;
    else if (waiting.end?.failure !== undefined) throw waiting.end.failure;
    else if (waiting.end !== undefined) return;
    else
      await new Promise<void>((resolve) => {
        waiting.wake = resolve;
      });
  }
}

/**
 * A signal that is aborted with a FleetError when the caller has gone or the deadline passes; `stop` ends the
 * wait for both.
 */
function leavingOf(
  { signal, deadline }: WorkerRequest,
  clock: Pick<Clock, 'sleep'>,
): { readonly leaving: AbortSignal; readonly stop: () => void } {
  const leaving = new AbortController();
  const stopping = new AbortController();
  const gone = () => leaving.abort(new FleetError('cancelled', 'the caller has gone'));
  if (signal.aborted) gone();
  signal.addEventListener('abort', gone, { once: true });
  if (deadline !== undefined)
    clock.sleep(deadline.ms, stopping.signal).then(
      () => leaving.abort(new FleetError('deadlineExceeded', deadline.sentence)),
      () => undefined,
    );
  return {
    leaving: leaving.signal,
    stop() {
      signal.removeEventListener('abort', gone);
      stopping.abort();
    },
  };
}
