// Teachers whose stages come from files, as a client sends them piece by piece. Decides which pieces make a stage,
// that its bytes are those that were announced, and how many stages may be under way: each is held in memory until
// it is stored.

import { checkpointArtefact } from '../../core/checkpoint/checkpoint-store.ts';
import { bytesOf } from '../../core/checkpoint/chunks.ts';
import type { ArtefactStore } from '../../core/checkpoint/store.ts';
import type { Clock } from '../../core/clock.ts';
import { sha256Hex } from '../../core/digest.ts';
import { FleetError } from '../../core/errors.ts';
import { CHECKPOINT_PREPROCESSING } from '../../core/model/preprocessing.ts';
import type { Names } from '../../core/net/subjects.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { letGoOfShared, sharedBytes } from '../../core/shared-memory.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { networkSchema } from '../../core/spec/network.ts';
import { type RunSpec, runSchema } from '../../core/spec/run.ts';
import { shaped } from '../../core/text/shape.ts';
import type { ImportStageRequest, ImportTeacherRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { createDesk } from '../decisions/desk.ts';
import { beginDraft } from '../decisions/draft.ts';
import { importedTeacher, importTeacher, missingStages } from '../decisions/imports.ts';
import type { Driver } from '../journal/driver.ts';
import type { Caller } from '../model/caller.ts';
import type { Observed } from '../model/observed.ts';
import { specOf } from '../model/spec-of.ts';
import { type RunState, type State, wholeRunWith } from '../model/state.ts';

/** The imports of one coordinator. */
export interface TeacherImports {
  /** The run of a teacher, and its stages that are not stored yet. */
  begin(request: ImportTeacherRequest, by: Caller | undefined): Promise<{ runId: string; missing: number[] }>;
  /** Takes a piece of a stage; true once the stage is stored. */
  take(request: ImportStageRequest, by: Caller | undefined): Promise<boolean>;
}

/** A stage of which pieces have come. */
interface Gathering {
  readonly bytes: Uint8Array;
  filled: number;
  touchedAt: number;
}

/** Stages under way at once; one of an IResNet-100 has 222 MB. */
const GATHERINGS_MAX = 2;
/** Of a stage that nobody goes on with, milliseconds. */
const IDLE_MS = 30_000;

/** Gathers in memory, and stores in the artefact store. */
export function createTeacherImports(parts: {
  readonly driver: Pick<Driver, 'state' | 'submit'>;
  readonly store: ArtefactStore;
  readonly names: Names;
  readonly clock: Clock;
}): TeacherImports {
  const { driver, store, names, clock } = parts;
  const gatherings = new Map<string, Gathering>();

  const gatheringFor = (key: string, length: number): Gathering => {
    for (const [other, { touchedAt, bytes }] of gatherings)
      if (other === key || clock.monotonic() - touchedAt > IDLE_MS) {
        gatherings.delete(other);
        letGoOfShared(bytes.length);
      }
    if (gatherings.size >= GATHERINGS_MAX)
      throw new FleetError(
        'resourceExhausted',
        `${GATHERINGS_MAX} stages are being stored already, each of which is held in memory; try again`,
      );
    const begun = { bytes: sharedBytes(length), filled: 0, touchedAt: 0 };
    gatherings.set(key, begun);
    return begun;
  };

  return {
    async begin(request, by) {
      const spec = teacherSpec(request);
      if (request.dryRun) {
        const known = importedTeacher(driver.state, spec);
        return { runId: known?.id ?? '', missing: known === undefined ? [] : missingStages(known) };
      }
      const answer = await driver.submit({ kind: 'import', spec, ...(by && { by }) });
      const [runId = ''] = answer?.kind === 'submitted' ? answer.runIds : [];
      return { runId, missing: missingStages(wholeRunWith(driver.state, runId)!) };
    },
    async take({ runId, stage, offset, data }, by) {
      const run = wholeRunWith(driver.state, runId);
      const expected = run?.job.imported?.stages[stage - 1];
      if (run === undefined || expected === undefined)
        throw new FleetError('notFound', `${runId} is no teacher from files with a stage ${stage}`);
      if (!missingStages(run).includes(stage)) return true;
      const key = `${runId}/${stage}`;
      const known = gatherings.get(key);
      const end = offset + data.length;
      const gathering =
        offset === 0 && !hasAlready(known, { end, data }) ? gatheringFor(key, bytesOfStage(run)) : known;
      if (gathering === undefined || offset > gathering.filled || end > gathering.bytes.length)
        throw new FleetError(
          'aborted',
          `stage ${stage} of ${runId} has ${gathering?.filled ?? 0} of ${gathering?.bytes.length ?? bytesOfStage(run)} bytes, and the piece is of bytes ${offset} to ${end}; begin again at offset 0`,
        );
      gathering.bytes.set(data, offset);
      gathering.filled = Math.max(gathering.filled, end);
      gathering.touchedAt = clock.monotonic();
      if (gathering.filled < gathering.bytes.length) return false;
      try {
        assertDigest(expected, gathering.bytes);
        await storeStage(run, stage, gathering.bytes, by);
      } finally {
        if (gatherings.get(key) === gathering) gatherings.delete(key);
        letGoOfShared(gathering.bytes.length);
      }
      return true;
    },
  };

  async function storeStage(
    run: RunState,
    stage: number,
    bytes: Uint8Array,
    by: Caller | undefined,
  ): Promise<void> {
    const { backboneCount } = layoutOfRun(run);
    const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const vectors = [
      { name: 'weights', values: values.subarray(0, backboneCount) },
      { name: 'running', values: values.subarray(backboneCount) },
    ];
    const spec = specOf(driver.state, run);
    const checkpoint = {
      ...{ vectors, spec, network: spec.network, preprocessing: CHECKPOINT_PREPROCESSING },
      ...{ step: stage, epoch: stage, stage, deviceClass: 'files' },
    };
    const key = names.checkpointKey(run.id, stage);
    const artefact = await checkpointArtefact(store, checkpoint, backboneCount);
    const { digest } = await store.putArtefact({ key, ...artefact });
    const [weightsDigest, stateDigest] = [artefact.metadata?.weights_digest, artefact.metadata?.state_digest];
    await driver.submit({
      kind: 'imported',
      ...{
        runId: run.id,
        stage,
        digest,
        bytes: artefact.parts.reduce((sum, one) => sum + bytesOf(one.pieces), 0),
      },
      ...{ weightsDigest: weightsDigest ?? '', stateDigest: stateDigest ?? '' },
      ...(by && { by }),
    });
  }
}

/** Whether the first piece is there, from a try that was cut off or from another client that stores the same files. */
function hasAlready(
  known: Gathering | undefined,
  { end, data }: { readonly end: number; readonly data: Uint8Array },
): boolean {
  return (
    known !== undefined && end <= known.filled && Buffer.compare(known.bytes.subarray(0, end), data) === 0
  );
}

/**
 * The state as it would be with the runs of these series, and their ids by the same keys. Nothing is journalled: it is
 * for a check alone.
 */
export function withForeseen(
  state: State,
  observed: Observed,
  foreseen: Readonly<Record<string, ImportTeacherRequest>>,
): { readonly state: State; readonly runIds: Record<string, string> } {
  const draft = beginDraft(state, observed, createDesk());
  const runIds: Record<string, string> = {};
  for (const [key, request] of Object.entries(foreseen)) {
    const answer = importTeacher(draft, { spec: teacherSpec(request) })();
    if (answer.kind === 'submitted') runIds[key] = answer.runIds[0]!;
  }
  return { state: draft.state, runIds };
}

/** The spec of a teacher that is never trained. Throws which field of the request is wrong. */
function teacherSpec({ from, networkJson, stages }: ImportTeacherRequest): RunSpec {
  const network = shaped(networkSchema, parsed(networkJson), 'network_json');
  buildNetwork(network);
  const digest = sha256Hex(canonicalJson({ network, stages: stages.map((stage) => stage.digest) }));
  const spec = {
    kind: 'teacher',
    name: `files-${digest.slice(0, 16)}`,
    network,
    // Which images it was trained on is not known; the fewest that a spec can name stand for them.
    data: { kind: 'synthetic', identities: 4, images: 2, holdout: 2 },
    training: { epochs: stages.length, batch: 2, shards: 1 },
    imported: { from, digest, stages: stages.map(({ file, digest }) => ({ file, digest })) },
  };
  return shaped(runSchema, spec, 'the teacher');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FleetError('invalidArgument', 'network_json: it is no JSON', { cause });
  }
}

const layoutOfRun = ({ job }: RunState) => layoutOf(buildNetwork(job.network!));

function bytesOfStage(run: RunState): number {
  const { backboneCount, runningCount } = layoutOfRun(run);
  return (backboneCount + runningCount) * Float32Array.BYTES_PER_ELEMENT;
}

function assertDigest({ file, digest }: { file: string; digest: string }, bytes: Uint8Array): void {
  const found = sha256Hex(bytes);
  if (found !== digest)
    throw new FleetError(
      'dataLoss',
      `what came of ${file} has digest ${found}, and ${digest} was announced; was the file changed meanwhile?`,
    );
}
