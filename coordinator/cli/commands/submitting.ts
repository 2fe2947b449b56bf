// Turns a file and `--set` flags into a Submit call. Decides against which folder relative data paths are
// resolved: the file's own for paths inside it, the current one for paths on the command line. The
// coordinator checks everything else.

import { dirname, resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { systemClock } from '../../../core/clock.ts';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import { randomId } from '../../../core/rng.ts';
import { namedProblems, problemsIn } from '../../../core/text/text-problems.ts';
import { TEXT_BYTES_MAX } from '../../../core/text/yaml-text.ts';
import type { SubmitRequest, SubmitResponse } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import { progressLine } from '../screen/progress-line.ts';
import { submittableText } from '../yaml-file.ts';
import { storeStages, teacherRuns, teacherSeriesIn } from './teacher-files.ts';

/** For commander: one more `path=value`. */
export function collectOverrides(
  text: string,
  before: Readonly<Record<string, string>>,
): Record<string, string> {
  const at = text.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError(`${text} is not PATH=VALUE, e.g. teacher.training.epochs=5.`);
  const path = text.slice(0, at);
  const value = text.slice(at + 1);
  return { ...before, [path]: path.endsWith('data.path') ? resolve(value) : value };
}

/** Milliseconds after which a missing answer is explained by a line of progress. */
const QUIET_MS = 1_000;

export async function submitFile(
  client: FleetClient,
  options: {
    /** `-` reads stdin. */
    readonly file: string;
    readonly overrides: Readonly<Record<string, string>>;
    readonly dryRun: boolean;
    /** Everything is computed anew. */
    readonly fresh?: boolean | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<SubmitResponse> {
  const yaml = await submittableText(options.file);
  const baseDir = options.file === '-' ? process.cwd() : dirname(resolve(options.file));
  const name = nameOf(options.file);
  const series = await teacherSeriesIn(yaml, { name, baseDir });
  const requestId = randomId();
  const known = await teacherRuns(client, series, true);
  const requestOf = ({ imports }: typeof known, dryRun: boolean) => ({
    yaml,
    baseDir,
    ...(series.length > 0 ? { imports } : {}),
    dryRun,
    overrides: { ...options.overrides },
    ...(options.fresh ? { fresh: true } : {}),
    // The same for every try: an answer that was lost with its coordinator submits nothing twice.
    requestId,
  });
  const check = requestOf(known, true);
  assertSendable(check);
  if (options.dryRun) return asked(client, check, options);
  const isStored = series.every((one) => known.missing.get(one)?.stages.length === 0);
  if (isStored) return asked(client, requestOf(known, false), options);
  // Runs are made and gigabytes sent once it is known that the text is taken.
  await asked(client, check, options);
  const made = await teacherRuns(client, series, false);
  await storeStages(client, made.missing, options.signal);
  return asked(client, requestOf(made, false), options);
}

const nameOf = (file: string): string => (file === '-' ? 'stdin' : file);

/** One Submit call, with its progress, and its refusal with the places in the file. */
async function asked(
  client: FleetClient,
  request: SubmitRequest,
  { file, signal }: { readonly file: string; readonly signal?: AbortSignal | undefined },
): Promise<SubmitResponse> {
  const answered = new AbortController();
  try {
    // No deadline: a worker looks into every data set before the answer comes, as soon as one is attached, and
    // gives up one that stands still.
    const answer = client.ask((service) => service.submit, request, Number.POSITIVE_INFINITY, signal);
    void showInspection(client, request, answered.signal);
    return await answer;
  } catch (caught) {
    const error = toFleetError(caught);
    const source = {
      name: nameOf(file),
      text: request.yaml,
      overrides: '--set',
    };
    const isOfText = error.code === 'invalidArgument' || problemsIn(error).length > 0;
    throw isOfText ? namedProblems(error, source) : error;
  } finally {
    answered.abort();
  }
}

/** A line on stderr with what is looked at, or waited for, as long as the answer is not there. */
async function showInspection(
  client: FleetClient,
  request: SubmitRequest,
  signal: AbortSignal,
): Promise<void> {
  const progress = progressLine();
  try {
    await systemClock.sleep(QUIET_MS, signal);
    for await (const message of client.follow((service) => service.inspect, request, signal))
      progress.show(message.path, message);
  } catch {
    // A failure here is not reported: the answer to the submission carries it.
  } finally {
    progress.close();
  }
}

/** Overrides count toward the limit of the text. */
function assertSendable({ yaml, overrides }: { yaml: string; overrides: Record<string, string> }): void {
  const bytes = Buffer.byteLength(yaml) + Buffer.byteLength(Object.entries(overrides).flat().join(''));
  if (bytes > TEXT_BYTES_MAX)
    throw new FleetError(
      'invalidArgument',
      `the text and its overrides have ${bytes} bytes, at most ${TEXT_BYTES_MAX} are taken`,
    );
}
