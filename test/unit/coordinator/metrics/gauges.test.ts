// What the coordinator's gauges show of a state, and that a standby shows nothing of it.

import assert from 'node:assert/strict';
import test from 'node:test';
import type { Gauged } from '../../../../coordinator/metrics/gauges.ts';
import type { State } from '../../../../coordinator/model/state.ts';
import { coordinatorMetrics } from '../../../support/metrics.ts';
import { createSweepFleet, ofSeveralDevices } from '../../../support/sweep-fleet.ts';

const NOTHING_WAITS = { of: () => undefined, counts: () => new Map() };

function gauged(state: State, more: Partial<Gauged> = {}): Gauged {
  return {
    state,
    time: state.time.fleet,
    waiting: NOTHING_WAITS,
    workersDesired: () => 3,
    natsConnected: true,
    leads: true,
    halted: false,
    store: {
      ...{ kind: 'full', reason: 'r', usedBytes: 7, limitBytes: 9, streams: [], place: 'p', sinceMs: 0 },
    },
    streams: [{ kind: 'artefacts', bytes: 5, bytesMax: 6 }],
    certificateExpiryMs: 7_000,
    tokenExpiries: [{ name: 'ci', role: 'submit', atMs: 8_000 }],
    lastSeenMs: () => 5_000,
    progressOf: () => undefined,
    ...more,
  };
}

test('a lost worker keeps a series with the time and the code of its loss, and has no heartbeat', async () => {
  const fleet = createSweepFleet(2);
  fleet.add({ kind: 'worker.lost', workerId: 'w1', incarnation: 'i', cause: 'pod_ended', reason: 'evicted' });
  const { registry } = coordinatorMetrics({ gauged: () => gauged(fleet.state) });
  const text = await registry.metrics();
  assert.match(text, /^pocketfleet_worker_lost_timestamp_seconds\{worker="w1",reason="pod_ended"\} 1\.\d+$/m);
  assert.match(text, /^pocketfleet_worker_last_heartbeat_timestamp_seconds\{worker="w2"\} 5$/m);
  assert.doesNotMatch(text, /heartbeat_timestamp_seconds\{worker="w1"/);
});

test('each GPU of a worker that computes on several is counted', async () => {
  const fleet = createSweepFleet(1);
  for (const count of [4, 2]) fleet.add(ofSeveralDevices(`wide-${count}`, count));
  const { registry } = coordinatorMetrics({ gauged: () => gauged(fleet.state) });
  assert.match(await registry.metrics(), /^pocketfleet_gpus\{state="idle",gpu_model="H200"\} 6$/m);
});

test('a running run that makes no step keeps the time of its last one; one that waits or has made all has none', async () => {
  const fleet = createSweepFleet(1);
  fleet.assign(fleet.propose(), 'w1');
  let nowMs = 10_000;
  let progress: ReturnType<Gauged['progressOf']>;
  const { registry } = coordinatorMetrics({
    now: () => nowMs,
    gauged: () => gauged(fleet.state, { progressOf: () => progress }),
  });
  const shown = async () =>
    /^pocketfleet_run_last_progress_timestamp_seconds\{run="run-1"\} (\S+)$/m.exec(
      await registry.metrics(),
    )?.[1];
  assert.equal(await shown(), '10');
  progress = { generation: 1, step: 1, openRoundSteps: 0, waitsFor: undefined };
  nowMs = 20_000;
  assert.equal(await shown(), '20');
  nowMs = 90_000;
  assert.equal(await shown(), '20', 'no step since');
  progress = { ...progress, openRoundSteps: 3 };
  assert.equal(await shown(), '90', 'steps of a round count');
  const waiting = async (reason: string) =>
    (await registry.metrics()).includes(`\npocketfleet_runs_waiting{reason="${reason}"} 1\n`);
  assert.ok(!(await waiting('store')) && !(await waiting('teacher_stage')));
  for (const waitsFor of ['store', 'teacher_stage'] as const) {
    progress = { ...progress, waitsFor };
    assert.equal(await shown(), undefined);
    assert.deepEqual(
      [await waiting('store'), await waiting('teacher_stage')],
      [waitsFor === 'store', waitsFor !== 'store'],
    );
  }
});

test('a sweep is shown until its series were scraped after its end, and gone then', async () => {
  const fleet = createSweepFleet(1);
  let nowMs = 0;
  const metrics = coordinatorMetrics({
    ...{ keepMs: 60_000, now: () => nowMs, gauged: () => gauged(fleet.state) },
  });
  fleet.onChange(() => metrics.event(fleet.events.at(-1)!, fleet.state));
  const number = fleet.propose();
  fleet.assign(number, 'w1');
  fleet.finish(number, 0.5);
  fleet.add({ kind: 'sweep.ended', sweepId: 'sweep-1', state: 'done', reason: 'r' });
  const best = /^pocketfleet_sweep_best_objective\{sweep="sweep-1",objective="accuracy"\} 0\.5$/m;
  nowMs = 59_000;
  const text = await metrics.registry.metrics();
  assert.match(text, best);
  assert.match(
    text,
    /^pocketfleet_device_seconds_total\{sweep="sweep-1",role="candidate",device="cpu"\} 0\.00025$/m,
  );
  nowMs = 61_000;
  assert.doesNotMatch(await metrics.registry.metrics(), /sweep-1/);
});

test('a standby shows that it is one, and nothing of the state: it would be counted twice', async () => {
  const fleet = createSweepFleet(2);
  fleet.propose();
  let leads = true;
  const { registry } = coordinatorMetrics({ gauged: () => gauged(fleet.state, { leads }) });
  const ofState = /^pocketfleet_(trials|runs|workers|jetstream_stream_bytes|store_blocked)\{/m;
  const text = await registry.metrics();
  assert.match(text, ofState);
  assert.match(text, /^pocketfleet_jetstream_stream_bytes_limit\{stream="artefacts"\} 6$/m);
  assert.match(text, /^pocketfleet_store_blocked\{state="full"\} 1$/m);
  leads = false;
  const standby = await registry.metrics();
  assert.doesNotMatch(standby, ofState);
  assert.match(standby, /^pocketfleet_coordinator_leader 0$/m);
  assert.match(standby, /^pocketfleet_certificate_expiry_timestamp_seconds\{component="coordinator"\} 7$/m);
  assert.match(standby, /^pocketfleet_token_expiry_timestamp_seconds\{token="ci",role="submit"\} 8$/m);
});
