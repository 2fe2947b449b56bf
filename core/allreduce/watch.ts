// One member's eye on the others in one generation: who was asked how often and said something when. Keeps the facts that
// patience.ts judges and tells changes of the verdict; asking is reduction.ts' and sync.ts', acting the coordinator's.

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

/** Of one run on one worker; outlives its exchanges. */
export interface HabitStore {
  habits: Habits;
}

export const createHabitStore = (): HabitStore => ({ habits: NO_HABITS });

export interface Watch {
  heard(rank: number): void;
  asked(rank: number): void;
  /** From one sum to the next, or to the end of the generation. */
  stepTook(ms: number): void;
  judge(waitedFor: (rank: number) => Wait['part']): void;
  /** The broker is away, or nobody waits: nothing is known of anybody. */
  pardon(): void;
}

export function createWatch(options: {
  readonly ranks: number;
  readonly rank: number;
  readonly store: HabitStore;
  readonly now: () => number;
  readonly onChange: (suspects: readonly Suspect[]) => void;
}): Watch {
  const { ranks, rank, store, now, onChange } = options;
  /** Questions since it said anything, and when the first of them was. */
  const asked = new Array<number>(ranks).fill(0);
  const askedAt = new Array<number>(ranks).fill(0);
  /** Has spoken in this generation. */
  const met = new Array<boolean>(ranks).fill(false);
  let told = '';

  function tell(suspects: readonly Suspect[]): void {
    const names = suspects.map((suspect) => `${suspect.rank} ${suspect.kind}`).join();
    if (names === told) return;
    told = names;
    onChange(suspects);
  }

  return {
    heard(other) {
      // Who has not spoken before may only have come now.
      if (asked[other]! > 0 && met[other]) store.habits = withAnswer(store.habits, now() - askedAt[other]!);
      met[other] = true;
      asked[other] = 0;
    },
    asked(other) {
      if (asked[other]! === 0) askedAt[other] = now();
      asked[other]!++;
    },
    stepTook(ms) {
      store.habits = withStep(store.habits, ms);
    },
    judge(waitedFor) {
      const suspects: Suspect[] = [];
      for (let other = 0; other < ranks; other++) {
        if (other === rank) continue;
        const wait = {
          part: waitedFor(other),
          silentMs: asked[other]! > 0 ? now() - askedAt[other]! : 0,
          asked: asked[other]!,
        };
        const suspicion = suspicionOf(wait, store.habits);
        if (suspicion !== undefined) suspects.push({ rank: other, ...suspicion });
      }
      tell(suspects);
    },
    pardon() {
      asked.fill(0);
      tell([]);
    },
  };
}
