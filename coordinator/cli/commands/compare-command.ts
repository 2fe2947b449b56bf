// `compare`: two runs, trials or sweeps beside each other. A trial is compared by its run. Decides what is asked of
// the coordinator, and that only things of one kind are compared.

import type { Command } from 'commander';
import { FleetError } from '../../../core/errors.ts';
import { secondsOf } from '../../../core/report/runs.ts';
import type { Run, Sweep } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import { type FleetOptions, findOne, fleetCommand, withFleet } from '../context.ts';
import { specDifferences } from '../proof/spec-differences.ts';
import { type ComparedValue, type Comparison, comparisonText } from '../screen/compare-view.ts';
import { sumOfPhases } from '../screen/goodput.ts';
import { print, printJson } from '../screen/output.ts';

export function addCompareCommand(program: Command): void {
  fleetCommand(
    program,
    'compare <id-a> <id-b>',
    'two runs, trials or sweeps: what was asked differently, what came out, what it cost',
  ).action((a: string, b: string, flags: FleetOptions) =>
    withFleet(flags, async (client) => {
      const comparison = await compared(client, await Promise.all([thing(client, a), thing(client, b)]));
      if (flags.json) printJson(comparison);
      else print(comparisonText(comparison, process.stdout.isTTY ? process.stdout.columns : undefined));
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
  if (a.kind !== b.kind)
    throw new FleetError(
      'invalidArgument',
      `${a.id} is a ${a.kind} and ${b.id} is a ${b.kind}; two runs or trials can be compared, or two sweeps`,
    );
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

async function workerSeconds(client: FleetClient, id: string): Promise<number> {
  const { seconds } = await client.ask((service) => service.getGoodput, { id });
  return seconds === undefined ? Number.NaN : sumOfPhases(seconds);
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
