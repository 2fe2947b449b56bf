// How far is a search, and what does it cost?

import { type DashboardSpec, panel } from '../panel.ts';

export const SWEEP: DashboardSpec = {
  uid: 'pocketfleet-sweep',
  title: 'Sweep',
  question: 'How far is a search, what has it found, and what does it cost?',
  variables: { sweep: 'pocketfleet_sweep_budget_used_ratio' },
  rows: [
    {
      title: 'How far is it?',
      panels: [
        panel('Budget used', {
          ...{ type: 'bargauge', unit: 'percentunit', legend: '{{sweep}}' },
          expr: 'max by (sweep) (pocketfleet_sweep_budget_used_ratio)',
          reading: 'Share of its trials that have ended.',
        }),
        panel('Best objective', {
          expr: 'max by (sweep, objective) (pocketfleet_sweep_best_objective)',
          ...{
            legend: '{{sweep}} {{objective}}',
            reading: 'Flat for long: the search finds nothing better.',
          },
        }),
        panel('Running candidates', {
          expr: 'sum by (sweep) (pocketfleet_run_info{kind="candidate"})',
          ...{ legend: '{{sweep}}', reading: 'Trials that are evaluated now.' },
        }),
      ],
    },
    {
      title: 'Which work uses the devices?',
      panels: [
        panel('Device hours by sweep', {
          type: 'table',
          expr: 'sum by (sweep, role, device) (increase(pocketfleet_device_seconds_total[$__range])) / 3600',
          reading: 'Within the time that is shown. Without a sweep: teachers and students.',
        }),
        panel('Devices held', {
          expr: 'sum by (sweep, role, device) (rate(pocketfleet_device_seconds_total[$__rate_interval]))',
          ...{ legend: '{{sweep}} {{role}} {{device}}', reading: 'How many devices each holds on average.' },
        }),
      ],
    },
  ],
};
