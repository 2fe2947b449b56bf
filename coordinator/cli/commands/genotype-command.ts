// `genotype`: the cells of a network, as text for a spec or as a drawing. Decides what a word names: a preset, a
// published genotype or a file of this machine, else a run, trial or sweep of a fleet. Of a search it is what its
// newest stage has found, or with `@12` that stage; drawn without a stage, it is the whole search.

import { extname } from 'node:path';
import type { Command } from 'commander';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import { resolveGenotype } from '../../../core/nn/genotype.ts';
import { genotypeKey } from '../../../core/nn/genotype-code.ts';
import { genotypeDrawing } from '../../../core/report/cell-drawing.ts';
import { searchDrawing } from '../../../core/report/search-drawing.ts';
import { type SearchedStage, searchedStages } from '../../../core/report/searched-stages.ts';
import { standaloneSvg } from '../../../core/report/standalone-svg.ts';
import { type Genotype, genotypeSchema, type PocketnetSpec } from '../../../core/spec/network.ts';
import type { Run } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import { type FleetOptions, findOne, findRun, fleetCommand, withFleet } from '../context.ts';
import { checkFilePlace, STDOUT, writeOutput } from '../output-file.ts';
import { print, printJson, tellWritten } from '../screen/output.ts';
import { checkpointsOf } from '../whole-lists.ts';
import { namedNetwork, namesFile, PRESET_NAMES } from './named-network.ts';

interface GenotypeFlags extends FleetOptions {
  readonly output?: string;
}

/** A genotype and what it is of, for people. */
interface Named {
  readonly of: string;
  readonly genotype: Genotype;
  /** Of a search that is named without a stage: all that it has found. */
  readonly stages?: readonly SearchedStage[];
}

export function addGenotypeCommand(program: Command): void {
  fleetCommand(program, 'genotype <run|trial|sweep|file>', 'the cells of a network, as text or as a drawing')
    .option(
      '-o, --output <file>',
      'SVG file to draw both cells in, of a search those of all epochs with the shares of operations over time; - is stdout',
    )
    .action(genotype);
}

async function genotype(name: string, flags: GenotypeFlags): Promise<void> {
  const { output } = flags;
  if (output !== undefined) {
    refuseOtherFormats(output);
    await checkFilePlace(output);
  }
  const { stages, ...found } = await named(name, flags);
  const key = genotypeKey(found.genotype);
  if (output === undefined) {
    if (flags.json) printJson({ ...found, key });
    else print(genotypeText(found, key));
    return;
  }
  const drawing =
    stages === undefined
      ? genotypeDrawing(found.genotype, { title: `Cells of ${found.of}` })
      : searchDrawing(stages, { title: `Search of ${found.of}` });
  const file = await writeOutput(output, standaloneSvg(drawing));
  const shown =
    stages === undefined ? 'both cells' : `shares of operations and both cells over ${stages.length} epochs`;
  tellWritten({ file }, `${file} (${shown} of ${found.of})`, flags);
}

function refuseOtherFormats(output: string): void {
  const extension = extname(output).toLowerCase();
  if (output !== STDOUT && extension !== '' && extension !== '.svg')
    throw new FleetError(
      'invalidArgument',
      `-o ${output}: a drawing is an SVG file, and ${extension} names another format; use .svg`,
    );
}

async function named(name: string, flags: GenotypeFlags): Promise<Named> {
  let unknown: FleetError;
  try {
    return { of: name, genotype: cellsOf(await namedNetwork(name, {}), name) };
  } catch (caught) {
    unknown = toFleetError(caught);
    if (unknown.code !== 'notFound') throw unknown;
  }
  try {
    return await withFleet(flags, (client) => ofFleet(client, name));
  } catch (caught) {
    // Whoever named a file wants to know about the file, and not about a fleet.
    if (namesFile(name)) throw unknown;
    const error = toFleetError(caught);
    if (error.code !== 'notFound') throw error;
    throw new FleetError(
      'notFound',
      `${error.message}; nor is it a preset (${PRESET_NAMES}), a published genotype or a file`,
      { cause: caught },
    );
  }
}

/** The genotype of a run's network, of what a search has found, of a trial, or of the best trial of a sweep. */
async function ofFleet(client: FleetClient, word: string): Promise<Named> {
  const [, before, stage] = /^(.+)@(\d+)$/.exec(word) ?? [];
  if (before !== undefined) return ofStage(client, await findRun(client, before), Number(stage));
  const { kind, id } = await findOne(client, word, ['run', 'trial', 'sweep']);
  if (kind === 'run') {
    const run = await findRun(client, id);
    if (run.kind === 'search') return ofStage(client, run, undefined);
    return { of: id, genotype: cellsOf(JSON.parse(run.specJson).network, id) };
  }
  const trialId =
    kind === 'trial' ? id : (await client.ask((service) => service.getSweep, { id })).bestTrialId;
  if (trialId === '')
    throw new FleetError('failedPrecondition', `${id} has no finished candidate yet, so it has no best one`);
  const { genotypeJson } = await client.ask((service) => service.getTrial, { id: trialId });
  return { of: trialId, genotype: genotypeSchema.parse(JSON.parse(genotypeJson)) };
}

/** What a search has found at the end of a stage; without a number at the newest one. */
async function ofStage(client: FleetClient, run: Run, stage: number | undefined): Promise<Named> {
  const { id, kind } = run;
  if (kind !== 'search')
    throw new FleetError(
      'invalidArgument',
      `${id} is a ${kind}; the stages of a search alone have cells of their own`,
    );
  const items = await checkpointsOf(client, id);
  const one = stage === undefined ? items.at(-1) : items.find((checkpoint) => checkpoint.stage === stage);
  if (one?.found === undefined)
    throw new FleetError(
      'failedPrecondition',
      stage === undefined
        ? `${id} has stored no stage yet, so it has found no cells`
        : `${id} has not stored its stage ${stage}; it has ${items.length}`,
    );
  const genotype = genotypeSchema.parse(JSON.parse(one.found.genotypeJson));
  if (stage !== undefined) return { of: `${id}@${one.stage}`, genotype };
  return { of: `${id}@${one.stage}`, genotype, stages: searchedStages(items) };
}

function cellsOf(
  network: { readonly kind: string } & Partial<Pick<PocketnetSpec, 'genotype'>>,
  of: string,
): Genotype {
  if (network.kind !== 'pocketnet' || network.genotype === undefined)
    throw new FleetError(
      'invalidArgument',
      `${of} is a network of kind ${network.kind}; a PocketNet has cells, and no other network has`,
    );
  return resolveGenotype(network.genotype);
}

/** YAML that a spec takes as its `genotype`. */
function genotypeText({ of, genotype }: Named, key: string): string {
  const cell = (nodes: Genotype['normal']) =>
    nodes.map((pair) => `  - [${pair.map(([op, input]) => `[${op}, ${input}]`).join(', ')}]`);
  return [
    `# ${of}; isomorphic cells have the same key, ${key}`,
    'normal:',
    ...cell(genotype.normal),
    'reduce:',
    ...cell(genotype.reduce),
  ].join('\n');
}
