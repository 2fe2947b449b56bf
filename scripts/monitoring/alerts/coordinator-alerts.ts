// Alerts on the coordinators: is there one that leads, decides and answers?

import type { AlertGroup } from '../rule.ts';

export const COORDINATOR_ALERTS: AlertGroup = {
  name: 'coordinator',
  alerts: [
    {
      name: 'PocketfleetMetricsAbsent',
      expr: 'absent(pocketfleet_build_info{component="coordinator"})',
      for: '5m',
      severity: 'critical',
      summary: 'No coordinator is scraped.',
    },
    {
      name: 'PocketfleetNoLeader',
      expr: 'max by (namespace, fleet) (pocketfleet_coordinator_leader) == 0',
      for: '1m',
      severity: 'critical',
      summary: 'No coordinator of {{ $labels.fleet }} leads: nothing is decided, and runs go on as they are.',
    },
    {
      name: 'PocketfleetMultipleLeaders',
      expr: 'sum by (namespace, fleet) (pocketfleet_coordinator_leader) > 1',
      for: '30s',
      severity: 'critical',
      summary:
        'Several coordinators of {{ $labels.fleet }} say that they lead; the journal takes from one alone.',
    },
    {
      name: 'PocketfleetLeaderFlapping',
      expr: 'max by (namespace, fleet) (max_over_time(pocketfleet_coordinator_epoch[15m])) - min by (namespace, fleet) (min_over_time(pocketfleet_coordinator_epoch[15m])) > 3',
      for: '0m',
      severity: 'warning',
      summary: 'The lead of {{ $labels.fleet }} has changed more than three times in a quarter of an hour.',
    },
    {
      name: 'PocketfleetFencedWrites',
      expr: 'sum by (namespace, fleet) (increase(pocketfleet_coordinator_fenced_writes_total[10m])) > 0',
      for: '0m',
      severity: 'warning',
      summary: 'A coordinator of {{ $labels.fleet }} lost the lead to another one that wrote to the journal.',
    },
    {
      name: 'PocketfleetJournalHalted',
      expr: 'max by (namespace, fleet) (pocketfleet_journal_halted) == 1',
      for: '0m',
      severity: 'critical',
      summary: 'The journal of {{ $labels.fleet }} is damaged: nothing is decided until it is repaired.',
    },
    {
      name: 'PocketfleetInputsRefused',
      expr: 'sum by (namespace, fleet, input) (increase(pocketfleet_coordinator_inputs_refused_total[15m])) > 0',
      for: '0m',
      severity: 'warning',
      summary: 'Deciding an input of kind {{ $labels.input }} failed: this is a fault of the program.',
    },
    {
      name: 'PocketfleetLeaseSlow',
      expr: 'histogram_quantile(0.99, sum by (namespace, fleet, le) (rate(pocketfleet_coordinator_lease_renew_duration_seconds_bucket[5m]))) > 1',
      for: '5m',
      severity: 'warning',
      summary: 'Renewing the lease of the lead takes more than a second: the lead is at risk.',
    },
    {
      name: 'PocketfleetGrpcErrorsHigh',
      expr: 'method:grpc_server_handled:error_ratio_rate5m > 0.05 and on (namespace, fleet, grpc_service, grpc_method) sum by (namespace, fleet, grpc_service, grpc_method) (rate(grpc_server_handled_total[5m])) > 0.1',
      for: '10m',
      severity: 'warning',
      summary: 'More than 5 % of the calls of {{ $labels.grpc_method }} fail by a fault of the server.',
    },
    {
      name: 'PocketfleetGrpcSlow',
      expr: 'histogram_quantile(0.99, sum by (namespace, fleet, grpc_method, le) (rate(grpc_server_handling_seconds_bucket[5m]))) > 1',
      for: '10m',
      severity: 'warning',
      summary: 'One of a hundred calls of {{ $labels.grpc_method }} takes more than a second.',
    },
    {
      name: 'PocketfleetCallsRefused',
      expr: 'sum by (namespace, fleet, reason) (rate(pocketfleet_calls_refused_total[5m])) > 1',
      for: '5m',
      severity: 'warning',
      summary: 'More than one call a second is refused for want of a right ({{ $labels.reason }}).',
    },
    {
      name: 'PocketfleetTokenExpiring',
      expr: 'min by (namespace, fleet, token) (pocketfleet_token_expiry_timestamp_seconds) - time() < 604800',
      for: '0m',
      severity: 'warning',
      summary: 'The token {{ $labels.token }} expires within a week.',
    },
    {
      name: 'PocketfleetCertificateExpiring',
      expr: 'min by (namespace, fleet, component, instance) (pocketfleet_certificate_expiry_timestamp_seconds) - time() < 1209600',
      for: '0m',
      severity: 'warning',
      summary:
        'The certificate of the {{ $labels.component }} at {{ $labels.instance }} expires within two weeks.',
    },
    {
      name: 'PocketfleetEventLoopBlocked',
      expr: 'max by (namespace, fleet, job, instance) (nodejs_eventloop_lag_p99_seconds{job=~"pocketfleet-.*"}) > 0.5',
      for: '5m',
      severity: 'warning',
      summary:
        'The event loop of {{ $labels.instance }} stands for more than half a second: heartbeats are at risk.',
    },
  ],
};
