// `verify`: a worker of the fleet verifies a run's checkpoint, or a process on this machine a model file.
// Decides what is printed and which files are written. Both ways compute the same numbers.

import { basename, extname, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { FleetError } from '../../../core/errors.ts';
import type { Evaluation, EvaluationReport } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { persist } from '../absence.ts';
import type { FleetClient } from '../client.ts';
import { type FleetOptions, findRun, fleetCommand, STAGE_MAX, wholeNumber, withFleet } from '../context.ts';
import { outliveReader } from '../lost-output.ts';
import { STDOUT } from '../output-file.ts';
import { evaluationColumns } from '../screen/columns.ts';
import { print, printJson, say } from '../screen/output.ts';
import { type Column, table } from '../screen/table.ts';
import { checkVerificationPlace, writeVerification } from '../verify/verify-files.ts';
import { verifyModelFile } from '../verify/verify-process.ts';
import { verificationText } from '../verify/verify-tables.ts';
import { type HintFlags, hintOptions, readHint } from './model-commands.ts';

interface NamedPath {
  readonly name: string;
  readonly path: string;
}

interface VerifyFlags extends FleetOptions, HintFlags {
  readonly stage: number;
  readonly set: readonly NamedPath[];
  readonly model?: string;
  readonly output?: string;
}

export function addVerifyCommand(program: Command): void {
  hintOptions(
    fleetCommand(
      program,
      'verify [run]',
      "verify a run's checkpoint on a worker, or with --model a model file on this machine",
    ),
  )
    .option('--model <file>', 'safetensors or .pth file to verify here, without a fleet')
    .option(
      '--set <name=path>',
      'a .bin set of pairs (repeatable); with --model also an IJB or MegaFace folder; without it the held-out identities',
      collectSet,
      [],
    )
    .option('--stage <n>', 'checkpoint of the run; 0 is the newest', wholeNumber(0, STAGE_MAX), 0)
    .option(
      '-o, --output <prefix>',
      'write PREFIX.json and PREFIX.svg (ROC), - prints the JSON; with --model `verification` if not given',
    )
    .action(verify);
}

async function verify(run: string | undefined, flags: VerifyFlags): Promise<void> {
  outliveReader();
  if ((run === undefined) === (flags.model === undefined))
    throw new FleetError(
      'invalidArgument',
      'verify takes either a run or --model FILE, for instance `verify --model net.safetensors --set lfw=lfw.bin`',
    );
  if (run !== undefined) await withFleet(flags, (client) => verifyRun(client, run, flags));
  else if (flags.model !== undefined) await verifyFile(flags.model, flags);
}

async function verifyFile(model: string, flags: VerifyFlags): Promise<void> {
  if (flags.set.length === 0)
    throw new FleetError('invalidArgument', 'give at least one benchmark with --set, e.g. --set lfw=lfw.bin');
  const output = flags.output ?? 'verification';
  await checkVerificationPlace(output);
  const sets = flags.set.map(({ name, path }) => ({ name, path: resolve(path) }));
  const result = await verifyModelFile({ model: resolve(model), hint: await readHint(flags), sets });
  if (output === STDOUT) {
    printJson(result);
    say(result.reason);
    return;
  }
  const files = await writeVerification(output, result, result.sets);
  if (flags.json) printJson({ ...result, files });
  else {
    print(verificationText(result.sets));
    say(`${result.reason}\n${files.join('\n')}`);
  }
}

/** Milliseconds. A worker computes the embedding of every image, which takes minutes for a large set. */
const VERIFY_DEADLINE_MS = 15 * 60_000;
/** What a run is verified on when no set is named. */
const HELD_OUT: NamedPath = { name: 'held-out', path: '' };

interface Verified {
  readonly name: string;
  readonly report: EvaluationReport & { evaluation: Evaluation };
}

async function verifyRun(client: FleetClient, run: string, flags: VerifyFlags): Promise<void> {
  if (flags.output !== undefined) await checkVerificationPlace(flags.output);
  const { id } = await findRun(client, run);
  const verified: Verified[] = [];
  for (const { name, path } of flags.set.length === 0 ? [HELD_OUT] : flags.set) {
    const request = { runId: id, stage: flags.stage, setPath: path === '' ? '' : resolve(path) };
    const { report } = await persist(
      () => client.ask((service) => service.verify, request, VERIFY_DEADLINE_MS),
      { say },
    );
    if (report?.evaluation === undefined)
      throw new FleetError(
        'internal',
        `the coordinator answered without an evaluation of ${id}; see its log`,
      );
    verified.push({ name, report: { ...report, evaluation: report.evaluation } });
  }
  const plain = verified.map(({ name, report: { evaluation, rocFpr, rocTpr } }) => ({
    ...(verified.length > 1 ? { name } : {}),
    evaluation,
    rocFpr,
    rocTpr,
  }));
  if (flags.output === STDOUT) {
    printJson({ run: id, sets: plain });
    return;
  }
  if (flags.json) printJson(plain.length === 1 ? plain[0] : plain);
  else print(table(verified, runColumns(verified.length > 1)));
  if (flags.output === undefined) return;
  const curves = verified.map(({ name, report }) => ({ name, fpr: report.rocFpr, tpr: report.rocTpr }));
  say((await writeVerification(flags.output, { run: id, sets: plain }, curves)).join('\n'));
}

function runColumns(named: boolean): readonly Column<Verified>[] {
  const name: Column<Verified> = { head: 'SET', cell: (row) => row.name };
  return [...(named ? [name] : []), ...evaluationColumns<Verified>((row) => row.report.evaluation)];
}

/** `lfw=sets/lfw.bin`, or a path alone, whose name is the file's. */
function collectSet(text: string, before: readonly NamedPath[]): NamedPath[] {
  const at = text.indexOf('=');
  const path = text.slice(at + 1);
  const name = at < 0 ? basename(path, extname(path)) : text.slice(0, at);
  if (name === '' || path === '') throw new InvalidArgumentError(`${text} is not name=path.`);
  if (before.some((set) => set.name === name)) throw new InvalidArgumentError(`${name} is named twice.`);
  return [...before, { name, path }];
}
