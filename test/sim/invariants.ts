// What must hold after every event of any scenario, whatever happened. Throws with the event that broke it.

import assert from 'node:assert/strict';
import { runsHeldBy } from '../../coordinator/decisions/gangs.ts';
import type { Event } from '../../coordinator/model/events.ts';
import { runOf, type State } from '../../coordinator/model/state.ts';

export function checkEvent(event: Event, before: State, after: State): void {
  if (event.kind === 'run.finished')
    assert.equal(runOf(before, event.runId).state, 'running', 'finished twice');
  if (event.kind === 'run.checkpointed')
    assert.ok(
      !runOf(before, event.runId).checkpoints.some(({ stage }) => stage === event.stage),
      'stored twice',
    );
  if (event.kind !== 'run.assigned') return;
  const run = runOf(after, event.runId);
  assert.ok(event.generation > runOf(before, event.runId).generation, 'a generation did not grow');
  const shards = event.members.flatMap(({ shardFirst, shardCount }) =>
    Array.from({ length: shardCount }, (_, i) => shardFirst + i),
  );
  assert.deepEqual(
    shards,
    Array.from({ length: run.spec.training.shards }, (_, i) => i),
    'each shard has one holder',
  );
  const { min, max } = run.spec.workers;
  const stayed = runOf(before, event.runId).gang.map(({ workerId }) => workerId);
  const goesOn = event.members.some(({ workerId }) => stayed.includes(workerId));
  const least = goesOn ? 1 : min;
  assert.ok(event.members.length >= least && event.members.length <= max, 'a gang outside its bounds');
  for (const { workerId } of event.members) {
    const worker = after.workers.get(workerId)!;
    assert.equal(worker.state, 'attached', `${workerId} got a run while ${worker.state}`);
    assert.ok(runsHeldBy(after, workerId).length <= worker.slots, `${workerId} has more runs than slots`);
    if (run.spec.training.exact) assert.equal(worker.deviceClass, run.deviceClass, 'device classes mixed');
  }
}
