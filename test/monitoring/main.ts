// Every dashboard on a real Prometheus that scrapes a real fleet: a plan with a sweep, a search that is probed, a run
// that fails, a worker that is killed, a store that becomes full. Names each panel without data, and draws all of them as SVG.
//   npm run test:monitoring [-- FOLDER]

import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../core/clock.ts';
import { DASHBOARDS } from '../../scripts/monitoring/all-dashboards.ts';
import type { PanelSpec } from '../../scripts/monitoring/panel.ts';
import { startFleet } from '../support/fleet.ts';
import { assertNothingLeft, until } from '../support/processes.ts';
import { startPrometheus, type TestPrometheus } from '../support/prometheus.ts';
import { promtool } from '../support/promtool.ts';
import { type Curve, drawDashboard } from './draw.ts';

/** Panels that stay empty in this fleet, and why. */
const EMPTY: Readonly<Record<string, string>> = {
  'Refused inputs': 'only a fault of the program fills it',
  'Requests to Kubernetes': 'the fleet is in no cluster',
  Tokens: 'no token of the fleet expires',
  Certificates: 'the fleet is not encrypted',
  'Time to drain p90': 'a worker that has drained is not scraped any more',
};
/** Of exporters that are not there, or of devices. */
const FOREIGN = /DCGM_|nats_varz_|pocketfleet_gpus|gpus_allocated|device="gpu"/;
/** prom-client's own names, which end like counters and are none. */
const LINT_ALLOWED = /nodejs_active_(handles|requests|resources)_total/;

const endless = (name: string, optimizer: string) => `
kind: teacher
name: ${name}
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 8, images: 24, holdout: 3, seed: 5 }
training: { epochs: 10000, batch: 16, shards: 4, seed: 7, optimizer: { ${optimizer} } }
verification: { pairs: 40 }
workers: { min: 1, max: 2 }
`;

/** Probes its finite difference in every step. */
const searching = `
kind: search
name: cells
supernet: { channels: 2, layers: 4 }
data: { kind: synthetic, identities: 8, images: 8, holdout: 2, seed: 5 }
search: { order: second, variant: darts, epochs: 1000, batch: 4, shards: 1, seed: 7, probeEvery: 1, force: true }
workers: { min: 1, max: 1 }
`;

async function curvesOf(
  prometheus: TestPrometheus,
  panel: PanelSpec,
  fromMs: number,
): Promise<{ readonly expr: string; readonly curves: readonly Curve[] }[]> {
  const nowMs = systemClock.now();
  return Promise.all(
    panel.queries.map(async ({ expr, legend }) => {
      const query = new URLSearchParams({
        query: expr.replaceAll('$__rate_interval', '15s').replaceAll('$__range', '3m'),
        start: String(fromMs / 1000),
        end: String(nowMs / 1000),
        step: '2',
      });
      const answer = await fetch(`${prometheus.url}/api/v1/query_range?${query}`);
      const body = (await answer.json()) as {
        error?: string;
        data?: { result: { metric: Record<string, string>; values: [number, string][] }[] };
      };
      if (body.data === undefined) throw new Error(`${panel.title}: ${expr}: ${body.error}`);
      const curves = body.data.result.map(({ metric, values }) => ({
        label: labelOf(legend, metric) || panel.title,
        points: values.map(([seconds, value]) => [seconds, Number(value)] as const),
      }));
      return { expr, curves };
    }),
  );
}

/** A table has no legend: its columns are the labels. */
function labelOf(legend: string, metric: Readonly<Record<string, string>>): string {
  if (legend === '') return Object.values(metric).join(' ');
  return legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '');
}

const hasData = (curves: readonly Curve[]): boolean =>
  curves.some(({ points }) => points.some(([, value]) => Number.isFinite(value)));

const out = process.argv[2] ?? mkdtempSync(join(tmpdir(), 'pocketfleet-dashboards-'));
mkdirSync(out, { recursive: true });
const fleet = await startFleet({ workers: ['w1', 'w2', 'w3'] });
const workers = ['w1', 'w2', 'w3'].map((id) => fleet.workerMetricsEndpoint(id));
const prometheus = await startPrometheus({
  targets: { coordinator: [fleet.metricsEndpoint], worker: workers },
});
const troubles: string[] = [];
try {
  const fromMs = systemClock.now();
  const seen = (what: string, query: string) =>
    until(what, async () => (await prometheus.query(query)).length > 0, 240_000);
  await seen('a worker is scraped', 'pocketfleet_worker_attached == 1');
  await fleet.submit(readFileSync(new URL('../../examples/demo-tiny.yaml', import.meta.url), 'utf8'));
  await fleet.submit(searching);
  await seen('a finite difference is probed', 'pocketfleet_search_difference_error');
  await fleet.submit(endless('long', 'learningRate: 0.05'));
  await fleet.submit(endless('diverges', 'learningRate: 10, clipNorm: 1.0e+30, weightDecay: 1'));
  await seen('a run fails', 'pocketfleet_runs_finished_total{outcome="failed"} > 0');
  await seen('a sweep has a best trial', 'pocketfleet_sweep_best_objective > 0');
  await seen('a gang of two sums', 'pocketfleet_allreduce_world_size > 1');
  await fleet.killWorker('w3', 'SIGKILL');
  await seen('the worker is lost', 'pocketfleet_worker_lost_timestamp_seconds');
  await seen('a checkpoint is stored', 'pocketfleet_checkpoint_last_success_timestamp_seconds');
  await systemClock.sleep(20_000);
  await fleet.nats.restart({ storeBytesMax: 1 << 20 });
  await seen('the store is full', 'pocketfleet_store_blocked == 1');
  for (const endpoint of [fleet.metricsEndpoint, workers[0]!]) {
    const text = await (await fetch(`http://${endpoint}/metrics`)).text();
    const said = await promtool({ 'scrape.txt': text }, ['check', 'metrics'], 'scrape.txt');
    const complaints = said.split('\n').filter((line) => line.trim() !== '' && !LINT_ALLOWED.test(line));
    troubles.push(...complaints.map((line) => `promtool check metrics: ${line}`));
  }
  let asked = 0;
  for (const { uid, rows } of DASHBOARDS) {
    const drawn = [];
    for (const panel of rows.flatMap(({ panels }) => panels)) {
      const answers = await curvesOf(prometheus, panel, fromMs);
      asked += answers.length;
      for (const { expr, curves } of answers)
        if (!hasData(curves) && !FOREIGN.test(expr) && EMPTY[panel.title] === undefined)
          troubles.push(`${uid}: "${panel.title}" has no data: ${expr}`);
      const labels =
        panel.type === 'table' ? [] : answers.flatMap(({ curves }) => curves.map(({ label }) => label));
      const twice = labels.find((label, i) => labels.indexOf(label) < i);
      if (twice !== undefined) troubles.push(`${uid}: "${panel.title}" calls two curves ${twice}`);
      drawn.push({ title: panel.title, unit: panel.unit, curves: answers.flatMap(({ curves }) => curves) });
    }
    writeFileSync(join(out, `${uid}.svg`), drawDashboard(drawn));
  }
  const rules = (await (await fetch(`${prometheus.url}/api/v1/rules`)).json()) as {
    data: { groups: { rules: { name: string; health: string; lastError?: string }[] }[] };
  };
  for (const { name, health, lastError } of rules.data.groups.flatMap((group) => group.rules))
    if (health !== 'ok') troubles.push(`rule ${name}: ${health} ${lastError ?? ''}`);
  const firing = await prometheus.query('ALERTS{alertstate="firing"}');
  process.stdout.write(
    `${asked} queries asked; firing: ${firing.map(({ metric }) => metric.alertname).join(', ')}\n`,
  );
} finally {
  await prometheus.stop();
  await fleet.stop();
}
await assertNothingLeft([prometheus.pid], [prometheus.port]);
process.stdout.write(`${troubles.map((line) => `${line}\n`).join('')}pictures are in ${out}\n`);
process.exitCode = troubles.length > 0 ? 1 : 0;
