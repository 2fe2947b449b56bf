// What a person or a worker says about a stored stage: that it is to stay, that it cannot be read, that it was
// computed again, that it cannot be. Decides what is refused and who waits.

import { FleetError } from '../../core/errors.ts';
import { stateClaim } from '../../core/text/state-text.ts';
import { leaseOf } from '../model/halted.ts';
import {
  type CheckpointState,
  hasEnded,
  isWhole,
  type RunState,
  runWith,
  type State,
  wholeRunWith,
} from '../model/state.ts';
import { type Draft, emit } from './draft.ts';
import { heirsOf } from './heirs.ts';
import type { Input } from './inputs.ts';
import { plannedStudentsOf } from './plan-students.ts';
import { stagesText, storedOfEnded, studentsOf } from './retaining.ts';
import { firstNeeded } from './retention.ts';

const refuse = (why: string) => new FleetError('failedPrecondition', why);

/** Keeps a stage from retention, or gives it back. Repeating it changes nothing. */
export function keepStage(draft: Draft, input: Extract<Input, { kind: 'keep' }>): void {
  const { runId, stage, keep } = input;
  const run = wholeRunWith(draft.state, runId);
  if (run === undefined) {
    keepOfEnded(draft, input);
    return;
  }
  const found = run.checkpoints.find((one) => one.stage === stage);
  if (found === undefined || found.held === 'nothing')
    throw refuse(
      `stage ${stage} of ${runId} ${found === undefined ? 'is not stored yet' : 'is not kept any more'}; ${storedText(run)}`,
    );
  if (keep === (found.kept !== undefined)) return;
  const reason = input.reason === '' ? 'kept by request' : input.reason;
  emit(draft, { kind: keep ? 'stage.kept' : 'stage.released', runId, stage, reason });
}

/** Of a candidate whose result is known: what of it is stored is kept, or given back. */
function keepOfEnded(draft: Draft, input: Extract<Input, { kind: 'keep' }>): void {
  const { runId, stage, keep } = input;
  const run = runWith(draft.state, runId);
  if (run === undefined || isWhole(run)) return;
  const stored = storedOfEnded(draft.state, run);
  if (!stored.includes(stage))
    throw refuse(
      `stage ${stage} of ${runId} is not stored: its result is known, and of such a candidate stays what was kept while it trained, and the newest of the best of a sweep; ${runId} has ${stagesOr(stored)}`,
    );
  if (keep === (run.kept?.some((one) => one.stage === stage) === true)) return;
  const reason = input.reason === '' ? 'kept by request' : input.reason;
  emit(draft, { kind: keep ? 'stage.kept' : 'stage.released', runId, stage, reason });
}

const stagesOr = (stored: readonly number[]): string => (stored.length === 0 ? 'none' : stagesText(stored));

/**
 * Lets go of stages because somebody asks for it, with a run's also of what a pause has stored; refused while they are
 * needed. Repeating it changes nothing.
 */
export function dropStages(draft: Draft, input: Extract<Input, { kind: 'drop' }>): void {
  const { runId, stage } = input;
  const reason = input.reason === '' ? 'by request' : input.reason;
  assertDroppable(draft.state, input);
  const pausedStep = stage === undefined ? wholeRunWith(draft.state, runId)?.pausedStep : undefined;
  if (storedStages(draft.state, runId).length > 0)
    emit(draft, {
      kind: 'stage.dropped',
      runId,
      ...(stage === undefined ? {} : { stages: [stage] }),
      parts: 'all',
      reason,
    });
  if (pausedStep !== undefined) emit(draft, { kind: 'step.dropped', runId, step: pausedStep.step, reason });
}

/** The stages of a run of which something is stored. */
function storedStages(state: State, runId: string): number[] {
  const run = runWith(state, runId);
  if (run === undefined) return [];
  if (!isWhole(run)) return storedOfEnded(state, run);
  return run.checkpoints.filter(({ held }) => held !== 'nothing').map(({ stage }) => stage);
}

/** Throws who still needs a stage of a run, or any of its stages where none is named. */
export function assertDroppable(
  state: State,
  { runId, stage }: { readonly runId: string; readonly stage?: number },
): void {
  const run = wholeRunWith(state, runId);
  if (run === undefined) {
    assertEndedDroppable(state, runId, stage);
    return;
  }
  if (!hasEnded(run))
    throw refuse(`${runId} ${stateClaim(run.state)} and needs its checkpoints; cancel it first`);
  const stages = run.checkpoints.filter((one) => stage === undefined || one.stage === stage);
  if (stage !== undefined && (stages[0] === undefined || stages[0].held === 'nothing'))
    throw refuse(`stage ${stage} of ${runId} is not stored; ${storedText(run)}`);
  for (const one of stages) {
    assertNotKept(runId, one);
    const readers = readersOf(state, run, one.stage);
    if (one.held !== 'nothing' && readers.length > 0)
      throw refuse(`stage ${one.stage} of ${runId} is needed by ${readers.join(', ')}`);
  }
}

function assertNotKept(runId: string, { stage, kept }: Pick<CheckpointState, 'stage' | 'kept'>): void {
  if (kept !== undefined)
    throw refuse(
      `stage ${stage} of ${runId} is kept (${kept}); release it first: \`checkpoints keep ${runId} ${stage} --release\``,
    );
}

/** Throws where somebody has asked to keep a stage of a run. */
export function assertNoneKept(state: State, runId: string): void {
  const run = runWith(state, runId);
  const stages = run === undefined ? [] : isWhole(run) ? run.checkpoints : (run.kept ?? []);
  for (const one of stages) if (one.held !== 'nothing') assertNotKept(runId, one);
}

/** The same of a candidate whose result is known. */
function assertEndedDroppable(state: State, runId: string, stage: number | undefined): void {
  assertNotHalted(state, runId);
  const run = runWith(state, runId);
  if (run === undefined || isWhole(run)) return;
  const stored = storedOfEnded(state, run);
  if (stage !== undefined && !stored.includes(stage))
    throw refuse(`stage ${stage} of ${runId} is not stored; ${runId} has ${stagesOr(stored)}`);
  for (const one of run.kept ?? []) if (stage === undefined || one.stage === stage) assertNotKept(runId, one);
}

/** Throws while the strategy of its sweep may have it go on. */
function assertNotHalted(state: State, runId: string): void {
  const run = runWith(state, runId);
  const halted = run && leaseOf(state, run);
  if (halted === undefined) return;
  throw refuse(
    `${runId} may go on from its stage ${halted.stage} while ${run?.sweepId} runs; its checkpoints go with the end of that`,
  );
}

/** Students that may still need a stage, and plans and sweeps whose students and candidates may. */
export function readersOf(state: State, teacher: RunState, stage: number): string[] {
  const all = [...studentsOf(state, teacher), ...plannedStudentsOf(state, teacher.id)];
  const students = all.flatMap((student) => {
    const first = firstNeeded(student, teacher.job.training.epochs);
    return first !== undefined && stage >= first ? [student.id] : [];
  });
  return [...new Set(students), ...heirsOf(state, teacher.id, stage).map(({ id }) => id)];
}

/**
 * The stage to read for a caller, 0 for the newest that is there. Throws in one sentence why it cannot be read.
 */
export function stageToRead(run: RunState, wanted: number): number {
  if (run.job.kind === 'search')
    throw refuse(
      `${run.id} is a search: its stages hold a search network, which gives no embeddings; train what it has found with network: { kind: pocketnet, genotype: ${run.id} }`,
    );
  const stored = run.checkpoints.filter(({ held }) => held !== 'nothing');
  const found = wanted === 0 ? stored.at(-1) : stored.find(({ stage }) => stage === wanted);
  if (found !== undefined && found.damage === undefined) return found.stage;
  if (found?.damage !== undefined)
    throw refuse(
      `stage ${found.stage} of ${run.id} cannot be read: ${found.damage.reason}${found.damage.isLost ? '' : '; it is computed again, try later'}`,
    );
  if (run.checkpoints.length === 0)
    throw new FleetError(
      'notFound',
      `${run.id} has no checkpoint yet; it ${stateClaim(run.state)} (${run.reason})`,
    );
  const isGone = wanted === 0 || run.checkpoints.some(({ stage }) => stage === wanted);
  const which = wanted === 0 ? `no stage of ${run.id} is` : `stage ${wanted} of ${run.id} is not`;
  throw new FleetError(
    'notFound',
    `${which} ${isGone ? 'kept any more (checkpoints.keep decides that)' : 'stored'}; ${storedText(run)}`,
  );
}

/** Which stages of a run are stored, as the end of a sentence. */
function storedText({ id, checkpoints }: RunState): string {
  const of = (held: CheckpointState['held']) => checkpoints.filter((one) => one.held === held);
  const [whole, networks] = [of(undefined), of('network')].map((some) => some.map(({ stage }) => stage));
  const parts = [
    ...(whole!.length === 0 ? [] : [stagesText(whole!)]),
    ...(networks!.length === 0 ? [] : [`the networks of ${stagesText(networks!)}`]),
  ];
  return `${id} has ${parts.length === 0 ? 'none' : parts.join(' and ')}`;
}

/**
 * A worker could not read a stage of a run. What follows for the run that needed it: it waits until the stage
 * is computed again, or can never go on; undefined where the journal knows no such stage.
 */
export function reportDamage(
  draft: Draft,
  damaged: { readonly runId: string; readonly stage: number },
  { workerId, reason }: { readonly workerId: string; readonly reason: string },
): { readonly isLost: boolean; readonly reason: string } | undefined {
  const { runId, stage } = damaged;
  const found = stageOf(draft.state, damaged);
  if (found === undefined || found.held === 'nothing') return undefined;
  if (found.damage === undefined) emit(draft, { kind: 'stage.damaged', runId, stage, workerId, reason });
  return found.damage ?? { isLost: false, reason };
}

/** A gang goes on from stage `newest`, 0 for the seed, because none behind it is in the store: those count anew. */
export function dropMissing(
  draft: Draft,
  { id: runId, checkpoints }: RunState,
  { newest, workerId }: { readonly newest: number; readonly workerId: string },
): void {
  const stages = checkpoints.flatMap(({ stage }) => (stage > newest ? [stage] : []));
  if (stages.length === 0) return;
  const from = newest === 0 ? 'from the seed' : `from stage ${newest}`;
  const reason = `${workerId} begins ${from}`;
  emit(draft, { kind: 'stage.dropped', runId, stages, parts: 'all', isAgain: true, reason });
}

/** A damaged stage was mended, or cannot be; a verdict that came late is void. */
export function judgeDamage(draft: Draft, input: Extract<Input, { kind: 'mended' }>): void {
  const { runId, stage, ok, reason } = input;
  const damage = stageOf(draft.state, input)?.damage;
  if (damage === undefined || damage.isLost) return;
  if (ok) emit(draft, { kind: 'stage.mended', runId, stage, reason });
  else
    emit(draft, {
      kind: 'stage.lost',
      runId,
      stage,
      reason: `${damage.reason}; it cannot be computed again: ${reason}`,
    });
}

function stageOf(
  state: State,
  { runId, stage }: { readonly runId: string; readonly stage: number },
): CheckpointState | undefined {
  return wholeRunWith(state, runId)?.checkpoints.find((one) => one.stage === stage);
}

/** Why a run that waits for a damaged stage can never go on; undefined while it may. */
export function lossInTheWay(state: State, { waitsForStage }: RunState): string | undefined {
  if (waitsForStage === undefined) return undefined;
  const [runId = '', stage] = waitsForStage.split('/');
  const damage = stageOf(state, { runId, stage: Number(stage) })?.damage;
  return damage?.isLost === true ? damage.reason : undefined;
}
