// Which job the compute thread takes next. Decides that jobs of a higher rank go before others that wait, but not for
// ever, and that jobs of one rank keep the order in which they were asked for. The thread has one job more than it works
// on, so that it need not wait for this side between two; what it has is not taken back.

/**
 * first: what others wait for, a teacher's steps and the embeddings of a student's teacher; usual; last: the scores of
 * candidates, which wait until nothing else is to be done, or for PASSED_MAX jobs of what trains.
 */
export type JobRank = 'first' | 'usual' | 'last';

const RANKS: readonly JobRank[] = ['first', 'usual', 'last'];
/** Jobs that the thread has: the one in hand and the next. */
const IN_THREAD_MAX = 2;
/** Jobs that go before one of the rank `last`; a run that trains alone has about ten a step. */
const PASSED_MAX = 100;

export interface JobQueue<J> {
  add(job: J, rank: JobRank): void;
  /** The job that is in hand, of those that the thread has; they end in their order. */
  inHand(): J | undefined;
  /** A job of the thread has ended. */
  ended(job: J): void;
  /** Jobs that wait or that the thread has. */
  size(): number;
}

/** `send`: gives a job to the thread. */
export function createJobQueue<J>(send: (job: J) => void): JobQueue<J> {
  const waiting = new Map(RANKS.map((rank) => [rank, [] as J[]]));
  const inThread: J[] = [];
  /** Jobs that have gone before the first of the rank `last`. */
  let passed = 0;
  const next = (): J | undefined => {
    const last = waiting.get('last')!;
    const rank = passed >= PASSED_MAX ? 'last' : RANKS.find((one) => waiting.get(one)!.length > 0);
    if (rank === undefined) return undefined;
    passed = rank === 'last' || last.length === 0 ? 0 : passed + 1;
    return waiting.get(rank)!.shift();
  };
  const fill = (): void => {
    while (inThread.length < IN_THREAD_MAX) {
      const job = next();
      if (job === undefined) return;
      inThread.push(job);
      send(job);
    }
  };
  return {
    add(job, rank) {
      waiting.get(rank)!.push(job);
      fill();
    },
    inHand: () => inThread[0],
    ended(job) {
      const place = inThread.indexOf(job);
      if (place >= 0) inThread.splice(place, 1);
      fill();
    },
    size: () => RANKS.reduce((sum, rank) => sum + waiting.get(rank)!.length, inThread.length),
  };
}
