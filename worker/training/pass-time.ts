// How long the teacher's forward pass takes of a unit: the time in which any shard waits for embeddings. Decides
// that shards which wait together are counted once, so that the phases of a unit add up to its time.

import type { Clock } from '../../core/clock.ts';
import type { TeacherNetwork } from './teacher-network.ts';

/** The teacher of a unit, and how long its passes took so far. */
export interface TimedTeacher {
  readonly teacher: TeacherNetwork;
  readonly seconds: () => number;
}

/** The same teacher, by the clock. */
export function timedTeacher(teacher: TeacherNetwork, clock: Clock): TimedTeacher {
  let open = 0;
  let since = 0;
  let milliseconds = 0;
  const end = () => {
    open -= 1;
    if (open === 0) milliseconds += clock.monotonic() - since;
  };
  return {
    teacher: {
      ...teacher,
      inputsOf(batch) {
        if (open === 0) since = clock.monotonic();
        open += 1;
        return teacher.inputsOf(batch).finally(end);
      },
    },
    seconds: () => milliseconds / 1000,
  };
}
