// The queries of a Grafana dashboard, parsed by the grammar of Prometheus, with the metric names in them; and
// the metric names in the answer to a scrape.

import { parser } from '@prometheus-io/lezer-promql';

export interface PanelQuery {
  readonly panel: string;
  /** With Grafana's built-in intervals replaced, so that it is plain PromQL. */
  readonly expression: string;
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
  readonly panels?: readonly Panel[];
}

/** Every query of every panel, nested ones included. */
export function queriesOf(dashboardJson: string): readonly PanelQuery[] {
  const dashboard = JSON.parse(dashboardJson) as { panels: readonly Panel[] };
  const ofPanel = (panel: Panel): readonly PanelQuery[] => [
    ...(panel.targets ?? []).map(({ expr }) => ({
      panel: panel.title,
      expression: expr.replaceAll(/\$__(rate_interval|interval|range)\b/g, '1m'),
    })),
    ...(panel.panels ?? []).flatMap(ofPanel),
  ];
  return dashboard.panels.flatMap(ofPanel);
}

/** Names of the series that a query selects; throws when the query does not parse. */
export function metricNamesOfQuery({ panel, expression }: PanelQuery): readonly string[] {
  const names: string[] = [];
  parser.parse(expression).iterate({
    enter(node) {
      if (node.type.isError)
        throw new Error(`panel "${panel}": not PromQL at character ${node.from}: ${expression}`);
      if (node.name === 'VectorSelector') {
        const identifier = node.node.getChild('Identifier');
        if (identifier === null)
          throw new Error(`panel "${panel}": a selector without a name: ${expression}`);
        names.push(expression.slice(identifier.from, identifier.to));
      }
    },
  });
  return names;
}

/** All metric names that a dashboard asks for, sorted, each once. */
export function metricNamesOf(dashboardJson: string): string[] {
  return [...new Set(queriesOf(dashboardJson).flatMap(metricNamesOfQuery))].sort();
}

/** All series names that an answer of /metrics declares, whether they have values yet or not. */
export function metricNamesInScrape(text: string): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    if (type === 'histogram' || type === 'summary') {
      names.add(`${name}_sum`).add(`${name}_count`);
      names.add(type === 'histogram' ? `${name}_bucket` : name!);
    } else names.add(name!);
  }
  return names;
}
