// The files that follow from the catalogue, with their contents, so that one script writes them and a test finds
// the stale ones.

import { DASHBOARDS } from './all-dashboards.ts';
import { dashboardText } from './build.ts';
import { metricsPage } from './metrics-page.ts';
import { rulesText } from './rules.ts';

/** Contents by path from the root of the repository. */
export function monitoringFiles(): ReadonlyMap<string, string> {
  const rules = rulesText();
  return new Map([
    ['docs/metrics.md', metricsPage()],
    ['deploy/rules.yaml', rules],
    ['helm/pocketfleet/files/rules.yaml', rules],
    ...DASHBOARDS.map(
      (spec) => [`helm/pocketfleet/files/dashboards/${spec.uid}.json`, dashboardText(spec)] as const,
    ),
  ]);
}
