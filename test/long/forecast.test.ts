// What `plan FILE` says of the demo, before anything was measured and after it, against what real workers then do.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { coordinatorConfigSchema } from '../../core/config.ts';
import { unary } from '../../core/net/grpc-client.ts';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { PHASE_FIELDS } from '../../core/worker-time.ts';
import type { Forecast } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet } from '../support/fleet.ts';

const yaml = readFileSync(join(PACKAGE_ROOT, 'examples/demo-tiny.yaml'), 'utf8');
const BATCH = 8;
const DEADLINE_MS = 600_000;
/** Between two heartbeats of a worker. */
const HEARTBEAT_MS = coordinatorConfigSchema.shape.heartbeatIntervalMs.parse(undefined);
/** The forecast takes means over runs of a kind, whose sum over the parts is what the runs took. */
const OF_MEASURED = 0.1;
/** The second demo finds its graphs compiled, and is not slower than this, whatever else the machine does. */
const APART_MAX = 3;
const fleet = await startFleet({ workers: ['w1', 'w2'] });
after(() => fleet.stop());
const { client } = fleet;

async function foreseen(): Promise<Forecast> {
  const request = { yaml, baseDir: '', dryRun: true, overrides: {}, fresh: true };
  return (await unary(client, client.submit, request, { deadlineMs: 60_000 })).forecast!;
}

/** What the parts of a forecast are together, where each is known exactly. */
const sumOf = ({ parts }: Forecast, of: 'runs' | 'steps' | 'images'): number =>
  parts.reduce((total, part) => {
    const { low, likely, high } = part[of]!;
    assert.ok(low === likely && likely === high, `${part.name}: ${of} are not known`);
    return total + likely;
  }, 0);

/** Trains the demo; what its runs did, and the seconds of workers that they took. */
async function demo() {
  const [id = ''] = (await fleet.submit(yaml)).planIds;
  const { plans } = await fleet.until(
    (seen) => seen.plans.some((plan) => plan.id === id && plan.state !== 'running'),
    'the demo ends',
    DEADLINE_MS,
  );
  const { state, reason, sweepId } = plans.find((plan) => plan.id === id)!;
  assert.equal(state, 'done', reason);
  // Workers report with their heartbeats, of which one may be on its way.
  await sleep(2 * HEARTBEAT_MS);
  const lists = await Promise.all(
    [
      { planId: id, sweepId: '' },
      { planId: '', sweepId },
    ].map((of) => unary(client, client.listRuns, of)),
  );
  const runs = [...new Map(lists.flatMap((list) => list.runs.map((run) => [run.id, run]))).values()];
  const steps = runs.reduce((total, run) => total + run.step, 0);
  const { seconds } = await unary(client, client.getGoodput, { id });
  const counted = PHASE_FIELDS.filter(([phase]) => phase !== 'paused' && phase !== 'lost');
  return {
    amounts: [runs.length, steps, steps * BATCH],
    seconds: counted.reduce((total, [, field]) => total + (seconds?.[field] ?? 0), 0),
  };
}

test('runs, steps and images of the demo are foreseen exactly, and its worker-seconds by those of the demo before', async (t) => {
  const before = await foreseen();
  assert.match(before.untimed, /no speed was measured/);
  const first = await demo();
  assert.deepEqual(
    (['runs', 'steps', 'images'] as const).map((of) => sumOf(before, of)),
    first.amounts,
  );
  const [time, ...others] = (await foreseen()).times;
  assert.deepEqual(others, [], 'both workers are of one class');
  const { low, likely, high } = time!.workerSeconds!;
  const { amounts, seconds } = await demo();
  assert.deepEqual(amounts, first.amounts);
  t.diagnostic(
    `foreseen ${likely.toFixed(1)} worker-seconds (${low.toFixed(1)} to ${high.toFixed(1)}); took ${seconds.toFixed(1)}, the demo before ${first.seconds.toFixed(1)}`,
  );
  assert.ok(Math.abs(likely - first.seconds) < OF_MEASURED * first.seconds);
  assert.ok(seconds < APART_MAX * likely);
});
