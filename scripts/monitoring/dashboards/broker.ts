// Is the broker there, and has its store room?

import { type DashboardSpec, panel } from '../panel.ts';

export const BROKER: DashboardSpec = {
  uid: 'pocketfleet-broker',
  title: 'Broker and store',
  question: 'Is the broker there, and has its store room?',
  variables: {},
  rows: [
    {
      title: 'Is there room?',
      panels: [
        {
          ...panel('Store', {
            ...{ expr: 'max(pocketfleet_store_bytes{kind="used"})', unit: 'bytes' },
            reading: 'At its limit runs wait at their next checkpoint.',
          }),
          queries: [
            { expr: 'max by (kind) (pocketfleet_store_bytes)', legend: '{{kind}}' },
            { expr: 'sum(pocketfleet_store_collected_bytes_total)', legend: 'taken out' },
          ],
        },
        panel('Streams', {
          ...{
            expr: 'max by (stream) (pocketfleet_jetstream_stream_bytes)',
            legend: '{{stream}}',
            unit: 'bytes',
          },
          reading: 'What fills the store.',
        }),
        panel('Fill of streams', {
          expr: 'max by (stream) (pocketfleet_jetstream_stream_bytes) / max by (stream) (pocketfleet_jetstream_stream_bytes_limit)',
          ...{ type: 'bargauge', legend: '{{stream}}', unit: 'percentunit', reading: 'Each has its share.' },
        }),
        panel('Blocked', {
          ...{ expr: 'max by (state) (pocketfleet_store_blocked)', legend: '{{state}}' },
          reading: '1: the store is full, or confirms nothing.',
        }),
        panel('Publish to ack p99', {
          ...{ unit: 's', legend: '{{stream}} {{outcome}}' },
          expr: 'histogram_quantile(0.99, sum by (stream, outcome, le) (rate(pocketfleet_jetstream_publish_duration_seconds_bucket[$__rate_interval])))',
          reading: 'One sync of the disk.',
        }),
      ],
    },
    {
      title: 'Is the broker there?',
      panels: [
        panel('Programs without a connection', {
          ...{ expr: 'sum by (component) (1 - pocketfleet_nats_connected)', legend: '{{component}}' },
          reading: 'Above 0: they try again for ever.',
        }),
        panel('Reconnects', {
          expr: 'sum by (component) (increase(pocketfleet_nats_reconnects_total[$__range]))',
          ...{ legend: '{{component}}', reading: 'A broker that is started again is one for each program.' },
        }),
      ],
    },
    {
      title: "What does it carry? (from NATS's own exporter)",
      panels: [
        {
          ...panel('Messages', {
            ...{ expr: 'sum(rate(nats_varz_in_msgs[$__rate_interval]))', unit: 'ops' },
            reading: 'Sums are most of them.',
          }),
          queries: [
            { expr: 'sum(rate(nats_varz_in_msgs[$__rate_interval]))', legend: 'in' },
            { expr: 'sum(rate(nats_varz_out_msgs[$__rate_interval]))', legend: 'out' },
          ],
        },
        {
          ...panel('Bytes', {
            ...{ expr: 'sum(rate(nats_varz_in_bytes[$__rate_interval]))', unit: 'Bps' },
            reading: 'Out is in times the members of a gang.',
          }),
          queries: [
            { expr: 'sum(rate(nats_varz_in_bytes[$__rate_interval]))', legend: 'in' },
            { expr: 'sum(rate(nats_varz_out_bytes[$__rate_interval]))', legend: 'out' },
          ],
        },
        panel('Slow consumers', {
          ...{
            expr: 'sum(nats_varz_slow_consumers)',
            reading: 'Connections that were cut because they did not keep up.',
          },
        }),
      ],
    },
  ],
};
