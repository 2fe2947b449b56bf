// What does the sum over a gang cost, and who is waited for?

import { type DashboardSpec, panel } from '../panel.ts';

const quantile = (q: number) =>
  `histogram_quantile(${q}, sum by (run, le) (rate(pocketfleet_allreduce_duration_seconds_bucket[$__rate_interval])))`;

export const EXCHANGE: DashboardSpec = {
  uid: 'pocketfleet-exchange',
  title: 'Exchange',
  question: 'What does the sum over a gang cost, and who is waited for?',
  variables: { run: 'pocketfleet_allreduce_rounds_total' },
  rows: [
    {
      title: 'What does it cost?',
      panels: [
        {
          ...panel('Sum p50 and p99', {
            ...{ expr: quantile(0.5), unit: 's', reading: 'Waiting for peers included.' },
          }),
          queries: [
            { expr: quantile(0.5), legend: '{{run}} p50' },
            { expr: quantile(0.99), legend: '{{run}} p99' },
          ],
        },
        panel('Share of the step', {
          expr: 'run_phase:pocketfleet_train_phase_seconds:ratio_rate5m{phase="allreduce"}',
          ...{ legend: '{{run}}', unit: 'percentunit', reading: 'Above 0.4 the network is the limit.' },
        }),
        panel('Bus bandwidth', {
          expr: 'run:pocketfleet_allreduce_bus_bandwidth:bytes_per_second',
          ...{ legend: '{{run}}', unit: 'Bps', reading: 'Bytes on the wire over the time in sums.' },
        }),
        panel('Wire traffic', {
          expr: 'sum by (run, direction) (rate(pocketfleet_allreduce_bytes_total[$__rate_interval]))',
          ...{ legend: '{{run}} {{direction}}', unit: 'Bps', reading: 'Of all members together.' },
        }),
        panel('Compression', {
          ...{ expr: 'run:pocketfleet_allreduce_compression:ratio_rate5m', legend: '{{run}}' },
          reading: 'Gradient bytes for each byte sent.',
        }),
        panel('Sums a second', {
          expr: 'max by (run) (rate(pocketfleet_allreduce_rounds_total[$__rate_interval]))',
          ...{ legend: '{{run}}', unit: 'ops', reading: 'One a step, or one a round with outer steps.' },
        }),
      ],
    },
    {
      title: 'Who is waited for?',
      panels: [
        panel('Wait by rank', {
          ...{ type: 'bargauge', unit: 'percentunit', legend: '{{run}} rank {{rank}}' },
          expr: 'sum by (run, rank) (rate(pocketfleet_allreduce_wait_seconds_total[$__range]))',
          reading: 'The rank that waits least is the one that the others wait for.',
        }),
        panel('World size', {
          ...{ expr: 'max by (run) (pocketfleet_allreduce_world_size)', legend: '{{run}}' },
          reading: 'Workers in the gang.',
        }),
        panel('Gangs joined', {
          expr: 'max by (run) (increase(pocketfleet_allreduce_reformations_total[$__range]))',
          ...{ legend: '{{run}}', reading: 'Each is a change of members, and costs seconds.' },
        }),
      ],
    },
    {
      title: 'Is anything lost?',
      panels: [
        panel('Messages asked for and sent again', {
          expr: 'sum by (run, kind) (rate(pocketfleet_allreduce_retransmits_total[$__rate_interval]))',
          ...{
            legend: '{{run}} {{kind}}',
            unit: 'ops',
            reading: 'sent: really lost. asked: a peer that was slow, too.',
          },
        }),
      ],
    },
  ],
};
