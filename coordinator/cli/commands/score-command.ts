// `model score`: scores of a network at its initial weights, as a search screens by them. It needs no fleet: a process of
// this machine computes. Decides which images the scores see and what is printed.

import { type Command, InvalidArgumentError } from 'commander';
import { FleetError } from '../../../core/errors.ts';
import { type DataSpec, dataSchema } from '../../../core/spec/data.ts';
import type { NetworkSpec } from '../../../core/spec/network.ts';
import { SCORES, type ScoreName } from '../../../core/spec/screening.ts';
import { wholeNumber } from '../context.ts';
import { scoreNetworkCommand } from '../local/program-command.ts';
import { print, printJson, say } from '../screen/output.ts';
import { table } from '../screen/table.ts';
import { computed } from '../verify/compute-process.ts';
import { shapedYaml } from '../yaml-file.ts';
import { type HintFlags, hintOptions } from './model-commands.ts';
import { namedNetwork } from './named-network.ts';

interface ScoreFlags extends HintFlags {
  readonly score: readonly ScoreName[];
  readonly seed: number;
  readonly data?: string;
  readonly json?: boolean;
}

/** A score, or why there is none. */
interface Scored {
  readonly score: ScoreName;
  readonly value?: number;
  readonly reason?: string;
}

/** Faces that are drawn where no data are named: enough for two batches of different people. */
const DRAWN = { kind: 'synthetic', identities: 20, images: 2, holdout: 2 };

export function addScoreCommand(model: Command): void {
  hintOptions(model.command('score <network>'))
    .description(
      'scores of a network at initial weights, without a fleet: of a preset, a genotype (a name or a file), a YAML file or a model file',
    )
    .option('--score <names>', `of ${SCORES.join(', ')}, with commas between`, scoreNames, [...SCORES])
    .option('--seed <n>', 'of the initial weights and the images', wholeNumber(0, 2 ** 32 - 1), 1)
    .option(
      '--data <file>',
      'YAML file whose `data` naswot and zico see, such as that of a sweep (default: drawn faces)',
    )
    .option('--json', 'print JSON')
    .action(scoreModel);
}

async function scoreModel(name: string, flags: ScoreFlags): Promise<void> {
  const network = await namedNetwork(name, flags);
  if (network.kind === 'supernet')
    throw new FleetError('invalidArgument', 'the supernet has no score; its candidates have');
  const { score: scores, seed } = flags;
  const request = { network, scores, seed, data: await dataOf(flags.data) };
  const answer = await computed<{ readonly network: NetworkSpec; readonly scored: readonly Scored[] }>(
    scoreNetworkCommand(),
    request,
    'scores',
  );
  const { scored } = answer;
  if (flags.json) printJson({ ...answer, seed });
  else
    print(
      table<Scored>(scored, [
        { head: 'SCORE', cell: (row) => row.score },
        {
          head: 'VALUE',
          align: 'right',
          cell: ({ value }) => (value === undefined ? '-' : value.toPrecision(6)),
        },
      ]),
    );
  for (const { score, reason } of scored) if (reason !== undefined) say(`${score}: ${reason}`);
  if (scored.every(({ value }) => value === undefined))
    throw new FleetError('failedPrecondition', 'no score could be computed; the reasons are above');
}

const dataOf = async (file: string | undefined): Promise<DataSpec> =>
  file === undefined
    ? dataSchema.parse(DRAWN)
    : await shapedYaml(file, { key: 'data', noun: 'data set', schemaOf: () => dataSchema });

/** For commander: names of scores with commas between. */
function scoreNames(text: string): ScoreName[] {
  const names = text.split(',').map((name) => {
    const known = SCORES.find((score) => score === name.trim());
    if (known === undefined)
      throw new InvalidArgumentError(`${JSON.stringify(name)} is none of ${SCORES.join(', ')}.`);
    return known;
  });
  return [...new Set(names)];
}
