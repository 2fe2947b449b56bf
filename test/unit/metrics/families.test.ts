// Both programs' registries as a scrape sees them before anything has happened, and after.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counter, Histogram, type Registry } from 'prom-client';
import type { Decided, Event } from '../../../coordinator/model/events.ts';
import { evolve } from '../../../coordinator/model/evolve.ts';
import { initialState, LOSS_CAUSES } from '../../../coordinator/model/state.ts';
import { INPUT_KINDS } from '../../../core/metrics/coordinator-catalogue.ts';
import { labelSets } from '../../../core/metrics/description.ts';
import { JOB_KINDS, STEP_PHASES } from '../../../core/metrics/worker-catalogue.ts';
import { FleetServiceService } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { WorkerServiceService } from '../../../proto/gen/pocketfleet/v1/worker.ts';
import { sweep } from '../../sim/specs.ts';
import { FACTS } from '../../sim/world.ts';
import { servingCoordinatorMetrics, workerMetrics } from '../../support/metrics.ts';
import { drawn, recorded } from '../../support/state.ts';

/** Labels whose values nobody knows beforehand: the series of a run begin and end with it, a priority is one of 101. */
const OPEN = new Set(['run', 'rank', 'sweep', 'priority']);
/** Labels that a scrape adds or a metric's kind has; a series' own of the same name would come out as exported_NAME. */
const RESERVED =
  /^(__.*|exported_.*|job|instance|namespace|fleet|pod|container|service|endpoint|node|cluster|prometheus|prometheus_replica|le|quantile)$/;

interface Family {
  readonly name: string;
  readonly labelNames: readonly string[];
  readonly hashMap: Readonly<Record<string, { readonly labels: Readonly<Record<string, string>> }>>;
}
const familiesOf = (registry: Registry) =>
  registry.getMetricsAsArray() as unknown as readonly (Family & object)[];

/** Counters and histograms that count by labels, without the default metrics of the process. */
const counting = (registry: Registry) =>
  familiesOf(registry).filter(
    (family) =>
      (family instanceof Counter || family instanceof Histogram) &&
      /^(pocketfleet|grpc)_/.test(family.name) &&
      family.labelNames.length > 0,
  );

/** NAME{labels} of every series that a scrape shows now. */
async function seriesOf(registry: Registry): Promise<Set<string>> {
  const text = await registry.metrics();
  return new Set([...text.matchAll(/^([a-z_]+(\{[^}]*\})?) /gm)].map(([, series]) => series!));
}

test('every family that counts by closed labels has its series before anything happens, all of them 0', async () => {
  for (const { registry } of [workerMetrics(), await servingCoordinatorMetrics()]) {
    const closed = counting(registry).filter(({ labelNames }) => !labelNames.some((name) => OPEN.has(name)));
    assert(closed.length >= 4);
    for (const { name, hashMap } of closed) assert(Object.keys(hashMap).length > 0, name);
    const text = await registry.metrics();
    for (const { name } of closed)
      for (const [line, value] of text.matchAll(new RegExp(`^${name}(?:_count)?\\{[^}]*\\} (\\S+)$`, 'gm')))
        assert.equal(value, '0', line);
  }
});

test('what happens to a fleet makes no new series of the coordinator', async () => {
  const metrics = await servingCoordinatorMetrics();
  const before = await seriesOf(metrics.registry);
  const at = (event: Decided) => ({ ...event, atMs: 1 }) as Event;
  const costs = { parameters: 1, mflops: 1, multiplyAdds: 1 };
  const proposed = { number: 1, genotype: 'g', costs, cursor: drawn(1) };
  const { event: spec, digest } = recorded(sweep());
  const members = [{ workerId: 'w', shardFirst: 0, shardCount: 8 }];
  let state = initialState;
  const happen = (event: Decided) => {
    const after = evolve(state, at(event));
    metrics.event(at(event), after);
    state = after;
  };
  happen(spec);
  happen({ kind: 'sweep.submitted', sweepId: 'sweep-1', spec: digest, facts: FACTS });
  for (const [n, outcome] of (['done', 'failed', 'cancelled'] as const).entries()) {
    const [trialId, runId] = [`trial-${n + 1}`, `run-${n + 1}`];
    happen({ kind: 'trial.proposed', trialId, sweepId: 'sweep-1', ...proposed });
    happen({ kind: 'trial.attempted', trialId, runId, attempt: 1, reason: 'r' });
    happen({ kind: 'run.assigned', runId, generation: 1, members, deviceClass: 'c', reason: 'r' });
    happen({ kind: 'run.requeued', runId, generation: 1, reason: 'r' });
    happen({
      kind: 'run.troubled',
      runId,
      workerId: 'w',
      avoidUntilMs: 1,
      cause: 'out_of_memory',
      reason: 'r',
    });
    const failure = { cause: 'numeric', reason: 'r' };
    if (outcome === 'failed') happen({ kind: 'run.failed', runId, ...failure });
    else if (outcome === 'cancelled') happen({ kind: 'run.cancelled', runId, reason: 'r' });
    else
      happen({
        ...{ kind: 'run.finished', runId, generation: 1, workerId: 'w', step: 1, weightsDigest: 'd' },
      });
    happen({ kind: 'trial.ended', trialId, state: outcome, reason: 'r' });
  }
  for (const cause of LOSS_CAUSES)
    happen({ kind: 'worker.lost', workerId: 'w', incarnation: 'i', cause, reason: 'r' });
  for (const input of INPUT_KINDS) happen({ kind: 'input.refused', input, reason: 'r' });
  happen({ kind: 'store.collected', manifests: 1, chunks: 2, bytes: 3 });
  for (const outcome of ['ok', 'refused'] as const) metrics.submission(outcome);
  for (const outcome of ['ok', 'error'] as const) metrics.appended(outcome, 0.1);
  metrics.reconnected();
  metrics.fencedWrite();
  for (const definition of [FleetServiceService, WorkerServiceService])
    for (const { path, requestStream, responseStream } of Object.values(definition)) {
      const [, service, method] = path.split('/') as [string, string, string];
      const type = requestStream ? 'bidi_stream' : responseStream ? 'server_stream' : 'unary';
      metrics.calls.started({ type, service, method });
      for (let code = 0; code <= 16; code++)
        metrics.calls.handled({ type, service, method, code, seconds: 1 });
    }
  const born = [...(await seriesOf(metrics.registry))].filter((series) => !before.has(series));
  assert.deepEqual(
    born.filter((series) => !/^pocketfleet_(run_queue_wait_seconds|device_seconds_total)/.test(series)),
    [],
  );
  const text = await metrics.registry.metrics();
  for (const line of [
    'pocketfleet_trials_finished_total{outcome="failed",reason="numeric"} 1',
    'pocketfleet_trials_finished_total{outcome="done",reason="none"} 1',
    'pocketfleet_runs_finished_total{kind="candidate",outcome="failed",reason="numeric"} 1',
    'pocketfleet_trial_restarts_total{reason="out_of_memory"} 3',
    'pocketfleet_workers_lost_total{reason="pod_ended"} 1',
    'pocketfleet_store_collected_bytes_total 3',
  ])
    assert(text.includes(`${line}\n`), line);
});

test('the series of a priority are at 0 before the first run of that priority has a gang', async () => {
  const metrics = await servingCoordinatorMetrics();
  const { event: spec, digest } = recorded(sweep());
  let state = evolve(initialState, { ...spec, atMs: 1 });
  const submitted: Event = {
    ...{ kind: 'sweep.submitted', sweepId: 'sweep-1', spec: digest, facts: FACTS, atMs: 1 },
  };
  state = evolve(state, submitted);
  metrics.event(submitted, state);
  assert.match(
    await metrics.registry.metrics(),
    /^pocketfleet_run_queue_wait_seconds_count\{priority="50"\} 0$/m,
  );
});

test('a run of a worker has all its series when it begins, and none when it is gone', async () => {
  const metrics = workerMetrics();
  const without = await seriesOf(metrics.registry);
  metrics.beginRun('run-1');
  const before = await seriesOf(metrics.registry);
  const run = { run: 'run-1' };
  for (const family of counting(metrics.registry).filter(({ labelNames }) => labelNames.join() === 'run'))
    if (family instanceof Counter) family.inc(run);
    else (family as unknown as Histogram<'run'>).observe(run, 1);
  for (const phase of STEP_PHASES) metrics.phase.inc({ ...run, phase }, 1);
  for (const direction of ['sent', 'received'] as const) metrics.allreduceBytes.inc({ ...run, direction }, 1);
  for (const kind of ['asked', 'sent'] as const) metrics.allreduceRetransmits.inc({ ...run, kind }, 1);
  for (const kind of JOB_KINDS) metrics.computeBusy.inc({ kind }, 1);
  metrics.natsReconnects.inc({ component: 'worker' });
  metrics.drainDuration.observe(1);
  for (const op of ['save', 'load'] as const) {
    metrics.checkpointBytes.inc({ op }, 1);
    for (const outcome of ['ok', 'error'] as const) metrics.checkpointDuration.observe({ op, outcome }, 1);
  }
  assert.deepEqual(await seriesOf(metrics.registry), before);
  metrics.endRun('run-1');
  assert.deepEqual(await seriesOf(metrics.registry), without);
});

test('no metric has a label that a scrape adds or that its kind has', async () => {
  for (const { registry } of [workerMetrics(), await servingCoordinatorMetrics()]) {
    const families = familiesOf(registry);
    assert(families.length > 20);
    for (const { name, labelNames, hashMap } of families) {
      const own = labelNames.filter((label) => !['le', 'quantile'].includes(label) || !/^nodejs_/.test(name));
      assert.deepEqual(
        own.filter((label) => RESERVED.test(label)),
        [],
        name,
      );
      assert(
        Object.values(hashMap).every(({ labels }) =>
          Object.keys(labels).every((l) => labelNames.includes(l)),
        ),
      );
    }
  }
});

test('label sets are every combination, and one empty set without labels', () => {
  assert.deepEqual(labelSets({}), [{}]);
  assert.deepEqual(labelSets({ a: ['1', '2'], b: ['x'] }), [
    { a: '1', b: 'x' },
    { a: '2', b: 'x' },
  ]);
});
