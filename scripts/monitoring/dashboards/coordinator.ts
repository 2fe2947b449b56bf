// Does the coordinator lead, decide and answer?

import { type DashboardSpec, panel } from '../panel.ts';

const ofPod = { legend: '{{instance}}' };

export const COORDINATOR: DashboardSpec = {
  uid: 'pocketfleet-coordinator',
  title: 'Coordinator',
  question: 'Does a coordinator lead, decide and answer?',
  variables: {},
  rows: [
    {
      title: 'Who leads?',
      panels: [
        panel('Who leads', {
          ...{ expr: 'max by (instance) (pocketfleet_coordinator_leader)', ...ofPod },
          reading: 'One of them has 1.',
        }),
        panel('Epoch', {
          ...{ expr: 'max by (instance) (pocketfleet_coordinator_epoch)', ...ofPod },
          reading: 'Grows with each change of the lead; replicas agree.',
        }),
        panel('Lease renewal p99', {
          ...{ unit: 's', legend: '{{outcome}}' },
          expr: 'histogram_quantile(0.99, sum by (outcome, le) (rate(pocketfleet_coordinator_lease_renew_duration_seconds_bucket[$__rate_interval])))',
          reading: 'At three seconds without one another coordinator takes over.',
        }),
        panel('Lost leads', {
          expr: 'sum by (instance) (increase(pocketfleet_coordinator_fenced_writes_total[$__range]))',
          ...{ ...ofPod, reading: 'Another coordinator has written.' },
        }),
        panel('Journal halted', {
          ...{ expr: 'max by (instance) (pocketfleet_journal_halted)', ...ofPod },
          reading: '1: nothing is decided until the journal is repaired.',
        }),
        panel('Refused inputs', {
          expr: 'sum by (input) (increase(pocketfleet_coordinator_inputs_refused_total[$__range])) > 0',
          ...{ legend: '{{input}}', reading: 'Empty, or a fault of the program.' },
        }),
      ],
    },
    {
      title: 'Are calls answered?',
      panels: [
        panel('Calls', {
          expr: 'sum by (grpc_method) (rate(grpc_server_handled_total[$__rate_interval])) > 0',
          ...{ legend: '{{grpc_method}}', unit: 'reqps', reading: 'Calls that end each second.' },
        }),
        panel('Errors', {
          expr: 'method:grpc_server_handled:error_ratio_rate5m',
          ...{ legend: '{{grpc_service}} {{grpc_method}}', unit: 'percentunit' },
          reading: 'By a fault of the server alone.',
        }),
        panel('Duration p99', {
          ...{ unit: 's', legend: '{{grpc_method}}' },
          expr: 'histogram_quantile(0.99, sum by (grpc_method, le) (rate(grpc_server_handling_seconds_bucket[$__rate_interval])))',
          reading: 'Of unary calls.',
        }),
        panel('In flight', {
          expr: 'sum by (grpc_method) (grpc_server_started_total) - sum by (grpc_method) (grpc_server_handled_total)',
          ...{ legend: '{{grpc_method}}', reading: 'Streams of workers and watchers are among them.' },
        }),
        panel('Refused calls', {
          expr: 'sum by (role, reason) (increase(pocketfleet_calls_refused_total[$__range]))',
          ...{ legend: '{{role}} {{reason}}', reading: 'For want of a right.' },
        }),
      ],
    },
    {
      title: 'Does Kubernetes answer?',
      panels: [
        panel('Requests to Kubernetes', {
          expr: 'sum by (verb, resource, outcome) (rate(pocketfleet_kubernetes_requests_total[$__rate_interval])) > 0',
          ...{ legend: '{{verb}} {{resource}} {{outcome}}', unit: 'reqps' },
          reading: 'Refused: the service account lacks a right. Empty outside of a cluster.',
        }),
        panel('Scaling of the workers', {
          expr: 'sum by (step) (increase(pocketfleet_scaler_decisions_total[$__range]))',
          ...{ legend: '{{step}}' },
          reading: 'up: more pods; drain: workers whose pods are to go; down: fewer pods.',
        }),
      ],
    },
    {
      title: 'What expires?',
      panels: [
        panel('Tokens', {
          ...{ type: 'table', unit: 's' },
          expr: 'min by (token, role) (pocketfleet_token_expiry_timestamp_seconds) - time()',
          reading: 'Until a token is refused. Empty: none expires.',
        }),
        panel('Certificates', {
          ...{ type: 'table', unit: 's' },
          expr: 'min by (component, instance) (pocketfleet_certificate_expiry_timestamp_seconds) - time()',
          reading: 'Until a certificate is refused. Empty: the fleet has none.',
        }),
      ],
    },
    {
      title: 'Has the process what it needs?',
      panels: [
        panel('Event loop lag p99', {
          expr: 'max by (job, instance) (nodejs_eventloop_lag_p99_seconds{job=~"pocketfleet-.*"})',
          ...{ legend: '{{job}} {{instance}}', unit: 's', reading: 'Above 0.1 s heartbeats suffer.' },
        }),
        panel('Heap', {
          expr: 'max by (job, instance) (nodejs_heap_size_used_bytes{job=~"pocketfleet-.*"})',
          ...{
            legend: '{{job}} {{instance}}',
            unit: 'bytes',
            reading: 'Near its limit it collects all the time.',
          },
        }),
        panel('CPU', {
          expr: 'sum by (job, instance) (rate(process_cpu_seconds_total{job=~"pocketfleet-.*"}[$__rate_interval]))',
          ...{ legend: '{{job}} {{instance}}', reading: 'Processors in use.' },
        }),
      ],
    },
  ],
};
