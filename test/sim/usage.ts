// Who has used how much of a simulated fleet: worker-seconds by the gangs that are stored, on the world's own time, so
// that neither the accounts of the product nor its clocks have a part in it.

import type { Event } from '../../coordinator/model/events.ts';
import { type RunState, runOf } from '../../coordinator/model/state.ts';
import type { World } from './world.ts';

/** Worker-milliseconds so far by what `of` says of a run. */
export interface Usage {
  of(key: string): number;
  readonly total: number;
}

/** Counts from now on. */
export function followUsage(world: World, of: (run: RunState) => string): Usage {
  const used = new Map<string, number>();
  const held = new Map<string, { readonly key: string; readonly size: number }>();
  let atMs = world.now();

  function countUpToNow(): void {
    const passed = world.now() - atMs;
    atMs = world.now();
    for (const { key, size } of held.values()) used.set(key, (used.get(key) ?? 0) + passed * size);
  }

  function take(event: Event): void {
    switch (event.kind) {
      case 'run.assigned':
        countUpToNow();
        held.set(event.runId, {
          key: of(runOf(world.witness.state, event.runId)),
          size: event.members.length,
        });
        return;
      case 'run.requeued':
      case 'run.paused':
      case 'run.finished':
      case 'run.failed':
      case 'run.cancelled':
        countUpToNow();
        held.delete(event.runId);
    }
  }

  const before = world.onEvent;
  world.onEvent = (event) => {
    before(event);
    take(event);
  };
  return {
    of(key) {
      countUpToNow();
      return used.get(key) ?? 0;
    },
    get total() {
      countUpToNow();
      return [...used.values()].reduce((sum, ms) => sum + ms, 0);
    },
  };
}
