// Alerts on the workers: are they there, and healthy?

import type { AlertGroup } from '../rule.ts';

export const WORKER_ALERTS: AlertGroup = {
  name: 'workers',
  alerts: [
    {
      name: 'PocketfleetWorkerHeartbeatStale',
      expr: 'time() - max by (namespace, fleet, worker) (pocketfleet_worker_last_heartbeat_timestamp_seconds) > 60',
      for: '1m',
      severity: 'warning',
      summary: '{{ $labels.worker }} has reported nothing for a minute and is not taken for lost.',
    },
    {
      name: 'PocketfleetWorkersLost',
      expr: 'time() - max by (namespace, fleet, worker, reason) (pocketfleet_worker_lost_timestamp_seconds{reason!="drained"}) < 900',
      for: '0m',
      severity: 'warning',
      summary: '{{ $labels.worker }} was lost ({{ $labels.reason }}) and has not come back.',
    },
    {
      name: 'PocketfleetWorkerDown',
      expr: 'up{job="pocketfleet-worker"} == 0',
      for: '5m',
      severity: 'warning',
      summary: 'The worker at {{ $labels.instance }} cannot be scraped.',
    },
    {
      name: 'PocketfleetWorkersBelowDesired',
      expr: 'max by (namespace, fleet) (pocketfleet_workers_desired) - sum by (namespace, fleet) (pocketfleet_workers{state=~"idle|busy"}) > 0',
      for: '20m',
      severity: 'info',
      summary: 'The open runs could use more workers than there are.',
    },
    {
      name: 'PocketfleetTensorLeak',
      expr: 'min_over_time(deriv(pocketfleet_tfjs_tensors[10m])[30m:5m]) > 0.05',
      for: '0m',
      severity: 'warning',
      summary: 'Tensors only grow in number at {{ $labels.instance }}.',
    },
  ],
};
