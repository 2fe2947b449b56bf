// Teachers from files that a text names: reads the files on this machine, has the fleet make a run of each series,
// and stores the stages that it has not. Decides that all files are read and found right before anything is sent.

import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { sha256Hex } from '../../../core/digest.ts';
import { toFleetError } from '../../../core/errors.ts';
import { seriesOf, seriesPattern } from '../../../core/model/file-series.ts';
import { importModel } from '../../../core/model/import.ts';
import { canonicalJson } from '../../../core/spec/canonical-json.ts';
import { filesAsTeachers, type TeacherFiles, teacherFilesSchema } from '../../../core/spec/distillation.ts';
import { checkShape } from '../../../core/text/shape.ts';
import { problemsError } from '../../../core/text/text-problems.ts';
import { readYaml } from '../../../core/text/yaml-text.ts';
import type { ImportTeacherRequest } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import { progressLine } from '../screen/progress-line.ts';

/** A series of files that was read and found right. */
export interface TeacherSeries {
  /** What stands for it in a submission. */
  readonly key: string;
  /** Where the text names it. */
  readonly field: string;
  /** Paths, by stage. */
  readonly files: readonly string[];
  readonly request: ImportTeacherRequest;
}

/** The series that a text names as teachers, read and checked. Relative paths start from `baseDir`. */
export async function teacherSeriesIn(
  yaml: string,
  { name, baseDir }: { readonly name: string; readonly baseDir: string },
): Promise<TeacherSeries[]> {
  const found = new Map<string, TeacherSeries>();
  for (const { value, placeOf } of documentsIn(yaml, name))
    for (const { distillation, path } of filesAsTeachers(value)) {
      const key = canonicalJson(distillation.teacher);
      if (found.has(key)) continue;
      const field = path.join('.');
      const refused = (reason: string, caught?: unknown) =>
        problemsError([{ path: field, reason, ...placeOf(path) }], { name, text: yaml }, { cause: caught });
      const parsed = checkShape(teacherFilesSchema, distillation.teacher);
      if (!parsed.ok) {
        const problems = parsed.problems.map((problem) => {
          const at = [...path, ...problem.path.map(String)];
          return { path: at.join('.'), reason: problem.text, ...placeOf(at, problem.ofKey) };
        });
        throw problemsError(problems, { name, text: yaml });
      }
      try {
        found.set(key, { key, field, ...(await readSeries(parsed.data, baseDir)) });
      } catch (caught) {
        throw refused(toFleetError(caught).message, caught);
      }
    }
  return [...found.values()];
}

/** What cannot be read as YAML is refused by the coordinator, as for any text. */
function documentsIn(yaml: string, name: string) {
  try {
    return readYaml(yaml, { name });
  } catch {
    return [];
  }
}

async function readSeries(
  teacher: TeacherFiles,
  baseDir: string,
): Promise<Omit<TeacherSeries, 'key' | 'field'>> {
  const files = await filesOf(teacher, baseDir);
  let hint = teacher.network && ({ kind: 'network', network: teacher.network } as const);
  const stages: ImportTeacherRequest['stages'] = [];
  const line = progressLine();
  try {
    for (const [i, path] of files.entries()) {
      line.show(path, { doing: 'reading', done: i, total: files.length, unit: 'files' });
      const { network, weights, running } = await importModel(path, hint);
      // All stages are of one network: the next file is held against it, tensor by tensor.
      hint ??= { kind: 'network', network: network.spec };
      stages.push({ file: basename(path), digest: sha256Hex(bytesOfStage(weights, running)) });
    }
  } finally {
    line.close();
  }
  const from = Array.isArray(teacher.import) ? teacher.import.join(', ').slice(0, 4000) : teacher.import;
  return { files, request: { from, networkJson: canonicalJson(hint?.network), stages, dryRun: false } };
}

/** The paths of a series by stage. */
async function filesOf(teacher: TeacherFiles, baseDir: string): Promise<string[]> {
  if (Array.isArray(teacher.import)) return teacher.import.map((file) => resolve(baseDir, file));
  const pattern = seriesPattern(teacher.import);
  if (pattern === undefined) return [resolve(baseDir, teacher.import)];
  const folder = resolve(baseDir, pattern.folder);
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (caught) {
    throw toFleetError(caught, `${folder} cannot be read`);
  }
  return seriesOf(teacher.import, pattern, names).map((name) => join(folder, name));
}

/** Weights, then running statistics, as they are stored. */
function bytesOfStage(weights: Float32Array, running: Float32Array): Uint8Array {
  const values = new Float32Array(weights.length + running.length);
  values.set(weights);
  values.set(running, weights.length);
  return new Uint8Array(values.buffer);
}

/**
 * Runs of the series by their keys, each made unless it is there. With `dryRun` nothing is made, and those that are not
 * there are foreseen.
 */
export async function teacherRuns(
  client: FleetClient,
  series: readonly TeacherSeries[],
  dryRun: boolean,
): Promise<{
  readonly imports: {
    readonly runIds: Record<string, string>;
    readonly foreseen: Record<string, ImportTeacherRequest>;
  };
  readonly missing: ReadonlyMap<TeacherSeries, Missing>;
}> {
  const imports = {
    runIds: {} as Record<string, string>,
    foreseen: {} as Record<string, ImportTeacherRequest>,
  };
  const missing = new Map<TeacherSeries, Missing>();
  for (const one of series) {
    const request = { ...one.request, dryRun };
    const answer = await client.ask((service) => service.importTeacher, request);
    if (answer.runId === '') {
      imports.foreseen[one.key] = one.request;
      continue;
    }
    imports.runIds[one.key] = answer.runId;
    missing.set(one, { runId: answer.runId, stages: answer.missing });
  }
  return { imports, missing };
}

/** Stages of a run that are not stored yet. */
interface Missing {
  readonly runId: string;
  readonly stages: readonly number[];
}

/** Bytes of one message, within what a coordinator takes. */
const PIECE_BYTES = 2 << 20;
/** How long a piece may take, milliseconds: the last one of a stage waits for the disk. */
const PIECE_MS = 300_000;

/** Stores the stages that are missing. */
export async function storeStages(
  client: FleetClient,
  missing: ReadonlyMap<TeacherSeries, Missing>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const line = progressLine();
  try {
    for (const [{ files, request }, { runId, stages }] of missing)
      for (const [i, stage] of stages.entries()) {
        const path = files[stage - 1]!;
        line.show(path, { doing: 'storing', done: i, total: stages.length, unit: 'files' });
        const network = { kind: 'network', network: JSON.parse(request.networkJson) } as const;
        const { weights, running } = await importModel(path, network);
        await storeStage(client, { runId, stage, bytes: bytesOfStage(weights, running), signal });
      }
  } finally {
    line.close();
  }
}

async function storeStage(
  client: FleetClient,
  stage: {
    readonly runId: string;
    readonly stage: number;
    readonly bytes: Uint8Array;
    readonly signal: AbortSignal | undefined;
  },
): Promise<void> {
  const { bytes, signal, ...of } = stage;
  for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES) {
    const data = Buffer.from(bytes.subarray(offset, offset + PIECE_BYTES));
    await client.ask((service) => service.importStage, { ...of, offset, data }, PIECE_MS, signal);
  }
}
