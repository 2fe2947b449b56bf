// The child processes of one supervisor. Decides that their ids are written down at each change, so that a
// later command ends what a killed supervisor has left, and the order in which they end.

import { systemClock } from '../../../core/clock.ts';
import { toFleetError } from '../../../core/errors.ts';
import { identityOf, isAlive, type ProcessIdentity, readChildren, writeChildren } from './fleet-file.ts';
import { type ChildSpec, type StopTimes, type Supervised, supervise } from './supervise.ts';

const WORKER_STOP: StopTimes = { againMs: 1500, killMs: 6000 };
const CONTROL_STOP: StopTimes = { againMs: 3000, killMs: 8000 };

/** What a child is to the fleet. */
export type Role = 'broker' | 'coordinator' | 'worker';

export interface Children {
  /** In the order of their start: broker, coordinators, workers. */
  readonly all: readonly Supervised[];
  begin(spec: ChildSpec, role: Role): Supervised;
  /** Names and process ids of what runs now. */
  running(): readonly ProcessIdentity[];
  /** Ends the workers first, because they store what they have, then the coordinators, and the broker last. */
  stop(): Promise<void>;
  /** SIGKILL to all at once. */
  kill(): void;
}

export function superviseChildren(dir: string, say: (text: string) => void): Children {
  const all: Supervised[] = [];
  const roles = new Map<Supervised, Role>();
  const running = () =>
    all.flatMap((child) => {
      const pid = child.pid();
      return pid === undefined ? [] : [identityOf(child.name, pid)];
    });
  let noted = true;
  // A full disk does not end the fleet; it is reported once.
  const note = () => {
    try {
      writeChildren(dir, running());
      noted = true;
    } catch (caught) {
      if (noted) say(toFleetError(caught).message);
      noted = false;
    }
  };
  return {
    all,
    running,
    begin(spec, role) {
      const child = supervise(spec, { changed: note, say });
      all.push(child);
      roles.set(child, role);
      writeChildren(dir, running());
      return child;
    },
    async stop() {
      for (const role of ['worker', 'coordinator', 'broker'] as const) {
        const those = all.filter((child) => roles.get(child) === role);
        const times = role === 'worker' ? WORKER_STOP : CONTROL_STOP;
        await Promise.all(those.map((child) => child.stop(times)));
      }
    },
    kill() {
      for (const child of all) child.kill();
    },
  };
}

/** Ends children of a supervisor that was killed before it could do so itself. */
export async function endLeftovers(dir: string, say: (text: string) => void): Promise<void> {
  const leftovers = readChildren(dir).filter(isAlive);
  if (leftovers.length === 0) return;
  say(
    `ending ${leftovers.map(({ name, pid }) => `${name} (process ${pid})`).join(', ')}: left by a supervisor that was killed`,
  );
  for (const leftover of leftovers) end(leftover, 'SIGTERM');
  const deadline = systemClock.monotonic() + 5000;
  while (leftovers.some(isAlive) && systemClock.monotonic() < deadline) await systemClock.sleep(50);
  for (const leftover of leftovers) if (isAlive(leftover)) end(leftover, 'SIGKILL');
  while (leftovers.some(isAlive)) await systemClock.sleep(20);
}

/** Ends a process. One that has ended by itself meanwhile counts as ended. */
function end(leftover: ProcessIdentity, signal: NodeJS.Signals): void {
  try {
    process.kill(leftover.pid, signal);
  } catch (caught) {
    if (isAlive(leftover)) throw toFleetError(caught, `ending ${leftover.name} (process ${leftover.pid})`);
  }
}
