// The report of a plan as one HTML page: a pure function of `ReportData`. Decides what a reader sees first
// (how good, how small, how long) and what follows. The page loads nothing and runs no script.

import type {
  Checkpoint,
  EvaluationReport,
  Plan,
  Run,
  StepPoint,
  Sweep,
  Trial,
} from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { stateText } from '../text/state-text.ts';
import {
  barChart,
  escapeText,
  lineChart,
  type Series,
  type Span,
  scatterChart,
  spanChart,
} from './charts.ts';
import { COMPARISON_NOTE, comparisonsOf, gateSentences } from './comparisons.ts';
import { formatCount, formatNumber, formatPercent, formatSeconds, formatTime } from './format.ts';
import { bestTrialFirst } from './objectives.ts';
import { examplePairs } from './pairs.ts';
import { cellText, learning, secondsOf } from './runs.ts';
import { scrollable } from './scrollable.ts';
import { type SearchReport, searchSection } from './search-section.ts';
import { REPORT_STYLE } from './style.ts';

/** One run with all that the report shows of it. */
export interface RunReport {
  readonly run: Run;
  readonly history: readonly StepPoint[];
  /** Undefined for a run that was not verified. */
  readonly evaluation: EvaluationReport | undefined;
  readonly checkpoints: readonly Checkpoint[];
}

/** Everything that the page shows. */
export interface ReportData {
  readonly plan: Plan;
  readonly sweep: Sweep | undefined;
  readonly trials: readonly Trial[];
  /** Runs of the sweep. */
  readonly candidateRuns: readonly Run[];
  /** Those of them that search by gradient, with what each epoch found: a sweep over seeds has one a trial. */
  readonly seedSearches: readonly SearchReport[];
  /** Teacher and students. */
  readonly runs: readonly RunReport[];
  readonly generatedAtMs: number;
}

/** The whole page. */
export function reportHtml(data: ReportData): string {
  const title = `Pocketfleet: ${data.plan.name}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(title)}</title>
<style>${REPORT_STYLE}</style>
</head>
<body>
<main>
${[header(data), candidates(data), searchSection([...data.seedSearches, ...data.runs]), training(data), verification(data), pairs(data), timeline(data), source(data)].join('\n')}
</main>
</body>
</html>
`;
}

/**
 * Rows of a table or of the timeline at most: with thousands of candidates nobody would reach the end of the
 * page.
 */
const ROWS_MAX = 100;

const leftOut = (all: number, which: string): string =>
  all <= ROWS_MAX ? '' : ` Shown are ${ROWS_MAX} of ${formatCount(all)} ${which}.`;

function header({ plan, trials, runs, generatedAtMs }: ReportData): string {
  const winner = runs.find(({ run }) => run.id === plan.winnerRunId)?.run;
  const tiles: [string, string][] = [];
  if (winner?.evaluation) {
    tiles.push([
      formatPercent(winner.evaluation.accuracy),
      `accuracy of ${winner.name}, the exported network`,
    ]);
    if (Number.isFinite(winner.evaluation.accuracyUntrained))
      tiles.push([formatPercent(winner.evaluation.accuracyUntrained), 'the same network untrained']);
  }
  if (winner) tiles.push([formatCount(winner.parameters), 'parameters']);
  if (winner && winner.mflops > 0) tiles.push([formatNumber(winner.mflops, 1), 'MFLOPs an image']);
  if (trials.length > 0)
    tiles.push([
      formatCount(trials.filter((trial) => trial.state === 'done').length),
      'candidates evaluated',
    ]);
  if (plan.endedAtMs > 0)
    tiles.push([formatSeconds((plan.endedAtMs - plan.createdAtMs) / 1000), 'from submit to end']);
  const state = plan.state === 'done' ? '' : ` · ${stateText(plan.state, plan.reason)}`;
  return `<h1>${escapeText(plan.name)}</h1>
<p class="soft">${escapeText(`Plan ${plan.id}, ${formatTime(generatedAtMs, true)}${state}`)}</p>
<div class="tiles">${tiles.map(([value, what]) => `<div class="tile"><b>${escapeText(value)}</b><span>${escapeText(what)}</span></div>`).join('')}</div>`;
}

function candidates({ sweep, trials }: ReportData): string {
  if (sweep === undefined || trials.length === 0) return '';
  const done = trials.filter((trial) => trial.state === 'done' && Number.isFinite(trial.objective));
  const chart = scatterChart(
    done.map((trial) => ({
      x: trial.parameters,
      y: trial.objective,
      label: `#${trial.number}`,
      tip: `#${trial.number}: ${formatPercent(trial.objective)}, ${formatCount(trial.parameters)} parameters, ${formatNumber(trial.mflops)} MFLOPs`,
      chosen: trial.id === sweep.bestTrialId,
    })),
    {
      title: 'Accuracy of the candidates against their parameters',
      xLabel: 'parameters',
      yLabel: 'verification accuracy',
      formatY: (value, step) => formatPercent(value, step < 0.0099 ? 1 : 0),
    },
  );
  const ranked = [...trials].sort(bestTrialFirst(sweep));
  const reused = trials.filter(({ reusedFrom }) => reusedFrom !== '');
  const origin = (trial: Trial) => (trial.reusedFrom === '' ? '' : `reused ${trial.reusedFrom}`);
  const rows = ranked.slice(0, ROWS_MAX).map((trial) => ({
    chosen: trial.id === sweep.bestTrialId,
    cells: [
      `#${trial.number}`,
      trial.state === 'done' ? formatPercent(trial.objective) : trial.state,
      formatCount(trial.parameters),
      formatNumber(trial.mflops),
      ...(reused.length > 0 ? [origin(trial)] : []),
      raw(`<code>${escapeText(cellText(trial.genotypeJson))}</code>`),
    ],
  }));
  return `<h2>Candidates</h2>
<p class="soft">Each architecture was trained by the same short schedule and verified on identities it had never seen. The best one goes on.${reused.length > 0 ? ` The results of ${formatCount(reused.length)} of ${formatCount(trials.length)} were there already and were taken.` : ''}${leftOut(ranked.length, 'candidates, the best of them')}</p>
<div class="two"><div class="card"${scrollable('Chart of the candidates')}>${done.length > 0 ? chart : 'No candidate finished.'}</div>
<div class="card"${scrollable('Candidates')}>${htmlTable(['candidate', 'accuracy', 'parameters', 'MFLOPs', ...(reused.length > 0 ? ['result'] : []), 'normal cell'], [1, 2, 3], rows)}</div></div>`;
}

function training({ runs }: ReportData): string {
  const trained = runs.filter(({ history }) => history.length > 1);
  if (trained.length === 0) return '';
  const series = (value: (point: StepPoint) => number): Series[] =>
    runs.flatMap(({ run, history }, colour) => {
      const points = history.map((point) => [epochsAt(run, point), value(point)] as const);
      return points.some(([, y]) => Number.isFinite(y)) ? [{ name: run.name, colour, points }] : [];
    });
  const arcface = lineChart(
    series((point) => point.lossArcface),
    {
      title: 'ArcFace loss of the runs',
      xLabel: 'epochs',
      yLabel: 'ArcFace loss',
      smooth: true,
    },
  );
  const distilled = series((point) => point.lossKd);
  const kd = lineChart(distilled, {
    title: 'Distillation loss of the students that have a teacher',
    xLabel: 'epochs',
    yLabel: 'weighted distance to the teacher',
    smooth: true,
  });
  return `<h2>Training</h2>
<p class="soft">Each point is one optimiser step over the whole batch, summed over the workers in a fixed order; the line is a moving mean.</p>
<div class="two"><div class="card"${scrollable('ArcFace loss')}><h3>ArcFace loss</h3>${arcface}</div>${distilled.length > 0 ? `<div class="card"${scrollable('Distillation loss')}><h3>Distillation loss</h3>${kd}</div>` : ''}</div>`;
}

/** Epochs trained at a step, from the run's own totals, since a step may straddle two epochs. */
function epochsAt(run: Run, point: StepPoint): number {
  const epochs = epochsOf(run);
  return run.stepsTotal > 0 && epochs > 0 ? (point.step / run.stepsTotal) * epochs : point.epoch;
}

function epochsOf(run: Run): number {
  try {
    const spec = JSON.parse(run.specJson) as { training?: { epochs?: number } };
    return spec.training?.epochs ?? 0;
  } catch {
    return 0;
  }
}

function verification({ runs, plan }: ReportData): string {
  const verified = runs.filter(({ run }) => run.evaluation !== undefined);
  if (verified.length === 0) return '';
  const rows = verified.map(({ run }) => {
    const e = run.evaluation!;
    return {
      chosen: run.id === plan.winnerRunId,
      cells: [
        raw(
          `${escapeText(run.name)}${run.id === plan.winnerRunId ? ' <span class="badge">exported</span>' : ''}`,
        ),
        learning(run),
        run.parameters > 0 ? formatCount(run.parameters) : '–',
        `${formatPercent(e.accuracy)} ± ${formatNumber(e.accuracyStd * 100, 1)}`,
        formatPercent(e.accuracyUntrained),
        formatNumber(e.auc, 3),
        formatPercent(e.eer),
        formatPercent(e.tarAtFar),
        run.reusedFrom ? `reused ${run.reusedFrom}` : formatSeconds(secondsOf(run)),
      ],
    };
  });
  const series: Series[] = runs.flatMap(({ run, evaluation }, colour) => {
    const points =
      evaluation?.rocFpr.map((fpr, i) => [fpr, evaluation.rocTpr[i] ?? Number.NaN] as const) ?? [];
    return points.length === 0 ? [] : [{ name: run.name, colour, points }];
  });
  const roc = lineChart(series, {
    title: 'ROC curves',
    xLabel: 'different people taken for the same (FPR)',
    yLabel: 'same person recognised (TPR)',
    unit: true,
    steps: true,
  });
  const heads = [
    'network',
    'kind',
    'parameters',
    'accuracy',
    'untrained',
    'AUC',
    'EER',
    'TAR at FAR 1e-2',
    'took',
  ];
  return `<h2>Verification</h2>
<p class="soft">10-fold pair verification on identities that were kept out of all training: each fold is judged by the threshold that is best on the other nine.</p>
<div class="card"${scrollable('Verification of the trained networks')}>${htmlTable(heads, [2, 3, 4, 5, 6, 7, 8], rows)}</div>
${differences(runs, plan)}
<div class="two">${series.length > 0 ? `<div class="card"${scrollable('ROC')}><h3>ROC</h3>${roc}</div>` : ''}<div class="card"${scrollable('Accuracy')}><h3>Accuracy, and before training</h3>${accuracyBars(verified)}<p class="soft">Bars begin at one half, which is guessing; upright marks are the untrained networks.</p></div></div>`;
}

/** The sentences about each two networks; nothing where their reports do not allow a comparison. */
function differences(runs: readonly RunReport[], plan: Plan): string {
  const evaluations = new Map(
    runs.flatMap(({ run, evaluation }) => (evaluation === undefined ? [] : [[run.id, evaluation] as const])),
  );
  const found = comparisonsOf(
    runs.map(({ run }) => run),
    evaluations,
    plan.winnerRunId,
  );
  if (found.length === 0) return '';
  const sentences = [...found.map(({ sentence }) => sentence), ...gateSentences(found)];
  const items = sentences.map((sentence) => `<li>${escapeText(sentence)}</li>`);
  return `<div class="card"><h3>Differences</h3><ul>${items.join('')}</ul><p class="soft">${escapeText(COMPARISON_NOTE)}</p></div>`;
}

function accuracyBars(verified: readonly RunReport[]): string {
  const bars = verified.map(({ run }, colour) => {
    const { accuracy, accuracyUntrained } = run.evaluation!;
    const tip = `${run.name}: ${formatPercent(accuracy)}, untrained ${formatPercent(accuracyUntrained)}`;
    return { label: run.name, colour, value: accuracy, mark: accuracyUntrained, tip };
  });
  return barChart(bars, { title: 'Accuracy of the trained and of the untrained networks' });
}

function pairs({ runs, plan }: ReportData): string {
  const withExamples = runs.filter(({ evaluation }) => (evaluation?.examples.length ?? 0) > 0);
  const shown = withExamples.find(({ run }) => run.id === plan.winnerRunId) ?? withExamples.at(-1);
  return shown === undefined ? '' : examplePairs(shown.run.name, shown.evaluation!.examples);
}

function timeline(data: ReportData): string {
  const start = data.plan.createdAtMs;
  const at = (ms: number) => Math.max(0, (ms - start) / 1000);
  const end = data.plan.endedAtMs > 0 ? data.plan.endedAtMs : data.generatedAtMs;
  const span = (run: Run, colour: number, checkpoints: readonly Checkpoint[]): Span => ({
    label: run.name,
    colour,
    from: at(run.startedAtMs),
    to: at(run.endedAtMs > 0 ? run.endedAtMs : end),
    marks: checkpoints.map((checkpoint) => at(checkpoint.storedAtMs)),
    tip: `${run.name}: ${run.kind}, ${run.state}, ${formatSeconds(secondsOf(run))}`,
  });
  const started = (run: Run) => run.startedAtMs > 0;
  const candidates = data.candidateRuns.filter(started);
  const spans = [
    ...candidates.slice(0, ROWS_MAX).map((run) => span(run, 7, [])),
    ...data.runs.flatMap(({ run, checkpoints }, i) => (started(run) ? [span(run, i, checkpoints)] : [])),
  ];
  if (spans.length === 0) return '';
  return `<h2>Who worked when</h2>
<p class="soft">From the moment of submitting. Upright marks are stored checkpoints: a student that is distilled in many steps begins at its teacher's first one.${leftOut(candidates.length, 'candidates, the first of them')}</p>
<div class="card"${scrollable('Who worked when')}>${spanChart(spans, { title: 'When each run trained' })}</div>`;
}

function source({ plan }: ReportData): string {
  if (plan.yaml === '') return '';
  return `<h2>The plan</h2><div class="card"><details><summary>The text that took effect</summary><pre${scrollable('Text of the plan')}>${escapeText(plan.yaml)}</pre></details></div>`;
}

/** Text that is HTML, which is not escaped again. */
interface Raw {
  readonly html: string;
}
const raw = (html: string): Raw => ({ html });

function htmlTable(
  heads: readonly string[],
  numeric: readonly number[],
  rows: readonly { chosen: boolean; cells: readonly (string | Raw)[] }[],
): string {
  const mark = (i: number) => (numeric.includes(i) ? ' class="n"' : '');
  const head = heads.map((text, i) => `<th scope="col"${mark(i)}>${escapeText(text)}</th>`).join('');
  const body = rows.map(({ chosen, cells }) => {
    const tds = cells.map(
      (cell, i) => `<td${mark(i)}>${typeof cell === 'string' ? escapeText(cell) : cell.html}</td>`,
    );
    return `<tr${chosen ? ' class="chosen"' : ''}>${tds.join('')}</tr>`;
  });
  return `<table><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table>`;
}
