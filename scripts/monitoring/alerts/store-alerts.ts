// Alerts on the broker and its store: is it there, and is there room?

import type { AlertGroup } from '../rule.ts';

export const STORE_ALERTS: AlertGroup = {
  name: 'store',
  alerts: [
    {
      name: 'PocketfleetStoreFull',
      expr: 'max by (namespace, fleet) (pocketfleet_store_blocked{state="full"}) == 1',
      for: '0m',
      severity: 'critical',
      summary: 'The store of {{ $labels.fleet }} is full: runs wait at their next checkpoint.',
    },
    {
      name: 'PocketfleetStoreSilent',
      expr: 'max by (namespace, fleet) (pocketfleet_store_blocked{state="silent"}) == 1',
      for: '30s',
      severity: 'critical',
      summary: 'The broker of {{ $labels.fleet }} confirms no write.',
    },
    {
      name: 'PocketfleetStoreNearlyFull',
      expr: 'max by (namespace, fleet) (pocketfleet_store_bytes{kind="used"}) / max by (namespace, fleet) (pocketfleet_store_bytes{kind="limit"}) > 0.85',
      for: '10m',
      severity: 'warning',
      summary: 'The store of {{ $labels.fleet }} is more than 85 % full.',
    },
    {
      name: 'PocketfleetStreamNearlyFull',
      expr: 'max by (namespace, fleet, stream) (pocketfleet_jetstream_stream_bytes) / max by (namespace, fleet, stream) (pocketfleet_jetstream_stream_bytes_limit) > 0.9',
      for: '10m',
      severity: 'warning',
      summary: 'The stream of {{ $labels.stream }} has less than a tenth of its room left.',
    },
    {
      name: 'PocketfleetJetStreamSlow',
      expr: 'histogram_quantile(0.99, sum by (namespace, fleet, stream, le) (rate(pocketfleet_jetstream_publish_duration_seconds_bucket[5m]))) > 1',
      for: '10m',
      severity: 'warning',
      summary: 'One of a hundred appends to the {{ $labels.stream }} takes more than a second.',
    },
    {
      name: 'PocketfleetNatsDisconnected',
      expr: 'min by (namespace, fleet, instance, component) (pocketfleet_nats_connected) == 0',
      for: '1m',
      severity: 'critical',
      summary: 'The {{ $labels.component }} at {{ $labels.instance }} has no connection to the broker.',
    },
    {
      name: 'PocketfleetNatsSlowConsumers',
      expr: 'sum by (namespace) (increase(nats_varz_slow_consumers[5m])) > 0',
      for: '0m',
      severity: 'warning',
      summary: 'The broker has cut connections that did not keep up.',
    },
  ],
};
