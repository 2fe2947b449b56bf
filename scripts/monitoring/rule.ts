// What a rule of Prometheus is here, and how a group of them is written.

/** A series that is computed beforehand. */
export interface RecordingRule {
  readonly record: string;
  readonly expr: string;
}

/** What somebody is told of. */
export interface Alert {
  readonly name: string;
  readonly expr: string;
  /** How long it must hold. */
  readonly for: string;
  /** `critical`: somebody has to get up; `warning`: within a day; `info`: good to know. */
  readonly severity: 'critical' | 'warning' | 'info';
  /** A sentence; `{{ $labels.NAME }}` stands for a label of the series. */
  readonly summary: string;
}

/** Alerts that belong together. */
export interface AlertGroup {
  readonly name: string;
  readonly alerts: readonly Alert[];
}

/** Where the runbooks lie; the chart puts another prefix in its place. */
const RUNBOOKS = 'docs/runbooks/';

/** The page of an alert: PocketfleetNoLeader has `no-leader.md`. */
export function runbookOf({ name }: Pick<Alert, 'name'>): string {
  const words = name.replace(/^Pocketfleet/, '').match(/[A-Z][a-z0-9]*/g) ?? [];
  return `${RUNBOOKS}${words.join('-').toLowerCase()}.md`;
}

/** As a file of rules has it. */
export function ruleOfAlert(alert: Alert) {
  const { name, expr, severity, summary } = alert;
  return {
    alert: name,
    expr,
    ...(alert.for === '0m' ? {} : { for: alert.for }),
    labels: { severity },
    annotations: { summary, runbook_url: runbookOf(alert) },
  };
}
