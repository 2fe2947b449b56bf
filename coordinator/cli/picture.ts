// What a watcher knows: a whole picture, and the changes since. Decides how a message becomes part of it.

import type { Snapshot } from '../../proto/gen/pocketfleet/v1/fleet.ts';

/** The picture after a message; both arguments stay as they are. */
export function pictureWith(before: Snapshot | undefined, message: Snapshot): Snapshot {
  if (message.changes === undefined || before === undefined) return message;
  const removed = new Set(message.changes.removedIds);
  const { changes: _, ...now } = message;
  return {
    ...now,
    plans: listWith(before.plans, message.plans, removed),
    sweeps: listWith(before.sweeps, message.sweeps, removed),
    trials: listWith(before.trials, message.trials, removed),
    runs: listWith(before.runs, message.runs, removed),
    workers: listWith(before.workers, message.workers, removed),
  };
}

interface Thing {
  readonly id: string;
}

/** The list in the order of ids, with what is new and has changed, and without what was removed. */
function listWith<T extends Thing>(
  before: readonly T[],
  changed: readonly T[],
  removed: ReadonlySet<string>,
): T[] {
  const news = new Map(changed.map((item) => [item.id, item]));
  const kept = before.filter(({ id }) => !removed.has(id)).map((item) => news.get(item.id) ?? item);
  for (const { id } of before) news.delete(id);
  if (news.size === 0) return kept;
  return [...kept, ...news.values()].sort((a, b) => order.compare(a.id, b.id) || (a.id < b.id ? -1 : 1));
}

/** Numbers in ids are read as numbers. */
const order = new Intl.Collator('en', { numeric: true });
