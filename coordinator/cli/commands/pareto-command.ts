// `pareto`: the front of a sweep. Decides its flags and what a script gets of it.

import { type Command, InvalidArgumentError } from 'commander';
import { FleetError } from '../../../core/errors.ts';
import { ALWAYS_KNOWN, objectivesOf, usualDirection } from '../../../core/report/objectives.ts';
import { nearest } from '../../../core/text/nearest.ts';
import type { Objective, Sweep } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { type FleetOptions, fleetCommand, withFleet } from '../context.ts';
import { checkFilePlace, STDOUT, writeOutput } from '../output-file.ts';
import { print, printJson, say, terminalColumns } from '../screen/output.ts';
import { frontOfTrials, frontSvg, frontText } from '../screen/pareto-view.ts';
import { trialsOf } from '../whole-lists.ts';

interface ParetoFlags extends FleetOptions {
  readonly objectives?: readonly string[];
  readonly reference?: readonly number[];
  readonly svg?: string;
}

export function addParetoCommand(program: Command): void {
  fleetCommand(program, 'pareto <sweep>', 'the finished candidates that no other beats in every objective')
    .option(
      '--objectives <names>',
      `two or three of ${ALWAYS_KNOWN.join(', ')} and what the sweep looks for (default: that)`,
      namesOf,
    )
    .option(
      '--reference <values>',
      'reference point of the hypervolume, a value for each objective (default: the worst that was measured)',
      numbersOf,
    )
    .option('--svg <file>', 'write the plot to a file; - is stdout')
    .action((sweep: string, flags: ParetoFlags) =>
      withFleet(flags, (client) => pareto(client, sweep, flags)),
    );
}

async function pareto(
  client: Parameters<Parameters<typeof withFleet>[1]>[0],
  idOrName: string,
  flags: ParetoFlags,
): Promise<void> {
  const { reference, svg } = flags;
  if (svg !== undefined) await checkFilePlace(svg);
  const sweep = await client.ask((service) => service.getSweep, { id: idOrName });
  const objectives = objectivesFor(sweep, flags.objectives);
  if (reference !== undefined && reference.length !== objectives.length)
    throw new FleetError(
      'invalidArgument',
      `--reference has ${reference.length} values, and there are ${objectives.length} objectives`,
    );
  const found = frontOfTrials(await trialsOf(client, sweep.id), objectives, reference);
  if (svg !== undefined) {
    if (found.measured.length === 0)
      throw new FleetError('failedPrecondition', `${sweep.id} has no finished candidate to draw yet`);
    await writeOutput(svg, frontSvg(found, `Front of ${sweep.name}`));
    if (svg === STDOUT) return;
    say(`wrote ${svg}`);
  }
  if (flags.json) printJson({ sweepId: sweep.id, ...found, measured: found.measured.length });
  else print(frontText(found, terminalColumns()));
}

/**
 * The objectives of a front: those that are named, else what the sweep looks for; beside one alone stands the number of
 * parameters, or the accuracy. A direction is that of the sweep where it has one.
 */
export function objectivesFor(
  sweep: Pick<Sweep, 'id' | 'objectives'>,
  named?: readonly string[],
): readonly Objective[] {
  const own = objectivesOf(sweep);
  const names = own.map(({ name }) => name);
  const beside = names.includes('parameters') ? 'accuracy' : 'parameters';
  const known = [...new Set([...names, ...ALWAYS_KNOWN])];
  return (named ?? (names.length > 1 ? names : [...names, beside])).map((name) => {
    if (!known.includes(name)) {
      const near = nearest(name, known);
      throw new FleetError(
        'invalidArgument',
        `--objectives: ${name} is no objective of ${sweep.id}; ${near === undefined ? `there are ${known.join(', ')}` : `did you mean ${near}?`}`,
      );
    }
    return own.find((one) => one.name === name) ?? { name, direction: usualDirection(name) };
  });
}

/** For commander: names of objectives with commas between. */
function namesOf(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.length < 2 || names.length > 3 || new Set(names).size !== names.length)
    throw new InvalidArgumentError('A front needs two or three different objectives.');
  return names;
}

/** For commander: numbers with commas between. */
function numbersOf(text: string): number[] {
  const numbers = text.split(',').map(Number);
  if (text === '' || !numbers.every(Number.isFinite))
    throw new InvalidArgumentError(`${text} is no list of numbers, e.g. 0.5,200000.`);
  return numbers;
}
