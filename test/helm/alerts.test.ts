// Every alert on a Prometheus that evaluates the deployed rules (promtool): it fires when it should, with its
// labels and its sentence, and is quiet when it should be. Each has a runbook that begins with what to type.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { createProgram } from '../../coordinator/cli/program.ts';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { runbookOf } from '../../scripts/monitoring/rule.ts';
import { ALERT_GROUPS } from '../../scripts/monitoring/rules.ts';
import { render } from '../support/helm.ts';
import { promtool } from '../support/promtool.ts';
import { SCENARIOS, type Scenario } from '../unit/monitoring/alert-scenarios.ts';

const alerts = ALERT_GROUPS.flatMap((group) => group.alerts);
const HOME = { namespace: 'ns', fleet: 'f' };

/** The name of a series with the labels of its fleet. */
function series(name: string, { isForeign }: Scenario): string {
  if (isForeign) return name;
  const labels = Object.entries(HOME).map(([label, value]) => `${label}="${value}"`);
  const [, metric = '', own = ''] = /^([^{]*)(?:\{(.*)\})?$/.exec(name) ?? [];
  return `${metric}{${[...labels, ...(own === '' ? [] : [own])].join(',')}}`;
}

function unitTest(alert: (typeof alerts)[number], scenario: Scenario, fires: boolean): object {
  const labels = { ...(scenario.isForeign ? {} : HOME), ...scenario.labels };
  const said = (text: string) =>
    text.replaceAll(
      /\{\{ \$labels\.(\w+) \}\}/g,
      (_, name: string) => (labels as Record<string, string>)[name] ?? '',
    );
  return {
    name: `${alert.name} ${fires ? 'fires' : 'is quiet'}`,
    interval: '30s',
    input_series: Object.entries(scenario.series).map(([name, values]) => ({
      series: series(name, scenario),
      values,
    })),
    alert_rule_test: [
      {
        eval_time: `${scenario.atMinutes}m`,
        alertname: alert.name,
        exp_alerts: fires
          ? [
              {
                exp_labels: { severity: alert.severity, ...labels },
                exp_annotations: { summary: said(alert.summary), runbook_url: runbookOf(alert) },
              },
            ]
          : [],
      },
    ],
  };
}

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
}
const deployed = parse(readFileSync(join(PACKAGE_ROOT, 'deploy/rules.yaml'), 'utf8')) as {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
};

/** An alert as deployed with what it is computed from: all rules for each scenario would take ten times as long. */
function filesOf(alert: (typeof alerts)[number], tests: readonly object[]): Record<string, string> {
  const rules = deployed.groups.flatMap((group) => group.rules);
  const own = rules.find((rule) => rule.alert === alert.name)!;
  const needs = (expr: string): readonly Rule[] =>
    rules
      .filter(({ record }) => record !== undefined && expr.includes(record))
      .flatMap((rule) => [...needs(rule.expr), rule]);
  const recorded = [...new Set(needs(own.expr))];
  const file = { rule_files: [`${alert.name}.rules.yml`], evaluation_interval: '30s', tests };
  return {
    [`${alert.name}.rules.yml`]: stringify({ groups: [{ name: 'g', rules: [...recorded, own] }] }),
    [`${alert.name}.test.yml`]: stringify(file),
  };
}

async function promtoolTest(files: Readonly<Record<string, string>>): Promise<string> {
  return promtool(files, ['test', 'rules', ...Object.keys(files).filter((name) => name.includes('.test.'))]);
}

test('every alert fires in its scenario and is quiet in the other, by the deployed rules', async () => {
  assert.deepEqual(Object.keys(SCENARIOS).sort(), alerts.map(({ name }) => name).sort());
  const files = alerts.map((alert) => {
    const { fires, quiet } = SCENARIOS[alert.name]!;
    return filesOf(alert, [unitTest(alert, fires, true), unitTest(alert, quiet, false)]);
  });
  const said = await promtoolTest(Object.assign({}, ...files));
  assert.equal(said.match(/SUCCESS/g)?.length, alerts.length, said);
});

test('a scenario that does not hold is found', async () => {
  for (const alert of alerts.slice(0, 2)) {
    const { fires, quiet } = SCENARIOS[alert.name]!;
    assert.match(await promtoolTest(filesOf(alert, [unitTest(alert, quiet, true)])), /FAILED/);
    assert.match(await promtoolTest(filesOf(alert, [unitTest(alert, fires, false)])), /FAILED/);
  }
});

test('Prometheus takes the deployed rules', async () => {
  const rules = readFileSync(join(PACKAGE_ROOT, 'deploy/rules.yaml'), 'utf8');
  assert.match(
    await promtool({ 'rules.yaml': rules }, ['check', 'rules', 'rules.yaml']),
    /SUCCESS: \d+ rules/,
  );
});

test('every alert has a runbook, which begins with the command to type, and no runbook is left over', async () => {
  const commands = new Set((await createProgram()).commands.map((command) => command.name()));
  for (const alert of alerts) {
    const path = runbookOf(alert);
    assert(existsSync(join(PACKAGE_ROOT, path)), `${alert.name} has no ${path}`);
    const text = readFileSync(join(PACKAGE_ROOT, path), 'utf8');
    const [, title, command] = /^# (\w+)\n\n {4}(\S.*)\n/.exec(text) ?? [];
    assert.equal(title, alert.name, path);
    const [program, verb = ''] = (command ?? '').split(' ');
    assert.match(program ?? '', /^(pocketfleet|kubectl|nvidia-smi|curl)$/, `${path}: ${command}`);
    if (program === 'pocketfleet') assert(commands.has(verb), `${path}: ${command}`);
  }
  const pages = readdirSync(join(PACKAGE_ROOT, 'docs/runbooks')).map((name) => `docs/runbooks/${name}`);
  assert.deepEqual(pages.sort(), alerts.map(runbookOf).sort());
});

test('the chart has the deployed rules as a PrometheusRule where the cluster knows it, with runbooks wherever they are', async () => {
  const rulesIn = (objects: Awaited<ReturnType<typeof render>>) =>
    objects.filter(({ kind }) => kind === 'PrometheusRule');
  const known = ['--api-versions', 'monitoring.coreos.com/v1/PrometheusRule'];
  assert.deepEqual(rulesIn(await render()), []);
  assert.deepEqual(rulesIn(await render(...known, '--set', 'metrics.rules.enabled=false')), []);
  const [rule] = rulesIn(await render(...known, '--set', 'metrics.rules.labels.release=monitoring'));
  assert.deepEqual(rule?.spec, deployed);
  assert.equal(rule?.metadata.labels?.release, 'monitoring');
  const prefix = 'https://runbooks.example/';
  const [moved] = rulesIn(await render(...known, '--set', `metrics.rules.runbooks=${prefix}`));
  const urls = [...JSON.stringify(moved?.spec).matchAll(/"runbook_url":"([^"]*)"/g)].map(([, url]) => url!);
  assert.deepEqual(
    urls.sort(),
    alerts.map((alert) => runbookOf(alert).replace('docs/runbooks/', prefix)).sort(),
  );
});
