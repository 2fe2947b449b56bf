// The variables of a dashboard in its queries. Decides which series are selected by which variable: our own by
// namespace and fleet, those of a run or sweep by that too, and others' (GPUs, the broker's exporter) by none.

import { parser } from '@prometheus-io/lezer-promql';

const OWN = /^(pocketfleet_|grpc_server_|nodejs_|process_|run:|run_phase:|method:|fleet:)/;
/** Metrics without the label `run` whose names begin like those that have it. */
const OF_RUNS =
  /^(run:|run_phase:|pocketfleet_(train|allreduce|data_wait|distillation|run_info|run_last_progress|checkpoint_last)_?)/;
const OF_SWEEPS = /^pocketfleet_(sweep_best|sweep_budget|device_seconds)/;

/** The query with the selectors of these variables. */
export function withSelectors(expr: string, variables: ReadonlySet<string>): string {
  const inserts: { readonly at: number; readonly text: string }[] = [];
  parser.parse(expr).iterate({
    enter({ name, node }) {
      if (name !== 'VectorSelector') return;
      const identifier = node.getChild('Identifier');
      if (identifier === null) return;
      const metric = expr.slice(identifier.from, identifier.to);
      const selectors = selectorsOf(metric, variables).join(',');
      if (selectors === '') return;
      const matchers = node.getChild('LabelMatchers');
      if (matchers === null) inserts.push({ at: identifier.to, text: `{${selectors}}` });
      else inserts.push({ at: matchers.from + 1, text: `${selectors},` });
    },
  });
  return inserts.reduceRight((text, { at, text: added }) => text.slice(0, at) + added + text.slice(at), expr);
}

function selectorsOf(metric: string, variables: ReadonlySet<string>): readonly string[] {
  if (!OWN.test(metric)) return [];
  return [
    'namespace=~"$namespace"',
    'fleet=~"$fleet"',
    ...(variables.has('run') && OF_RUNS.test(metric) ? ['run=~"$run"'] : []),
    ...(variables.has('sweep') && OF_SWEEPS.test(metric) ? ['sweep=~"$sweep"'] : []),
  ];
}
