// What a panel and a dashboard are here: a question, what answers it, and how the answer is read.

/** How a panel draws its series. */
export type PanelType = 'stat' | 'timeseries' | 'table' | 'bargauge';

/** Units of Grafana that panels have. */
export type PanelUnit =
  | 'short'
  | 's'
  | 'bytes'
  | 'Bps'
  | 'ops'
  | 'reqps'
  | 'percentunit'
  | 'percent'
  | 'watt'
  | 'celsius';

/** One query of a panel. */
export interface Query {
  /** PromQL; the selectors of the variables are added when the dashboard is built. */
  readonly expr: string;
  /** With `{{label}}` for a label; empty: all labels. */
  readonly legend: string;
}

/** One panel. */
export interface PanelSpec {
  readonly title: string;
  readonly type: PanelType;
  readonly unit: PanelUnit;
  /** How the answer is read; a sentence. */
  readonly reading: string;
  readonly queries: readonly Query[];
}

/** Panels under one question. */
export interface RowSpec {
  readonly title: string;
  readonly panels: readonly PanelSpec[];
}

/** One dashboard. */
export interface DashboardSpec {
  /** Also the name of its file. */
  readonly uid: string;
  readonly title: string;
  /** The question that it answers. */
  readonly question: string;
  /** Variables beside datasource, namespace and fleet, by name: the metric whose label of that name it lists. */
  readonly variables: Readonly<Record<string, string>>;
  readonly rows: readonly RowSpec[];
}

/** A panel with one query; the legend is one label, or a text with labels. */
export function panel(
  title: string,
  spec: {
    readonly expr: string;
    readonly legend?: string;
    readonly type?: PanelType;
    readonly unit?: PanelUnit;
    readonly reading: string;
  },
): PanelSpec {
  const { expr, legend = '', type = 'timeseries', unit = 'short', reading } = spec;
  return { title, type, unit, reading, queries: [{ expr, legend }] };
}
