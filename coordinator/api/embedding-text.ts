// Where the embeddings of a teacher come from, as a sentence about a student or an embedding run; for `why`.

import { embeddingRunOf, isEmbedding, sharersOf, sharingKeyOf } from '../model/orders.ts';
import { hasEnded, hasGang, type RunState, type State, wholeRunWith } from '../model/state.ts';

/** Runs that one sentence names. */
const NAMED_MAX = 6;

/** The sentence about an open run; undefined for one that has no teacher, or no gang. */
export function embeddingText(state: State, run: RunState): string | undefined {
  const teacher = run.teacherRunId === undefined ? undefined : wholeRunWith(state, run.teacherRunId);
  if (teacher === undefined || hasEnded(run)) return undefined;
  if (isEmbedding(run)) return textOfPool(state, run, teacher);
  if (!hasGang(run)) return undefined;
  const pool = embeddingRunOf(state, run);
  if (pool === undefined) {
    const isOwn = run.job.distillation?.share === 'own';
    return `${run.id} has the embeddings of ${teacher.id} computed by its own workers, ${isOwn ? 'for itself alone (share: own)' : 'which share them with the students of its order that they hold'}`;
  }
  const where = hasGang(pool)
    ? `computes them on ${pool.gang.map(({ workerId }) => workerId).join(', ')}`
    : `is ${pool.state}: whoever needs a block computes it for all`;
  return `${run.id} takes the embeddings of ${teacher.id} from the stream of the fleet; ${pool.id} ${where}`;
}

function textOfPool(state: State, pool: RunState, teacher: RunState): string {
  const students = (sharersOf(state, teacher).get(sharingKeyOf(pool) ?? '') ?? [])
    .filter((run) => !isEmbedding(run) && !hasEnded(run))
    .map(({ id }) => id);
  const others = students.length > NAMED_MAX ? ` and ${students.length - NAMED_MAX} others` : '';
  return `${pool.id} computes the embeddings of ${teacher.id} for ${students.slice(0, NAMED_MAX).join(', ')}${others}`;
}
