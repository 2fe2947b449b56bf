// Alerts on what is submitted: does it start, and does it succeed?

import type { AlertGroup } from '../rule.ts';

export const QUEUE_ALERTS: AlertGroup = {
  name: 'queue',
  alerts: [
    {
      name: 'PocketfleetQueueWaitHigh',
      expr: 'histogram_quantile(0.9, sum by (namespace, fleet, priority, le) (rate(pocketfleet_run_queue_wait_seconds_bucket[30m]))) > 1800',
      for: '15m',
      severity: 'warning',
      summary:
        'One of ten runs of priority {{ $labels.priority }} waits more than half an hour for its first gang.',
    },
    {
      name: 'PocketfleetRunsUnschedulable',
      expr: 'sum by (namespace, fleet, reason) (pocketfleet_scheduler_unschedulable_runs{reason!~"teacher_not_started|twin"}) > 0 and on (namespace, fleet) sum by (namespace, fleet) (pocketfleet_workers{state="idle"}) > 0',
      for: '30m',
      severity: 'warning',
      summary: 'Runs wait ({{ $labels.reason }}) although workers are idle.',
    },
    {
      name: 'PocketfleetTrialFailureRateHigh',
      expr: 'sum by (namespace, fleet) (rate(pocketfleet_trials_finished_total{outcome="failed"}[1h])) / sum by (namespace, fleet) (rate(pocketfleet_trials_finished_total[1h])) > 0.2',
      for: '15m',
      severity: 'warning',
      summary: 'More than one of five trials fails.',
    },
    {
      name: 'PocketfleetRunFailed',
      expr: 'sum by (namespace, fleet, kind, reason) (increase(pocketfleet_runs_finished_total{outcome="failed",kind!="candidate"}[15m])) > 0',
      for: '0m',
      severity: 'warning',
      summary: 'A {{ $labels.kind }} failed ({{ $labels.reason }}).',
    },
    {
      name: 'PocketfleetTrialRestartLoop',
      expr: 'sum by (namespace, fleet, reason) (increase(pocketfleet_trial_restarts_total[30m])) > 10',
      for: '0m',
      severity: 'warning',
      summary: 'Runs are started again and again ({{ $labels.reason }}).',
    },
    {
      name: 'PocketfleetGangsDissolve',
      expr: 'sum by (namespace, fleet) (increase(pocketfleet_gang_formations_total{outcome="aborted"}[30m])) > 20',
      for: '0m',
      severity: 'warning',
      summary: 'More than twenty runs went back to the queue within half an hour.',
    },
  ],
};
