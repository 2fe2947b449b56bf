// Commands that prove: the ledger of a run against its spec, its checkpoints against a replay, and the step
// at which two runs part. Decides what is printed. A proof that fails ends with exit code 1.

import type { Command } from 'commander';
import { FleetError } from '../../../core/errors.ts';
import { clip, formatCount } from '../../../core/report/format.ts';
import { stateClaim } from '../../../core/text/state-text.ts';
import type { FleetClient } from '../client.ts';
import {
  type FleetOptions,
  findRun,
  fleetCommand,
  interruptible,
  STAGE_MAX,
  wholeNumber,
  withFleet,
} from '../context.ts';
import { outliveReader } from '../lost-output.ts';
import { type Bisection, bisect } from '../proof/bisect.ts';
import { type ProvedEpoch, type ProvedPause, proveLedger } from '../proof/ledger-proof.ts';
import { wholeLedger } from '../proof/whole-ledger.ts';
import { print, printJson, say } from '../screen/output.ts';
import { type Column, table } from '../screen/table.ts';
import { replayRun } from './replay-run.ts';

export function addProofCommands(program: Command): void {
  const ledger = program.command('ledger').description('the samples that runs have counted');
  fleetCommand(
    ledger,
    'verify <run>',
    'prove from the journal that each image of each epoch was counted in exactly one committed step',
  ).action((run: string, options: FleetOptions) =>
    withFleet(options, (client) => verifyLedger(client, run, options)),
  );
  fleetCommand(
    program,
    'replay <run>',
    'compute a run again on a worker and compare with what its stages and pauses have stored',
  )
    .option('--from <stage>', 'checkpoint to start from; 0 is the seed', wholeNumber(0, STAGE_MAX), 0)
    .option(
      '--to <stage>',
      'last stage to compare; 0 is the newest checkpoint, that of a pause too',
      wholeNumber(0, STAGE_MAX),
      0,
    )
    .action((run: string, options: FleetOptions & { from: number; to: number }) =>
      withFleet(options, (client) => interruptible((signal) => replayRun(client, run, options, signal))),
    );
  fleetCommand(
    program,
    'bisect <run-a> <run-b>',
    'find the first step and tensor where two runs differ',
  ).action((a: string, b: string, options: FleetOptions) =>
    withFleet(options, (client) => interruptible((signal) => compareRuns(client, { a, b }, options, signal))),
  );
}

/** Of a search those of both halves. */
const imagesText = ({ images, alphas }: ProvedEpoch): string =>
  alphas === undefined ? formatCount(images) : `${formatCount(images)} + ${formatCount(alphas.images)}`;

const EPOCH_COLUMNS: readonly Column<ProvedEpoch>[] = [
  { head: 'EPOCH', align: 'right', cell: (epoch) => String(epoch.epoch) },
  { head: 'STEPS', cell: (epoch) => `${formatCount(epoch.firstStep + 1)} to ${formatCount(epoch.endStep)}` },
  { head: 'IMAGES, EACH ONCE', align: 'right', cell: imagesText },
  { head: 'DIGEST OF THE EPOCH', cell: (epoch) => epoch.digest },
  { head: 'LEDGER', cell: (epoch) => clip(epoch.ledger, 17) },
  { head: 'WEIGHTS', cell: (epoch) => epoch.entry.weightsDigest },
  { head: 'STORED BY', cell: (epoch) => epoch.entry.workerId },
];

const PAUSE_COLUMNS: readonly Column<ProvedPause>[] = [
  { head: 'PAUSED AT STEP', align: 'right', cell: (pause) => formatCount(pause.step) },
  { head: 'OF EPOCH', align: 'right', cell: (pause) => String(pause.stage) },
  { head: 'LEDGER', cell: (pause) => clip(pause.ledger, 17) },
  { head: 'WEIGHTS', cell: (pause) => pause.entry.weightsDigest },
  { head: 'STORED BY', cell: (pause) => pause.entry.workerId },
];

async function verifyLedger(client: FleetClient, name: string, options: { json?: boolean }): Promise<void> {
  outliveReader();
  const ledger = await wholeLedger(client, name);
  const id = ledger.runId;
  if (ledger.entries.length === 0)
    throw new FleetError('failedPrecondition', `${id} has no checkpoint yet; it ${stateClaim(ledger.state)}`);
  const proof = await proveLedger(ledger);
  if (options.json) {
    printJson({ runId: id, ok: true, ...proof });
    return;
  }
  if (proof.epochs.length > 0) print(table(proof.epochs, EPOCH_COLUMNS));
  if (proof.pauses.length > 0)
    print(`${proof.epochs.length > 0 ? '\n' : ''}${table(proof.pauses, PAUSE_COLUMNS)}`);
  const ahead = proof.ahead > 0 ? ` and ${formatCount(proof.ahead)} of the epoch after it` : '';
  say(
    `${id}: ${formatCount(proof.steps)} committed steps count ${formatCount(proof.images)} images: each of ${proof.epochs.length} epochs ${proof.epochs[0]?.alphas === undefined ? '' : 'of both halves '}exactly once${ahead}; ${ledger.generations} gangs worked on it`,
  );
  if (proof.stopped !== undefined)
    say(`${id}: it ended with epoch ${proof.epochs.length} by its stop rule: ${proof.stopped}`);
  if (proof.skipped !== undefined)
    say(
      `${id}: ${formatCount(proof.skipped.count)} images are in no epoch, because they were corrupt when it was submitted (digest ${proof.skipped.digest})`,
    );
}

async function compareRuns(
  client: FleetClient,
  names: { a: string; b: string },
  options: { json?: boolean },
  signal: AbortSignal,
): Promise<void> {
  outliveReader();
  const [a, b] = await Promise.all([findRun(client, names.a), findRun(client, names.b)]);
  const found = await bisect(client, { a: a.id, b: b.id }, { signal, onProgress: say });
  if (options.json) {
    const { specs, equalStages, parting } = found;
    printJson({ a: a.id, b: b.id, specs, equalStages, parting });
  } else for (const line of bisectionLines(found)) print(line);
  if (found.parting.kind !== 'equal') process.exitCode = 1;
}

function bisectionLines({ a, b, specs, equalStages, parting }: Bisection): string[] {
  const fields = specs.map(
    ({ field, a: inA, b: inB }) =>
      `spec: ${field} is ${JSON.stringify(inA) ?? 'absent'} in ${a.runId} and ${JSON.stringify(inB) ?? 'absent'} in ${b.runId}`,
  );
  if (fields.length === 0) fields.push('spec: no field differs that the weights depend on');
  return [
    ...fields,
    `checkpoints: ${equalStages} stages are equal`,
    partingText(parting, { a: a.runId, b: b.runId }),
  ];
}

function partingText(parting: Bisection['parting'], ids: { a: string; b: string }): string {
  switch (parting.kind) {
    case 'equal':
      return `${ids.a} and ${ids.b} are equal to the last bit up to stage ${parting.stages}, step ${formatCount(parting.steps)}`;
    case 'step': {
      const when = parting.step === 0 ? 'before the first step' : `after step ${formatCount(parting.step)}`;
      return `${ids.a} and ${ids.b} differ first ${when}: ${parting.tensor}, and ${parting.tensorsDiffering} of ${parting.tensorsTotal} tensors in all`;
    }
    case 'stored': {
      const wrong = parting.wrong.map(({ runId, tensor }) => `${runId} (first ${tensor})`).join(' and ');
      const step =
        parting.recordedStep === undefined
          ? ''
          : `; its recorded weights are other ones from step ${formatCount(parting.recordedStep)} on`;
      return `computed again both give the same stage ${parting.stage}; what is stored of ${wrong} is not what its spec gives${step}`;
    }
    case 'incomparable':
      return `${ids.a} and ${ids.b} cannot be compared step by step: ${parting.reason}`;
  }
}
