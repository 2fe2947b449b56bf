// Faults of a simulated fleet at seeded times: processes of workers and coordinators die and stand still,
// coordinators are cut off from the broker, clocks jump, and appends die on their way. Decides which fault
// comes when; what it does is the world's.

import { pickOf } from './chance.ts';
import type { World } from './world.ts';

/** How often each fault has happened. */
export type FaultCounts = Record<FaultKind, number>;

type FaultKind =
  | 'kill worker'
  | 'drain worker'
  | 'kill coordinator'
  | 'kill all coordinators'
  | 'stop coordinator'
  | 'cut coordinator'
  | 'jump of a clock'
  | 'append killed before'
  | 'append killed after'
  | 'append killed within'
  | 'answer lost';

/** How far a clock jumps, milliseconds. */
const JUMPS_MS = [-3_600_000, 3_600_000, -60_000, 500];
const WITHIN_OFTENER = 8;

/** Begins at once; ends when `done` holds. A fault comes every `everyMs` on average. */
export function startFaults(
  world: World,
  options: {
    readonly everyMs: number;
    readonly workersAtOnce?: number;
    /** One message in as many dies on its way. */
    readonly appendsADeath: number;
    readonly done: () => boolean;
  },
): FaultCounts {
  const { everyMs, workersAtOnce = 1, appendsADeath, done } = options;
  const { chance } = world;
  const counts: FaultCounts = {
    ...{ 'kill worker': 0, 'drain worker': 0, 'kill coordinator': 0, 'kill all coordinators': 0 },
    ...{ 'stop coordinator': 0, 'cut coordinator': 0, 'jump of a clock': 0, 'answer lost': 0 },
    ...{ 'append killed before': 0, 'append killed after': 0, 'append killed within': 0 },
  };
  const count = (kind: FaultKind) => {
    counts[kind] += 1;
  };
  const ids = [...world.workers.keys()];
  const some = (action: (id: string) => void) => {
    for (let i = 0; i < workersAtOnce; i++) action(pickOf(ids, chance));
  };

  world.fate = (_, part) => {
    // Few decisions are cut, so that a later part of one dies more often.
    if (done() || chance() > (part > 0 ? WITHIN_OFTENER : 1) / appendsADeath) return 'stored';
    const dice = chance();
    if (dice < 0.4) {
      count(part > 0 ? 'append killed within' : 'append killed before');
      return 'killed before';
    }
    count(dice < 0.7 ? 'append killed after' : 'answer lost');
    return dice < 0.7 ? 'killed after' : 'answer lost';
  };

  function fault(): void {
    if (done()) return;
    const place = Math.floor(chance() * world.places);
    const dice = chance();
    if (dice < 0.45) {
      count('kill worker');
      some((id) => world.workers.get(id)?.kill(200 + 4_000 * chance()));
    } else if (dice < 0.6) {
      count('drain worker');
      some((id) => {
        world.workers.get(id)?.drain();
        world.later(3_000, () => world.workers.get(id)?.kill(500));
      });
    } else if (dice < 0.72) {
      count('kill coordinator');
      world.killCoordinator(place, 100 + 3_000 * chance());
    } else if (dice < 0.76) {
      count('kill all coordinators');
      for (let each = 0; each < world.places; each++) world.killCoordinator(each, 100 + 3_000 * chance());
    } else if (dice < 0.84) {
      count('stop coordinator');
      world.stopCoordinator(place, 500 + 12_000 * chance());
    } else if (dice < 0.92) {
      count('cut coordinator');
      world.cutCoordinator(place, 500 + 12_000 * chance());
    } else {
      count('jump of a clock');
      world.jumpClock(place, pickOf(JUMPS_MS, chance));
    }
    world.later(2 * everyMs * chance(), fault);
  }

  world.later(everyMs, fault);
  return counts;
}
