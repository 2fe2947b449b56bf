// Is it working, and what is in the way?

import { type DashboardSpec, panel } from '../panel.ts';

export const OVERVIEW: DashboardSpec = {
  uid: 'pocketfleet-overview',
  title: 'Overview',
  question: 'Is the fleet working, and what is in the way?',
  variables: {},
  rows: [
    {
      title: 'Is it working?',
      panels: [
        panel('Leader', {
          ...{ type: 'stat', expr: 'max(pocketfleet_coordinator_leader)' },
          reading: '1: a coordinator leads. 0 or nothing: nothing is decided.',
        }),
        panel('Running runs', {
          ...{ type: 'stat', expr: 'sum(pocketfleet_runs{state="running"})' },
          reading: 'Runs that hold workers now.',
        }),
        panel('Queued runs', {
          ...{ type: 'stat', expr: 'sum(pocketfleet_runs{state="queued"})' },
          reading: 'Runs that wait; for what is below.',
        }),
        panel('Fleet throughput', {
          ...{ type: 'stat', expr: 'sum(run:pocketfleet_train_samples:rate1m)' },
          reading: 'Images a second over all runs.',
        }),
        panel('Failed trials', {
          ...{
            type: 'stat',
            expr: 'sum(increase(pocketfleet_trials_finished_total{outcome="failed"}[$__range]))',
          },
          reading: 'Within the time that is shown.',
        }),
        panel('Store in use', {
          ...{ type: 'stat', unit: 'percentunit' },
          expr: 'max(pocketfleet_store_bytes{kind="used"}) / max(pocketfleet_store_bytes{kind="limit"})',
          reading: 'At 1 runs wait at their next checkpoint.',
        }),
      ],
    },
    {
      title: 'What becomes of the work?',
      panels: [
        panel('Trials by state', {
          ...{ expr: 'sum by (state) (pocketfleet_trials)', legend: '{{state}}' },
          reading: 'Queued grows while running is flat: there are too few workers.',
        }),
        panel('Trials finished', {
          expr: 'sum by (outcome) (rate(pocketfleet_trials_finished_total[$__rate_interval]))',
          ...{ legend: '{{outcome}}', unit: 'ops', reading: 'Trials that end each second, by how.' },
        }),
        panel('Changes of trials', {
          expr: 'sum by (from, to) (rate(pocketfleet_trial_transitions_total[$__rate_interval])) > 0',
          ...{ legend: '{{from}} to {{to}}', unit: 'ops', reading: 'The way of trials, as rates.' },
        }),
        panel('Failed by reason', {
          type: 'table',
          expr: 'sum by (kind, reason) (increase(pocketfleet_runs_finished_total{outcome="failed"}[$__range])) > 0',
          reading: 'Runs that failed within the time that is shown, by kind and cause.',
        }),
        panel('Plans and sweeps', {
          type: 'table',
          expr: 'label_replace(sum by (state) (pocketfleet_plans), "noun", "plan", "", "") or label_replace(sum by (state) (pocketfleet_sweeps), "noun", "sweep", "", "")',
          reading: 'How many there are of each state.',
        }),
        panel('Restarts', {
          expr: 'sum by (reason) (increase(pocketfleet_trial_restarts_total[$__rate_interval]))',
          ...{ legend: '{{reason}}', reading: 'Further attempts, and runs that a worker gave back.' },
        }),
        panel('Results taken over', {
          expr: 'sum by (kind) (increase(pocketfleet_results_reused_total[$__rate_interval]))',
          ...{ legend: '{{kind}}', reading: 'Runs that took the result of one that computed the same.' },
        }),
        panel('Conflicting results', {
          expr: 'sum(increase(pocketfleet_results_conflicting_total[$__range]))',
          reading: 'Above 0: two runs that computed the same ended with other bits; `why` names both.',
        }),
        panel('Submissions', {
          expr: 'sum by (outcome) (increase(pocketfleet_submissions_total[$__rate_interval]))',
          ...{ legend: '{{outcome}}', reading: 'Texts that were taken, and that were refused.' },
        }),
        panel('Time of a trial, p90', {
          ...{ unit: 's', legend: '{{outcome}}' },
          expr: 'histogram_quantile(0.9, sum by (outcome, le) (increase(pocketfleet_trial_duration_seconds_bucket[$__range])))',
          reading: 'From proposal to end.',
        }),
      ],
    },
    {
      title: 'Why does the queue stand?',
      panels: [
        panel('Queued: waiting for', {
          ...{ expr: 'sum by (reason) (pocketfleet_scheduler_unschedulable_runs)', legend: '{{reason}}' },
          reading: 'teacher_not_started is no shortage; model_mismatch wants workers of another class.',
        }),
        panel('Holding workers: waiting for', {
          ...{ expr: 'sum by (reason) (pocketfleet_runs_waiting)', legend: '{{reason}}' },
          reading:
            'teacher_stage: students are ahead of their teacher; store: no room, or it does not answer.',
        }),
        panel('Queue wait p90', {
          ...{ unit: 's', legend: 'priority {{priority}}' },
          expr: 'histogram_quantile(0.9, sum by (priority, le) (increase(pocketfleet_run_queue_wait_seconds_bucket[$__range])))',
          reading: 'From the creation of a run to its first gang.',
        }),
        panel('Gangs formed and dissolved', {
          expr: 'sum by (outcome) (increase(pocketfleet_gang_formations_total[$__rate_interval]))',
          ...{ legend: '{{outcome}}', reading: 'aborted: a run lost all its workers and is queued again.' },
        }),
      ],
    },
    {
      title: 'Where does the time go?',
      panels: [
        panel('Where the time goes', {
          expr: 'sum by (phase) (rate(pocketfleet_worker_seconds_total[$__rate_interval]))',
          ...{ legend: '{{phase}}', reading: 'Workers by what they do; together as many as there are.' },
        }),
        panel('Share of computing', {
          ...{ type: 'stat', unit: 'percentunit' },
          expr: '(sum(increase(pocketfleet_worker_seconds_total{phase="compute"}[$__range])) - sum(increase(pocketfleet_worker_repeated_seconds_total[$__range]))) / sum(increase(pocketfleet_worker_seconds_total[$__range]))',
          reading: 'Goodput: time in steps that count, of all time of workers.',
        }),
        panel('Computed again', {
          ...{ unit: 's' },
          expr: 'sum(increase(pocketfleet_worker_repeated_seconds_total[$__rate_interval]))',
          reading: 'Steps without a checkpoint whose gang was lost.',
        }),
      ],
    },
    {
      title: 'Which workers are there, and which are gone?',
      panels: [
        {
          ...panel('Workers by state', {
            ...{ expr: 'sum by (state) (pocketfleet_workers)', legend: '{{state}}' },
            reading: 'desired: what the open runs could use now.',
          }),
          queries: [
            { expr: 'sum by (state) (pocketfleet_workers)', legend: '{{state}}' },
            { expr: 'max(pocketfleet_workers_desired)', legend: 'desired' },
          ],
        },
        panel('Silence of workers', {
          expr: 'time() - max by (worker) (pocketfleet_worker_last_heartbeat_timestamp_seconds)',
          ...{ legend: '{{worker}}', unit: 's', reading: 'Since the last report. Some seconds are usual.' },
        }),
        panel('Losses by reason', {
          expr: 'sum by (reason) (increase(pocketfleet_workers_lost_total[$__range])) > 0',
          ...{ type: 'bargauge', legend: '{{reason}}', reading: 'Within the time that is shown.' },
        }),
        panel('Lost workers', {
          ...{ type: 'table', unit: 's' },
          expr: 'time() - max by (worker, reason) (pocketfleet_worker_lost_timestamp_seconds)',
          reading: 'Which are gone, why, and for how long.',
        }),
        panel('Versions', {
          ...{
            type: 'table',
            expr: 'count by (component, version, revision, node_version) (pocketfleet_build_info)',
          },
          reading: 'More than one line for a component: an upgrade is under way, or was forgotten.',
        }),
        panel('Workers attached', {
          ...{ expr: 'sum(pocketfleet_worker_attached)', legend: 'attached' },
          reading: 'As the workers themselves see it.',
        }),
        panel('Streams opened', {
          expr: 'sum(increase(pocketfleet_worker_attach_total[$__rate_interval]))',
          reading: 'Workers that dial again and again have a bad link.',
        }),
        panel('Time to drain p90', {
          ...{ unit: 's' },
          expr: 'histogram_quantile(0.9, sum by (le) (increase(pocketfleet_worker_drain_duration_seconds_bucket[$__range])))',
          reading:
            'From SIGTERM until all runs are given away. Seldom scraped: a worker that has drained ends.',
        }),
      ],
    },
  ],
};
