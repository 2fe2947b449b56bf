// The files that follow from the catalogue, with their contents, so that one script writes them and a test finds
// the stale ones.

import { metricsPage } from './metrics-page.ts';

/** Contents by path from the root of the repository. */
export function monitoringFiles(): ReadonlyMap<string, string> {
  return new Map([['docs/metrics.md', metricsPage()]]);
}
