// Where the embeddings of a teacher come from, as a sentence about a student or an embedding run; for `why`.

import { listed } from '../../core/text/listed.ts';
import { embeddingRunOf, isEmbedding, sharersOf, sharingKeyOf } from '../model/orders.ts';
import { hasEnded, hasGang, type RunState, type State, wholeRunWith } from '../model/state.ts';
import { planOfPlaced, sharingText } from '../scheduling/sharing.ts';

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
    return `${run.id} has the embeddings of ${teacher.id} computed by its own workers, ${isOwn ? 'for itself alone (share: own)' : `which share them with the students of its order that they hold: ${orderText(state, run, teacher)}`}`;
  }
  const where = hasGang(pool)
    ? `computes them on ${pool.gang.map(({ workerId }) => workerId).join(', ')}`
    : `is ${pool.state}: whoever needs a block computes it for all`;
  return `${run.id} takes the embeddings of ${teacher.id} from the stream of the fleet; ${pool.id} ${where}`;
}

/** What an image of all students of an order costs each way. */
function orderText(state: State, run: RunState, teacher: RunState): string {
  const sharers = sharersOf(state, teacher).get(sharingKeyOf(run) ?? '') ?? [run];
  const placed = sharers.filter((one) => !isEmbedding(one) && hasGang(one));
  return sharingText(planOfPlaced(teacher, placed));
}

function textOfPool(state: State, pool: RunState, teacher: RunState): string {
  const students = (sharersOf(state, teacher).get(sharingKeyOf(pool) ?? '') ?? [])
    .filter((run) => !isEmbedding(run) && !hasEnded(run))
    .map(({ id }) => id);
  return `${pool.id} computes the embeddings of ${teacher.id} for ${listed(students, NAMED_MAX)}`;
}
