// When the fleet has a run that computes a teacher's embeddings for several students, and when that run ends. It begins
// where a student asks for it, or where two students of one order are on different workers and the teacher's pass costs
// more than the step of a student; it ends with the last student. One that failed or was cancelled is not begun anew:
// its students compute for themselves.

import { FleetError } from '../../core/errors.ts';
import { costsOf } from '../../core/nn/space.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { BLOCK_BYTES_MAX, blockBytesOf } from '../../core/spec/share.ts';
import { listed } from '../../core/text/listed.ts';
import { heldBy } from '../model/holds.ts';
import { isEmbedding, sharersOf, sharingKeyOf } from '../model/orders.ts';
import {
  hasEnded,
  planWith,
  priorityOf,
  type RunState,
  runOf,
  type State,
  wholeRunWith,
} from '../model/state.ts';
import { planOfPlaced, sharingText } from '../scheduling/sharing.ts';
import { type Draft, emit, nextId } from './draft.ts';
import { endRun, setGang } from './gangs.ts';
import { recordSpec } from './specs.ts';

/** Begins and ends the embedding runs of one teacher. */
export function shareEmbeddings(draft: Draft, teacherId: string): void {
  const teacher = wholeRunWith(draft.state, teacherId);
  if (teacher === undefined) return;
  for (const sharers of sharersOf(draft.state, teacher).values()) {
    const students = sharers.filter((run) => !isEmbedding(run) && needsEmbeddings(draft.state, run));
    const newest = sharers.filter(isEmbedding).at(-1);
    if (newest !== undefined && !hasEnded(newest)) {
      if (students.length === 0) end(draft, newest, sharers);
      continue;
    }
    if (newest?.state === 'cancelled' || newest?.state === 'failed') continue;
    const reason = reasonToShare(draft, teacher, students);
    if (reason !== undefined) begin(draft, { teacher, students, reason });
  }
}

/** It trains, or will without somebody's word. */
const needsEmbeddings = (state: State, run: RunState): boolean =>
  !hasEnded(run) && heldBy(state, run) === undefined;

/** Why these students of one order get an embedding run; undefined: they need none. */
function reasonToShare(
  { context }: Draft,
  teacher: RunState,
  students: readonly RunState[],
): string | undefined {
  const [first] = students;
  if (first === undefined) return undefined;
  const { batch, shards } = first.job.training;
  const { embedding = 0 } = teacher.job.network ?? {};
  if (blockBytesOf({ batch, shards, embedding }) > BLOCK_BYTES_MAX) return undefined;
  const asking = students.filter(({ job }) => job.distillation?.share === 'stream').map(({ id }) => id);
  if (asking.length > 0) return `${listOf(asking)} ${asking.length === 1 ? 'asks' : 'ask'} for it`;
  const placed = students.filter(({ gang }) => gang.length > 0);
  if (placed.length < 2) return undefined;
  const plan = planOfPlaced(teacher, placed, context);
  if (plan.chosen !== 'stream') return undefined;
  return `${listOf(placed.map(({ id }) => id))} learn in one order from ${teacher.id} on ${plan.workers} workers: ${sharingText(plan)}`;
}

/** Ids that one sentence names. */
const NAMED_MAX = 4;

const listOf = (ids: readonly string[]): string => listed(ids, NAMED_MAX);

function begin(
  draft: Draft,
  order: {
    readonly teacher: RunState;
    readonly students: readonly RunState[];
    readonly reason: string;
  },
): void {
  const { teacher, students, reason } = order;
  const [first] = students;
  const runId = nextId(draft.state, 'run');
  const spec = embeddingSpec(teacher, students);
  emit(draft, {
    kind: 'run.created',
    runId,
    spec: recordSpec(draft, spec),
    facts: first!.facts,
    costs: costsOf(spec.network),
    reason,
    teacherRunId: teacher.id,
    ...ownerOf(draft.state, first!),
    ...(spec.training.exact ? { deviceClass: first!.deviceClass! } : {}),
  });
  if (sharingKeyOf(runOf(draft.state, runId)) !== sharingKeyOf(first!))
    throw new FleetError('internal', `${runId} shares with nobody that it was made for`);
  // Members learn from an assignment where embeddings come from.
  for (const student of students)
    if (student.state === 'running')
      setGang(draft, student, {
        workerIds: student.gang.map(({ workerId }) => workerId),
        members: student.gang,
        reason: `${runId} computes the embeddings of its teacher`,
      });
}

/** Whose share of the fleet it uses: that of the first student. */
function ownerOf(state: State, { planId, owner }: RunState): { readonly owner?: string } {
  const name = planId === undefined ? owner : planWith(state, planId)?.owner;
  return name === undefined ? {} : { owner: name };
}

/** Its gang may grow to a worker a shard; it goes before its students, who need what it makes. */
function embeddingSpec(teacher: RunState, students: readonly RunState[]): RunSpec {
  const { job } = students[0]!;
  const { data, training, verification, distillation, weight, require } = job;
  const { name, network } = teacher.job;
  if (network === undefined || distillation === undefined)
    throw new FleetError('internal', `${teacher.id} is no teacher of ${students[0]!.id}`);
  const { share: _share, embed: _embed, ...taught } = distillation;
  const asked = students.find((one) => one.job.distillation?.embed === 'by-image');
  // A device for itself is for those whose steps are timed.
  const { device: _device, ...traits } = require ?? {};
  return {
    kind: 'embedding',
    name: `${(name ?? teacher.id).slice(0, 52)}-embeddings`,
    network,
    ...{ data, training, verification },
    distillation: asked === undefined ? taught : { ...taught, embed: 'by-image' },
    workers: { min: 1, max: training.shards },
    priority: Math.max(...students.map(priorityOf)),
    reuse: 'none',
    ...(weight === undefined ? {} : { weight }),
    ...(require === undefined ? {} : { require: traits }),
  };
}

function end(draft: Draft, run: RunState, sharers: readonly RunState[]): void {
  const students = sharers.filter((one) => !isEmbedding(one)).map(({ id }) => id);
  const reason = `no student needs embeddings any more (${listOf(students)})`;
  endRun(draft, run, { kind: 'embedding.ended', runId: run.id, reason }, reason);
}
