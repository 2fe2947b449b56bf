// One member's observation of the others in one generation: which of them was asked how often, and when a
// message of it came. Decides which observations count, and reports the suspects each time that they change.

import {
  type Habits,
  NO_HABITS,
  type Suspicion,
  suspicionOf,
  type Wait,
  withAnswer,
  withStep,
} from './patience.ts';

/** A member that does not do its part, as seen by another. */
export interface Suspect extends Suspicion {
  readonly rank: number;
}

/** The habits of one run on one worker; outlives the run's exchanges. */
export interface HabitStore {
  habits: Habits;
}

export const createHabitStore = (): HabitStore => ({ habits: NO_HABITS });

export interface MemberWatch {
  /** A message of `rank` came, whatever it carries. */
  noteMessage(rank: number): void;
  /** `rank` was asked something. */
  noteQuestion(rank: number): void;
  /** A step took `ms` milliseconds from one sum to the next, or to the end of the generation. */
  noteStep(ms: number): void;
  judge(waitedFor: (rank: number) => Wait['part']): void;
  /**
   * The broker is away, or nothing is waited for: silence says nothing about any member, and nobody is
   * suspect.
   */
  clearQuestions(): void;
}

export function createMemberWatch(options: {
  readonly ranks: number;
  readonly rank: number;
  readonly store: HabitStore;
  /** Milliseconds of listening. */
  readonly now: () => number;
  readonly onChange: (suspects: readonly Suspect[]) => void;
}): MemberWatch {
  const { ranks, rank, store, now, onChange } = options;
  /** Questions since the last message of each member, and when the first of them was. */
  const asked = new Array<number>(ranks).fill(0);
  const askedAt = new Array<number>(ranks).fill(0);
  /** Whether a message of the member came in this generation. */
  const met = new Array<boolean>(ranks).fill(false);
  let reported = '';

  function report(suspects: readonly Suspect[]): void {
    const names = suspects.map((suspect) => `${suspect.rank} ${suspect.kind}`).join();
    if (names === reported) return;
    reported = names;
    onChange(suspects);
  }

  function waitFor(other: number, part: Wait['part']): Wait {
    return {
      part,
      silentMs: asked[other]! > 0 ? now() - askedAt[other]! : 0,
      asked: asked[other]!,
    };
  }

  return {
    noteMessage(other) {
      // A member's first message is no measure of how fast it answers: it may only have joined now.
      if (asked[other]! > 0 && met[other]) store.habits = withAnswer(store.habits, now() - askedAt[other]!);
      met[other] = true;
      asked[other] = 0;
    },
    noteQuestion(other) {
      if (asked[other]! === 0) askedAt[other] = now();
      asked[other]!++;
    },
    noteStep(ms) {
      store.habits = withStep(store.habits, ms);
    },
    judge(waitedFor) {
      const suspects: Suspect[] = [];
      for (let other = 0; other < ranks; other++) {
        if (other === rank) continue;
        const suspicion = suspicionOf(waitFor(other, waitedFor(other)), store.habits);
        if (suspicion !== undefined) suspects.push({ rank: other, ...suspicion });
      }
      report(suspects);
    },
    clearQuestions() {
      asked.fill(0);
      report([]);
    },
  };
}
