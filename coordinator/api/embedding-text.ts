// Where the embeddings of a teacher come from, as a sentence about a student or an embedding run; for `why`.

import { blockFormOf } from '../../core/spec/distillation.ts';
import { listed } from '../../core/text/listed.ts';
import type { Observed } from '../model/observed.ts';
import { embeddingRunOf, isEmbedding, sharersOf, sharingKeyOf } from '../model/orders.ts';
import { hasEnded, hasGang, type RunState, type State, wholeRunWith } from '../model/state.ts';
import { judgeRows, rowsCountOf, rowsText } from '../scheduling/image-rows.ts';
import { planOfPlaced, sharingText } from '../scheduling/sharing.ts';

/** Runs that one sentence names. */
const NAMED_MAX = 6;

/** The sentence about an open run; undefined for one that has no teacher, or no gang. */
export function embeddingText(state: State, run: RunState, observed: Observed): string | undefined {
  const teacher = run.teacherRunId === undefined ? undefined : wholeRunWith(state, run.teacherRunId);
  if (teacher === undefined || hasEnded(run)) return undefined;
  const rows = (of: RunState) => rowsTextOf(state, of, observed);
  if (isEmbedding(run)) return `${textOfPool(state, run, teacher)}${rows(run)}`;
  if (!hasGang(run)) return undefined;
  const pool = embeddingRunOf(state, run);
  if (pool === undefined) {
    const isOwn = run.job.distillation?.share === 'own';
    return `${run.id} has the embeddings of ${teacher.id} computed by its own workers, ${isOwn ? 'for itself alone (share: own)' : `which share them with the students of its order that they hold: ${orderText(state, run, { teacher, observed })}`}${rows(run)}`;
  }
  const where = hasGang(pool)
    ? `computes them on ${pool.gang.map(({ workerId }) => workerId).join(', ')}`
    : `is ${pool.state}: whoever needs a block computes it for all`;
  const form = blockFormOf(run.job.distillation) === 'float16' ? ' as float16' : '';
  return `${run.id} takes the embeddings of ${teacher.id}${form} from the stream of the fleet; ${pool.id} ${where}${rows(run)}`;
}

/** What an image of all students of an order costs each way. */
function orderText(
  state: State,
  run: RunState,
  { teacher, observed }: { readonly teacher: RunState; readonly observed: Observed },
): string {
  const sharers = sharersOf(state, teacher).get(sharingKeyOf(run) ?? '') ?? [run];
  const placed = sharers.filter((one) => !isEmbedding(one) && hasGang(one));
  return sharingText(planOfPlaced(teacher, placed, observed));
}

function textOfPool(state: State, pool: RunState, teacher: RunState): string {
  const students = (sharersOf(state, teacher).get(sharingKeyOf(pool) ?? '') ?? [])
    .filter((run) => !isEmbedding(run) && !hasEnded(run))
    .map(({ id }) => id);
  return `${pool.id} computes the embeddings of ${teacher.id} for ${listed(students, NAMED_MAX)}`;
}

/** What its workers keep by image and the passes that this takes, or why they embed each batch. */
function rowsTextOf(state: State, run: RunState, observed: Observed): string {
  const { imageRowsBytes: bytesMax, gang } = run;
  const workers = gang.length;
  if (workers === 0) return '';
  if (bytesMax === undefined) {
    const judged = judgeRows(state, run, { workers, bytesMax: observed.imageRowsBytes ?? 0 });
    return judged?.kind === 'not kept' ? `; each batch is embedded by itself: ${judged.reason}` : '';
  }
  for (const { workerId } of gang) {
    const refused = observed.rowsRefusedOf?.(run.id, workerId);
    if (refused !== undefined) return `; ${workerId} embeds each batch by itself: ${refused}`;
  }
  const count = rowsCountOf(state, run, { workers, bytesMax });
  return count === undefined ? '' : `; its workers keep them ${rowsText(count, bytesMax)}`;
}
