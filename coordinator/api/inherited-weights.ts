// The search network whose weights the candidates of a one-shot sweep inherit (`strategy.supernet`): whether it can be used,
// and what of it is put into the spec, so that what is journalled names every result completely. Decides every refusal
// of it, at submit.

import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { DataSpec } from '../../core/spec/data.ts';
import { seenOf } from '../../core/spec/data-key.ts';
import type { Inherits } from '../../core/spec/inherits.ts';
import { sweepIn } from '../../core/spec/plan-search.ts';
import type { OneShotSpec } from '../../core/spec/strategy.ts';
import { find } from '../model/find.ts';
import { type DataFacts, hasEnded, type RunState, type State, wholeRunWith } from '../model/state.ts';
import { type Located, refusal } from './submission.ts';

/** What candidates inherit from the search that is named; `path` is that of the strategy, with a dot behind it. */
export function inheritsOf(
  document: Located,
  {
    strategy,
    path,
    data,
  }: { readonly strategy: OneShotSpec; readonly path: string; readonly data: DataSpec },
  state: State,
): Inherits {
  const refuse = (why: string) => refusal(document, `${path}supernet`, why);
  const { supernet: named, calibration } = strategy;
  const [word = '', at] = named.split('@');
  const { found, total } = find(state, word, ['run']);
  if (total > 1)
    throw refuse(
      `${total} runs are named ${word}; give the id of one, e.g. ${found.map(({ id }) => id).join(', ')}`,
    );
  const run = found[0] && wholeRunWith(state, found[0].id);
  if (run === undefined) throw refuse(`${word} is no search of this fleet; see \`pocketfleet runs\``);
  const { job } = run;
  if (job.search === undefined)
    throw refuse(`${run.id} is a ${job.kind}; weights are inherited from a run of kind search`);
  if (at !== undefined && !/^[1-9]\d{0,8}$/.test(at))
    throw refuse(`${at} is no epoch of ${run.id}; give RUN@EPOCH, with a number from 1`);
  const stage = stageStored(run, at === undefined ? undefined : Number(at));
  if (typeof stage === 'string') throw refuse(stage);
  const fault = dataFault(run, data);
  if (fault !== undefined) throw refuse(fault);
  const { batch, shards, flip, seed } = job.training;
  const { supernet, halves, cropFrom } = job.search;
  return {
    ...{ run: run.id, stage: stage.stage, digest: stage.digest, supernet, halves },
    ...{ batch: batch / shards, cropFrom, flip, seed, calibration },
  };
}

/** The stage that is meant, as far as it is stored to stay; or why none is. Without an epoch: the last one. */
function stageStored(
  run: RunState,
  epoch?: number,
): { readonly stage: number; readonly digest: string } | string {
  const { id, state, checkpoints, job } = run;
  const newest = checkpoints.at(-1);
  if (newest === undefined) return `search ${id} has no stage yet, and so no weights to inherit`;
  if (epoch === undefined && state !== 'done')
    return hasEnded(run)
      ? `search ${id} is ${state}; ${id}@${newest.stage} takes the weights that it had by then`
      : `search ${id} goes on; wait for its end`;
  const meant = epoch === undefined ? newest : checkpoints.find(({ stage }) => stage === epoch);
  if (meant === undefined)
    return `search ${id} has the epochs 1 to ${newest.stage} of ${job.training.epochs} behind it, not ${epoch}`;
  const { stage, held, damage, kept } = meant;
  if (held !== undefined)
    return `stage ${stage} of ${id} is not kept any more (checkpoints.keep decides that)`;
  if (damage?.isLost === true) return `stage ${stage} of ${id} is lost: ${damage.reason}`;
  if (!hasEnded(run) && kept === undefined && job.checkpoints?.keep !== 'all')
    return `search ${id} goes on and will let go of stage ${stage}; keep it first: \`pocketfleet checkpoints keep ${id} ${stage}\``;
  return { stage, digest: meant.digest };
}

type Seen = { readonly holdout?: unknown; readonly skipped?: unknown };

/** Why a sweep over these data cannot inherit from a search, as far as the specs say it. */
function dataFault({ id, job }: RunState, data: DataSpec): string | undefined {
  const { holdout: own, skipped: _own, ...rest } = seenOf(data) as Seen;
  // Which images are left out follows from the content, which is compared once it is known.
  const { holdout: its, skipped: _its, ...others } = seenOf(job.data) as Seen;
  if (canonicalJson(rest) !== canonicalJson(others))
    return `${id} was trained on other data; a sweep inherits from a search over its own`;
  if (canonicalJson({ own }) !== canonicalJson({ own: its }))
    return `${id} holds out ${its} people and this sweep ${own}: one of them was trained on people by whom the other is verified; give both the same holdout`;
  return undefined;
}

/** Refuses a data set that is another one than the search has seen, now that its content is known. */
export function checkInherited(
  document: Located,
  { state, found }: { readonly state: State; readonly found: ReadonlyMap<Located, DataFacts> },
): void {
  const { spec } = document;
  const sweep = spec.kind === 'plan' ? sweepIn(spec) : spec.kind === 'sweep' ? spec : undefined;
  const inherits = sweep?.strategy.kind === 'one-shot' ? sweep.strategy.inherits : undefined;
  const run = inherits && wholeRunWith(state, inherits.run);
  const own = found.get(document);
  if (run === undefined || own === undefined || run.facts.digest === own.digest) return;
  throw refusal(
    document,
    `${spec.kind === 'plan' ? 'search.' : ''}strategy.supernet`,
    `${run.id} was trained on data with another content (${run.facts.digest?.slice(0, 12) ?? 'not known'}) than is there now (${own.digest?.slice(0, 12)})`,
  );
}
