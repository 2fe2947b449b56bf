// All rules of Prometheus, and the files that they go to: deploy/rules.yaml for a Prometheus of one's own, and
// the same groups for the chart.

import { stringify } from 'yaml';
import { COORDINATOR_ALERTS } from './alerts/coordinator-alerts.ts';
import { GPU_ALERTS } from './alerts/gpu-alerts.ts';
import { QUEUE_ALERTS } from './alerts/queue-alerts.ts';
import { STORE_ALERTS } from './alerts/store-alerts.ts';
import { TRAINING_ALERTS } from './alerts/training-alerts.ts';
import { WORKER_ALERTS } from './alerts/worker-alerts.ts';
import { RECORDING_RULES } from './recording-rules.ts';
import { type AlertGroup, ruleOfAlert } from './rule.ts';

export const ALERT_GROUPS: readonly AlertGroup[] = [
  COORDINATOR_ALERTS,
  QUEUE_ALERTS,
  WORKER_ALERTS,
  TRAINING_ALERTS,
  STORE_ALERTS,
  GPU_ALERTS,
];

/** The groups as a file of rules. */
export function rulesText(): string {
  const groups = [
    { name: 'pocketfleet-recorded', rules: RECORDING_RULES },
    ...ALERT_GROUPS.map(({ name, alerts }) => ({
      name: `pocketfleet-${name}`,
      rules: alerts.map(ruleOfAlert),
    })),
  ];
  return `# Made by \`npm run generate:monitoring\` from scripts/monitoring/. The runbooks are in docs/runbooks/.\n${stringify({ groups }, { lineWidth: 0 })}`;
}
