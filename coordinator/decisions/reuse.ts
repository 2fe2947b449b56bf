// Whether a run is computed at all. A run that computes the same as one that has ended takes its result, at no
// cost; one that computes the same as one that trains waits for that one's, and goes on by itself when that one
// ends without a result, pauses, or loses its workers. So nobody waits for a run that has none: of two that are
// queued the first to get workers trains. docs/reuse.md has the rules.
//
// A candidate needs the accuracy alone, and the latency where its sweep looks for that: a latency counts from a device
// class that the run would get, and a result without one is computed again. Any other run is there for its network: it
// takes a result with its checkpoints, and a teacher only with those stages that its students still need.

import { resolveGenotype } from '../../core/nn/genotype.ts';
import { codeOf, keyOfCode } from '../../core/nn/genotype-code.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { isDeterministic } from '../../core/system/device-class.ts';
import {
  type Identified,
  type Identity,
  identityOf,
  identityOfSpec,
  identityText,
  isOfEpochs,
} from '../model/identity.ts';
import { latencyIn, latencyOf, latencyOfEnded } from '../model/measured.ts';
import { NO_CODE, openTwins, originOf, resultOf, VOID } from '../model/results.ts';
import {
  accuracyOf,
  type DataFacts,
  type EndedRun,
  isWhole,
  type Latency,
  type RunState,
  runOf,
  runWith,
  type State,
  trialOf,
  wholeRunWith,
} from '../model/state.ts';
import { rowAt } from '../model/table.ts';
import type { Board } from '../scheduling/board.ts';
import { meets } from '../scheduling/fit.ts';
import { boardOf, type Draft, emit } from './draft.ts';
import { missingStage, studentsOf } from './retaining.ts';

/** What a student will need of a teacher. */
export type Needs = Parameters<typeof missingStage>[1];

/** A run, or one that may be made, as far as it decides whether it can take a result. */
export type Asking = Identified & Pick<RunState, 'job' | 'trialId' | 'studentRunIds' | 'taughtSweepIds'>;

/** What decides whether a result is taken. */
interface Taking {
  /** Of a teacher whose students are not made yet. */
  readonly needs?: readonly Needs[];
  /** The class of the workers that the run would get now; undefined: any that it may have. */
  readonly deviceClass?: string | undefined;
  /** It belongs to a trial, which may not have begun. */
  readonly isCandidate?: boolean;
}

/** What is known, and which workers there are. */
export interface Fleet {
  readonly state: State;
  readonly pools: () => ReturnType<Board['pools']['all']>;
}

/** The fleet as a decision sees it. */
export const fleetOf = (draft: Draft): Fleet => ({
  state: draft.state,
  pools: () => boardOf(draft).pools.all(),
});

/**
 * Has a queued run take a result or wait for one, where there is one; returns whether it needs no workers now.
 * Nothing happens to a run that trains or has ended.
 */
export function reuse(draft: Draft, runId: string, how: Taking = {}): boolean {
  const run = wholeRunWith(draft.state, runId);
  if (run === undefined || run.state !== 'queued') return false;
  const found = resultFor(draft, run, how);
  if (found !== undefined) {
    take(draft, run, found);
    return true;
  }
  const twin = twinFor(draft, run);
  if (twin !== undefined) {
    if (run.twinRunId !== twin.id) wait(draft, run, twin);
    return true;
  }
  if (run.twinRunId !== undefined) {
    const before = runWith(draft.state, run.twinRunId);
    const why = before === undefined ? 'is not there any more' : `is ${before.state}: ${before.reason}`;
    const reason = `computes it itself, since ${run.twinRunId} ${why}`;
    emit(draft, { kind: 'run.twinned', runId, reason });
  }
  return false;
}

/** A run that has just got workers: those that compute the same wait for it. */
export function followedByTwins(draft: Draft, runId: string): void {
  const run = runOf(draft.state, runId);
  const identity = identityOf(draft.state, run);
  if (identity === undefined) return;
  for (const other of openTwins(draft.state, identity))
    if (other.state === 'queued' && other.twinRunId === undefined && mayFollow(draft, other, run))
      wait(draft, other, run);
}

function wait(draft: Draft, run: RunState, twin: RunState): void {
  const reason = `waits for ${twin.id}, which computes the same`;
  emit(draft, { kind: 'run.twinned', runId: run.id, twinRunId: twin.id, reason });
}

function take(draft: Draft, run: RunState, { from, accuracy, latency, isRung }: Result): void {
  const origin = originOf(draft.state, from.id);
  const { deviceClass, finalStep, weightsDigest, code } = from;
  const evaluation = isWhole(from) && !isRung ? from.evaluation : undefined;
  emit(draft, {
    kind: 'run.reused',
    ...{ runId: run.id, fromRunId: origin, code: code ?? NO_CODE },
    ...(deviceClass === undefined ? {} : { deviceClass }),
    ...(isRung
      ? { step: 0, weightsDigest: '' }
      : { step: finalStep ?? 0, weightsDigest: weightsDigest ?? '' }),
    ...(accuracy === undefined ? {} : { accuracy }),
    ...(latency === undefined || evaluation?.latency !== undefined ? {} : { latency }),
    ...(evaluation === undefined ? {} : { evaluation }),
    reason: `reused ${originText(draft.state, origin)}`,
  });
}

/** `run-7 of sweep-3`. */
export function originText(state: State, id: string): string {
  const run = runWith(state, id);
  if (run === undefined) return `${id}, which was removed`;
  const whole = run.sweepId ?? (isWhole(run) ? run.planId : undefined);
  return whole === undefined ? id : `${id} of ${whole}`;
}

/** A result that can be taken. */
interface Result {
  readonly from: RunState | EndedRun;
  readonly accuracy: number | undefined;
  readonly latency: Latency | undefined;
  /** It is that of an earlier stage of a run that went on since: the accuracy alone is known. */
  readonly isRung: boolean;
}

/** The result that a run can take; undefined: none. */
export function resultFor(draft: Draft, run: Asking, how: Taking = {}): Result | undefined {
  const identity = identityOf(draft.state, run);
  return identity && resultOfIdentity(fleetOf(draft), run, identity, how);
}

/** The result that a run which computes this can take. */
export function resultOfIdentity(
  fleet: Fleet,
  run: Asking,
  identity: Identity,
  how: Taking = {},
): Result | undefined {
  const { state } = fleet;
  const { isCandidate = run.trialId !== undefined } = how;
  const mode = run.job.reuse ?? (isCandidate ? 'any' : 'exact');
  if (mode === 'none' || state.code === NO_CODE) return undefined;
  const number = resultOf(state, identity, state.code);
  const from = number === undefined || number === VOID ? undefined : rowAt(state.runs, number);
  if (from === undefined) return undefined;
  if (mode === 'exact' && !isSameThere(fleet, run, from, how.deviceClass)) return undefined;
  const result = resultIn(state, from, identity);
  if (run.job.verification.latency && !isTimedThere(fleet, run, result?.latency, how.deviceClass))
    return undefined;
  if (isCandidate) return Number.isFinite(result?.accuracy) ? result : undefined;
  const origin = result?.isRung === false ? wholeRunWith(state, originOf(state, from.id)) : undefined;
  return origin !== undefined && hasWhatIsNeeded(state, run, origin, how.needs ?? []) ? result : undefined;
}

/** What a run has of a key that it once stood for: it may have gone on since, and its trial still has the result. */
function resultIn(state: State, from: RunState | EndedRun, wanted: Identity): Result | undefined {
  const own = identityOf(state, from);
  if (from.state === 'done' && own !== undefined && identityText(own) === identityText(wanted))
    return {
      ...{ from, isRung: false },
      accuracy: isWhole(from) ? accuracyOf(from) : from.accuracy,
      latency: isWhole(from) ? latencyOf(from) : latencyOfEnded(trialOf(state, from.trialId), from),
    };
  const { rungs = [] } = from.trialId === undefined ? {} : trialOf(state, from.trialId);
  const rung = rungs.find(
    ({ runId, fidelity: { epochs } }) =>
      runId === from.id && epochs !== undefined && isOfEpochs(wanted, epochs),
  );
  return rung && { from, accuracy: rung.objectives.accuracy, latency: latencyIn(rung), isRung: true };
}

/** Whether the newest stage of a run is stored, and those that the students of the other one need. */
function hasWhatIsNeeded(state: State, run: Asking, origin: RunState, needs: readonly Needs[]): boolean {
  const last = origin.checkpoints.at(-1);
  if (last?.stage !== origin.job.training.epochs || last.held === 'nothing' || last.damage !== undefined)
    return false;
  return [...needs, ...studentsOf(state, run)].every((need) => missingStage(origin, need) === undefined);
}

/** Whether a run that is made of this spec would take a result; `teacher`: what that of a student computes. */
export function hasResult(
  fleet: Fleet,
  { spec, facts }: { readonly spec: RunSpec; readonly facts: DataFacts },
  teacher?: Identity,
): boolean {
  const identity = identityOfSpec(spec, facts, teacher);
  const asking = { job: spec, facts, attempt: 1, studentRunIds: [] };
  return identity !== undefined && resultOfIdentity(fleet, asking, identity) !== undefined;
}

/** The run that trains and for whose result this one can wait. */
function twinFor(draft: Draft, run: RunState): RunState | undefined {
  const identity = identityOf(draft.state, run);
  if (identity === undefined) return undefined;
  return openTwins(draft.state, identity).find((twin) => mayFollow(draft, run, twin));
}

function mayFollow(draft: Draft, run: RunState, twin: RunState): boolean {
  const mode = modeOf(run);
  if (mode === 'none' || twin.id === run.id || twin.state !== 'running') return false;
  if (twin.code === undefined || twin.code === NO_CODE || twin.code !== draft.state.code) return false;
  if (run.job.verification.latency && !twin.job.verification.latency) return false;
  // The checkpoints of a candidate go with its result.
  if (run.trialId === undefined && twin.trialId !== undefined) return false;
  return mode === 'any' || isSameThere(fleetOf(draft), run, twin);
}

/** Which results a run takes. */
function modeOf({ job, trialId }: Pick<RunState, 'job' | 'trialId'>): 'none' | 'any' | 'exact' {
  return job.reuse ?? (trialId === undefined ? 'exact' : 'any');
}

/**
 * Whether the run would get the very bits of another one: of a network written the same, on a device class that is
 * there.
 */
function isSameThere(
  fleet: Fleet,
  run: Asking,
  { deviceClass, ...other }: RunState | EndedRun,
  wanted?: string,
): boolean {
  if (deviceClass === undefined || !hasFixedBits(run.job.training, deviceClass)) return false;
  if (wanted !== undefined && wanted !== deviceClass) return false;
  if (writtenNetwork(fleet.state, run) !== writtenNetwork(fleet.state, other)) return false;
  return wanted !== undefined || isClassThere(fleet, run, deviceClass);
}

/** Whether a worker that the run may have is of this class. */
function isClassThere(fleet: Fleet, run: Asking, deviceClass: string): boolean {
  return fleet
    .pools()
    .some((pool) => pool.live > 0 && pool.deviceClass === deviceClass && meets(run.job.require, pool.traits));
}

/** Whether a latency is one that the run could have measured itself: on a device class that it would get. */
function isTimedThere(fleet: Fleet, run: Asking, latency: Latency | undefined, wanted?: string): boolean {
  if (latency === undefined) return false;
  return wanted === undefined
    ? isClassThere(fleet, run, latency.deviceClass)
    : wanted === latency.deviceClass;
}

/** Whether spec, seed and device class decide every bit of a result. */
function hasFixedBits({ exact, compression }: RunState['job']['training'], deviceClass: string): boolean {
  // What int8 has left of a worker's shards goes with the worker.
  return exact && compression !== 'int8' && isDeterministic(deviceClass);
}

/** The cells as they are written: isomorphic ones are laid out in another order, and so get other weights. */
function writtenNetwork(state: State, run: Identified): string {
  const network = 'job' in run && run.trialId === undefined ? run.job.network : undefined;
  if (network?.kind === 'pocketnet') return keyOfCode(codeOf(resolveGenotype(network.genotype)));
  return run.trialId === undefined ? '-' : trialOf(state, run.trialId).genotypeKey;
}

/**
 * Compares a run that has just finished with the one that stood for its key before: where both must have the same
 * bits and have not, that is journalled, and nothing is taken from either. `before`: the number of that run.
 */
export function compareResults(draft: Draft, runId: string, before: number | undefined): void {
  const { state } = draft;
  const run = runOf(state, runId);
  const other = before === undefined ? undefined : rowAt(state.runs, before);
  const { deviceClass, weightsDigest } = run;
  // What was taken of an earlier stage is without a digest.
  if (!other?.weightsDigest || weightsDigest === undefined || deviceClass === undefined) return;
  const [own, others] = [identityOf(state, run), identityOf(state, other)];
  if (own === undefined || others === undefined || identityText(own) !== identityText(others)) return;
  if (other.weightsDigest === weightsDigest || other.deviceClass !== deviceClass) return;
  if (!hasFixedBits(run.job.training, deviceClass)) return;
  if (writtenNetwork(state, run) !== writtenNetwork(state, other)) return;
  const otherRunId = originOf(state, other.id);
  emit(draft, {
    kind: 'result.conflicted',
    ...{ runId, otherRunId, weightsDigest, otherWeightsDigest: other.weightsDigest },
    reason: `of one device class (${deviceClass}) they must be equal; nothing is taken from either, and \`pocketfleet replay\` of both shows which of them its device computes again`,
  });
}

/** The number of the run that stands for what this one computes, before it has ended. */
export function standsFor(state: State, run: RunState): number | undefined {
  const identity = run.code === undefined || run.code === NO_CODE ? undefined : identityOf(state, run);
  const number = identity && resultOf(state, identity, run.code!);
  return number === VOID ? undefined : number;
}
