// A dashboard as Grafana reads it, made with its SDK. Decides the layout: four columns of numbers, two or three
// of curves, each row under its question. The positions are set here, since those of the SDK leave the grid.

import * as bargauge from '@grafana/grafana-foundation-sdk/bargauge';
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  type GridPos,
  QueryVariableBuilder,
  RowBuilder,
  VariableRefresh,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as table from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';
import type { DashboardSpec, PanelSpec } from './panel.ts';
import { withSelectors } from './selectors.ts';

const COLUMNS = 24;
const SIZES = {
  stat: { w: 4, h: 4 },
  timeseries: { w: 8, h: 8 },
  table: { w: 12, h: 8 },
  bargauge: { w: 8, h: 8 },
} as const;
// biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of Grafana.
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

/** As a file of Grafana, pretty-printed. */
export function dashboardText(spec: DashboardSpec): string {
  return `${JSON.stringify(build(spec), null, 2)}\n`;
}

function build(spec: DashboardSpec): Dashboard {
  const { uid, title, question, variables, rows } = spec;
  const builder = new DashboardBuilder(`Pocketfleet / ${title}`)
    .uid(uid)
    .description(question)
    .tags(['pocketfleet'])
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: 'now-1h', to: 'now' })
    .timezone('browser')
    .refresh('30s')
    .link(
      new DashboardLinkBuilder('Pocketfleet')
        .type(DashboardLinkType.Dashboards)
        .tags(['pocketfleet'])
        .asDropdown(true)
        .keepTime(true)
        .includeVars(true),
    )
    .withVariable(new DatasourceVariableBuilder('datasource').label('data source').type('prometheus'))
    .withVariable(labelVariable('namespace', 'pocketfleet_build_info'))
    .withVariable(labelVariable('fleet', 'pocketfleet_build_info{namespace=~"$namespace"}'));
  for (const [name, metric] of Object.entries(variables))
    builder.withVariable(labelVariable(name, `${metric}{namespace=~"$namespace",fleet=~"$fleet"}`));
  const names = new Set(Object.keys(variables));
  let id = 0;
  let y = 0;
  for (const { title: rowTitle, panels } of rows) {
    builder.withRow(new RowBuilder(rowTitle).id(++id).gridPos({ x: 0, y, w: COLUMNS, h: 1 }));
    y += 1;
    const { places, height } = placesOf(panels);
    for (const [i, one] of panels.entries()) {
      const place = places[i]!;
      builder.withPanel(panelOf(one, { id: ++id, gridPos: { ...place, y: y + place.y }, names }));
    }
    y += height;
  }
  return builder.build();
}

/** From left to right, in a new line where one does not fit or is of another height. */
function placesOf(panels: readonly PanelSpec[]): {
  readonly places: readonly GridPos[];
  readonly height: number;
} {
  let x = 0;
  let y = 0;
  let lineHeight = 0;
  const places = panels.map(({ type }) => {
    const { w, h } = SIZES[type];
    if (x + w > COLUMNS || (lineHeight > 0 && h !== lineHeight)) {
      y += lineHeight;
      x = 0;
    }
    lineHeight = h;
    const place = { x, y, w, h };
    x += w;
    return place;
  });
  return { places, height: y + lineHeight };
}

/** A variable that lists the values of its label; a string, because Grafana's schema takes no object here. */
function labelVariable(name: string, of: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .query(`label_values(${of}, ${name})`)
    .datasource(DATASOURCE)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current({ selected: true, text: 'All', value: '$__all' });
}

const BUILDERS = {
  stat: () => new stat.PanelBuilder(),
  timeseries: () => new timeseries.PanelBuilder(),
  table: () => new table.PanelBuilder(),
  bargauge: () => new bargauge.PanelBuilder(),
};

function panelOf(
  spec: PanelSpec,
  at: { readonly id: number; readonly gridPos: GridPos; readonly names: ReadonlySet<string> },
) {
  const builder = BUILDERS[spec.type]()
    .id(at.id)
    .title(spec.title)
    .description(spec.reading)
    .datasource(DATASOURCE)
    .unit(spec.unit)
    .gridPos(at.gridPos);
  for (const [i, { expr, legend }] of spec.queries.entries()) {
    const query = new DataqueryBuilder()
      .expr(withSelectors(expr, at.names))
      .legendFormat(legend === '' ? '__auto' : legend)
      .refId(String.fromCharCode(65 + i));
    builder.withTarget(spec.type === 'timeseries' ? query.range() : query.instant());
  }
  return builder;
}
