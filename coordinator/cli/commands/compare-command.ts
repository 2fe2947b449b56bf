// `compare`: two runs, trials or sweeps beside each other, or any number of sweeps and searches by gradient at equal
// worker-seconds. A trial is compared by its run. Decides what is asked of the coordinator, and what can be compared.

import type { Command } from 'commander';
import { FleetError } from '../../../core/errors.ts';
import { secondsOf } from '../../../core/report/runs.ts';
import type { Run, Sweep } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import { type FleetOptions, findOne, fleetCommand, wholeNumber, withFleet } from '../context.ts';
import { specDifferences } from '../proof/spec-differences.ts';
import { type ComparedValue, type Comparison, comparisonText } from '../screen/compare-view.ts';
import { atEqualSeconds, equalSecondsText } from '../screen/equal-seconds.ts';
import { print, printJson, terminalColumns } from '../screen/output.ts';
import { spentOf, workerSeconds } from './spent.ts';

export function addCompareCommand(program: Command): void {
  fleetCommand(
    program,
    'compare <ids...>',
    'two runs, trials or sweeps: what was asked differently, what came out, what it cost; or sweeps and searches at equal worker-seconds',
  )
    .option(
      '--seconds <n>',
      'compare sweeps and searches by what they had found by then; default for more than two of them, and for a search beside a sweep: when the slowest search had ended, else when the first sweep had',
      wholeNumber(1, 1e12),
    )
    .action((ids: readonly string[], flags: FleetOptions & { readonly seconds?: number }) => {
      if (ids.length < 2)
        throw new FleetError('invalidArgument', 'compare takes two ids or more: compare A B');
      return withFleet(flags, async (client) => {
        const { seconds } = flags;
        const columns = terminalColumns();
        const things = await Promise.all(ids.map((id) => thing(client, id)));
        const [a, b] = things as [Thing, Thing];
        if (things.length === 2 && a.kind === b.kind && seconds === undefined) {
          const comparison = await compared(client, [a, b]);
          if (flags.json) printJson(comparison);
          else print(comparisonText(comparison, columns));
          return;
        }
        const found = atEqualSeconds(await spentOf(client, await searchesIn(client, things)), seconds);
        if (flags.json) printJson(found);
        else print(equalSecondsText(found, columns));
      });
    });
}

/** Each thing whole; refused where one is a run that searches nothing. */
async function searchesIn(client: FleetClient, things: readonly Thing[]): Promise<(Sweep | Run)[]> {
  if (new Set(things.map(({ id }) => id)).size < things.length)
    throw new FleetError('invalidArgument', 'compare takes each id once');
  return Promise.all(
    things.map(async ({ kind, id }) => {
      if (kind === 'sweep') return client.ask((service) => service.getSweep, { id });
      const run = await client.ask((service) => service.getRun, { id });
      if (run.kind === 'search') return run;
      throw new FleetError(
        'invalidArgument',
        `${id} is a ${run.kind}; at equal seconds sweeps and runs of kind search compare, and two runs or trials by themselves`,
      );
    }),
  );
}

interface Thing {
  readonly kind: 'run' | 'sweep';
  readonly id: string;
}

async function thing(client: FleetClient, idOrName: string): Promise<Thing> {
  const { kind, id } = await findOne(client, idOrName, ['run', 'trial', 'sweep']);
  if (kind !== 'trial') return { kind: kind as Thing['kind'], id };
  const { runId } = await client.ask((service) => service.getTrial, { id });
  if (runId === '') throw new FleetError('failedPrecondition', `${id} has no run yet, so it has no result`);
  return { kind: 'run', id: runId };
}

async function compared(client: FleetClient, [a, b]: readonly [Thing, Thing]): Promise<Comparison> {
  const ids = [a.id, b.id] as const;
  const cost = await Promise.all(ids.map((id) => workerSeconds(client, id)));
  const costs: ComparedValue = { what: 'worker-seconds', unit: 'seconds', a: cost[0]!, b: cost[1]! };
  if (a.kind === 'sweep') {
    const ask = (id: string) => client.ask((service) => service.getSweep, { id });
    const [first, second] = await Promise.all([ask(a.id), ask(b.id)]);
    return {
      kind: 'sweep',
      ids,
      specs: specsOf(first, second),
      values: [...pairs(SWEEP_VALUES, first, second), costs],
    };
  }
  const ask = (id: string) => client.ask((service) => service.getRun, { id });
  const [first, second] = await Promise.all([ask(a.id), ask(b.id)]);
  return {
    kind: 'run',
    ids,
    specs: specsOf(first, second),
    values: [...pairs(RUN_VALUES, first, second), costs],
  };
}

type Specified = Pick<Run | Sweep, 'specJson'>;

const specsOf = (a: Specified, b: Specified) =>
  specDifferences(JSON.parse(a.specJson), JSON.parse(b.specJson));

type Row<T> = readonly [what: string, unit: ComparedValue['unit'], of: (one: T) => number | string];

const pairs = <T>(rows: readonly Row<T>[], a: T, b: T): ComparedValue[] =>
  rows.map(([what, unit, of]) => ({ what, unit, a: of(a), b: of(b) }));

const RUN_VALUES: readonly Row<Run>[] = [
  ['state', 'text', (run) => run.state],
  ['accuracy', 'share', (run) => run.evaluation?.accuracy ?? Number.NaN],
  ['spread of accuracy', 'share', (run) => run.evaluation?.accuracyStd ?? Number.NaN],
  ['AUC', 'number', (run) => run.evaluation?.auc ?? Number.NaN],
  ['loss', 'number', (run) => (run.step > 0 ? run.loss : Number.NaN)],
  ['parameters', 'count', (run) => run.parameters],
  ['mflops', 'number', (run) => run.mflops],
  ['steps', 'count', (run) => run.step],
  ['weights', 'text', (run) => run.weightsDigest],
  ['time', 'seconds', secondsOf],
];

const SWEEP_VALUES: readonly Row<Sweep>[] = [
  ['state', 'text', (sweep) => sweep.state],
  ['strategy', 'text', (sweep) => sweep.strategy],
  ['trials', 'count', (sweep) => sweep.trialsTotal],
  ['done', 'count', (sweep) => sweep.trialsDone],
  ['failed', 'count', (sweep) => sweep.trialsFailed],
  ['best accuracy', 'share', (sweep) => (sweep.bestTrialId === '' ? Number.NaN : sweep.bestObjective)],
  ['best trial', 'text', (sweep) => sweep.bestTrialId],
  [
    'time',
    'seconds',
    (sweep) => (sweep.endedAtMs > 0 ? (sweep.endedAtMs - sweep.createdAtMs) / 1000 : Number.NaN),
  ],
];
