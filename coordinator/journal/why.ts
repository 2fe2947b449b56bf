// The journal as sentences: what each event decided, and for what reason. Pure. Decides which
// things an event is about.

import { principalText } from '../../core/net/roles.ts';
import type { DataSpec } from '../../core/spec/data.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { trialsOf } from '../../core/spec/strategy.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { formatBytes } from '../../core/text/bytes-text.ts';
import { stateText } from '../../core/text/state-text.ts';
import { stagesText } from '../decisions/retaining.ts';
import { NEWEST_ALONE } from '../decisions/retention.ts';
import type { Event, EventOf, RefusedCalls, Skipped } from '../model/events.ts';
import { lookup } from '../model/persistent-map.ts';
import type { State } from '../model/state.ts';
import { screenedText } from '../strategies/screening.ts';

/**
 * The ids of plans, sweeps, trials, runs and workers that an event names as what it is about. Exhaustive over
 * the kinds, so that a new kind cannot be left out by mistake: `why` would not show it. Two ids are left out
 * on purpose: the end of a plan is not about its winner, and the creation of a student is not about its
 * teacher.
 */
export function idsOf(event: Event): readonly (string | undefined)[] {
  const ids: (string | undefined)[] = [];
  eachId(event, (id) => ids.push(id));
  return ids;
}

/** The same, one after the other: a start asks for those of a million events, and would make as many lists. */
export function eachId(event: Event, take: (id: string | undefined) => void): void {
  eachNamed(event, take);
  if (event.left !== undefined) for (const id of event.left) take(id);
}

function eachNamed(event: Event, take: (id: string | undefined) => void): void {
  switch (event.kind) {
    case 'coordinator.started':
    case 'journal.truncated':
    case 'spec.recorded':
      return;
    case 'input.refused':
      take(event.workerId);
      take(event.runId);
      return;
    case 'submission.taken':
      for (const id of event.planIds) take(id);
      for (const id of event.sweepIds) take(id);
      for (const id of event.runIds) take(id);
      return;
    case 'plan.submitted':
    case 'plan.ended':
      take(event.planId);
      return;
    case 'sweep.submitted':
      take(event.sweepId);
      take(event.planId);
      return;
    case 'sweep.exhausted':
    case 'sweep.ended':
    case 'candidates.drawn':
      take(event.sweepId);
      return;
    case 'candidates.scored':
      take(event.sweepId);
      take(event.workerId === '' ? undefined : event.workerId);
      return;
    case 'trial.proposed':
      take(event.trialId);
      take(event.sweepId);
      return;
    case 'trial.promoted':
    case 'trial.stopped':
    case 'trial.ended':
      take(event.trialId);
      return;
    case 'trial.found':
    case 'trial.attempted':
      take(event.trialId);
      take(event.runId);
      return;
    case 'run.created':
      take(event.runId);
      take(event.trialId);
      take(event.planId);
      return;
    case 'run.assigned':
      take(event.runId);
      take(event.lentByRunId);
      for (const { workerId } of event.members) take(workerId);
      return;
    case 'run.requeued':
    case 'run.continued':
    case 'run.cancelled':
    case 'embedding.ended':
    case 'step.dropped':
      take(event.runId);
      return;
    case 'run.pausing':
      take(event.runId);
      take(event.forRunId);
      return;
    case 'run.troubled':
    case 'run.blamed':
    case 'run.checkpointed':
    case 'run.paused':
    case 'run.finished':
    case 'run.halted':
    case 'run.failed':
      take(event.runId);
      take(event.workerId);
      return;
    case 'stage.dropped':
    case 'stage.kept':
    case 'stage.released':
    case 'stage.mended':
    case 'stage.lost':
      take(event.runId);
      return;
    case 'run.reused':
      take(event.runId);
      take(event.fromRunId);
      return;
    case 'run.twinned':
      take(event.runId);
      take(event.twinRunId);
      return;
    case 'result.conflicted':
      take(event.runId);
      take(event.otherRunId);
      return;
    case 'stage.damaged':
      take(event.runId);
      take(event.workerId);
      return;
    case 'work.removed':
      take(event.id);
      return;
    case 'clock.jumped':
    case 'scheduling.configured':
    case 'store.collected':
    case 'token.created':
    case 'token.revoked':
    case 'calls.refused':
    case 'worker.spent':
      return;
    case 'run.exported':
      take(event.runId);
      return;
    case 'work.resumed':
    case 'work.paused':
    case 'work.prioritised':
      take(event.planId);
      take(event.sweepId);
      take(event.trialId);
      take(event.runId);
      return;
    case 'worker.attached':
    case 'worker.draining':
    case 'worker.undrained':
    case 'worker.lost':
      take(event.workerId);
      return;
  }
}

/**
 * The part of a sentence about images that `data.onCorrupt: skip` has left out; empty when there are none.
 */
function leftOut(data: DataSpec): string {
  return data.kind === 'synthetic' || data.skipped === undefined
    ? ''
    : `; ${data.skipped.count} corrupt images are left out (digest ${data.skipped.digest.slice(0, 16)})`;
}

/**
 * What an event decided, and by whose call, as one sentence for the log and for `why`; `state` has what it refers
 * to.
 */
export function sentenceOf(event: Event, state: Pick<State, 'specs'>): string {
  const sentence = decisionText(event, state);
  return event.by === undefined ? sentence : `${sentence}; by ${principalText(event.by)}`;
}

function decisionText(event: Event, { specs }: Pick<State, 'specs'>): string {
  switch (event.kind) {
    case 'input.refused':
      return `an input (${event.input}) was refused, because deciding it failed: ${event.reason}`;
    case 'spec.recorded':
      return `the spec of ${event.spec.kind} ${event.spec.name} was recorded as ${event.digest}`;
    case 'submission.taken':
      return `request ${event.requestId} was taken: ${[...event.planIds, ...event.sweepIds, ...event.runIds].join(', ')}`;
    case 'coordinator.started':
      return `coordinator ${event.version} took the lead for the ${ordinal(event.epoch)} time`;
    case 'journal.truncated':
      return `the journal was cut off after sequence ${event.after}: ${event.reason}`;
    case 'plan.submitted': {
      const spec = lookup(specs, event.spec) as PlanSpec;
      return `${event.planId} (${spec.name}) was submitted: ${event.facts.trainingImages} training images of ${event.facts.classes} identities, ${event.facts.heldOutIdentities} identities held out${leftOut(spec.data)}`;
    }
    case 'plan.ended':
      return `${event.planId} ${stateText(event.state, event.reason)}`;
    case 'sweep.submitted': {
      const { name, strategy } = lookup(specs, event.spec) as SweepSpec;
      return `${event.sweepId} (${name}) was submitted: ${trialsOf(strategy)} trials by ${strategy.kind} search${event.lag === undefined ? '' : `, each of which sees the results of those ${event.lag} and more before it`}${event.planId === undefined ? '' : `, for ${event.planId}`}${event.teacherRunId === undefined ? '' : `; its candidates learn from ${event.teacherRunId}`}${startText(event.start)}`;
    }
    case 'sweep.exhausted':
      return `${event.sweepId} will have ${event.trialsTotal} trials: ${event.reason}`;
    case 'sweep.ended':
      return `${event.sweepId} ${stateText(event.state, event.reason)}`;
    case 'candidates.drawn':
      return `${counted(event.candidates.length, 'candidate')} of ${event.sweepId} ${event.candidates.length === 1 ? 'was' : 'were'} drawn to be scored${event.isDrawn ? ', the last of their group' : ''}`;
    case 'candidates.scored':
      return scoredText(event);
    case 'trial.found':
      return `${event.trialId} has its cells: ${event.reason}; ${event.costs.parameters} parameters, ${event.costs.mflops.toFixed(1)} MFLOPs`;
    case 'trial.proposed':
      if (event.seed !== undefined)
        return `${event.trialId} is trial ${event.number} of ${event.sweepId}: the cells that a search from seed ${event.seed} finds (${event.why})`;
      return `${event.trialId} is trial ${event.number} of ${event.sweepId}: ${event.costs.parameters} parameters, ${event.costs.mflops.toFixed(1)} MFLOPs${event.why === undefined ? '' : `; ${event.why}`}${event.screened === undefined ? '' : `; ${screenedText(event.screened)}`}${skippedText(event.skipped)}`;
    case 'trial.promoted':
      return `${event.trialId} goes on: ${event.reason}`;
    case 'trial.stopped':
      return `${event.trialId} is stopped: ${event.reason}`;
    case 'trial.ended':
      return `${event.trialId} ${stateText(event.state, event.reason)}`;
    case 'trial.attempted':
      return `${event.runId} was created for ${event.trialId}: ${event.reason}`;
    case 'run.created': {
      const { kind, name, data } = lookup(specs, event.spec) as RunSpec;
      return `${event.runId} (${kind} ${name}) was created: ${event.reason}${leftOut(data)}`;
    }
    case 'run.assigned':
      return `${event.runId} got generation ${event.generation} with ${event.members.map(memberText).join(', ')}: ${event.reason}${event.imageRows === undefined ? '' : `; embeddings ${event.imageRows.reason}`}`;
    case 'run.requeued':
      return `${event.runId} went back to the queue after generation ${event.generation}: ${event.reason}`;
    case 'run.pausing':
      return `${event.runId} stores where it stands and gives its workers back: ${event.reason}`;
    case 'run.paused':
      return pausedText(event);
    case 'step.dropped':
      return `the checkpoint of step ${event.step} of ${event.runId} is not kept any more: ${event.reason}`;
    case 'run.troubled':
      if (event.memory !== undefined) return `${event.runId}: ${event.reason}`;
      return `${event.runId} is kept from ${event.workerId} for a while: ${event.reason}`;
    case 'run.blamed':
      return `${event.runId}: ${event.reason}`;
    case 'run.checkpointed':
      return `${event.runId} stored checkpoint ${event.stage} (step ${event.step}, ${event.bytes} bytes)${byWorker(event.workerId, 'by')}${accuracyText(event.evaluation)}${foundText(event.found)}${event.isOnlyStage ? `; what it stored before is not kept any more: ${NEWEST_ALONE}` : ''}`;
    case 'stage.dropped':
      if (event.isAgain)
        return `${droppedText(event)} of ${event.runId} ${event.stages?.length === 1 ? 'is' : 'are'} not in the store and computed again: ${event.reason}`;
      return `${droppedText(event)} of ${event.runId} ${event.stages?.length === 1 ? 'is' : 'are'} not kept any more: ${event.reason}`;
    case 'stage.kept':
      return `stage ${event.stage} of ${event.runId} is kept: ${event.reason}`;
    case 'stage.released':
      return `stage ${event.stage} of ${event.runId} is kept no longer than its policy says: ${event.reason}`;
    case 'stage.damaged':
      return `${event.workerId} could not read stage ${event.stage} of ${event.runId}, which is computed again: ${event.reason}`;
    case 'stage.mended':
      return `stage ${event.stage} of ${event.runId} is whole again: ${event.reason}`;
    case 'stage.lost':
      return `stage ${event.stage} of ${event.runId} is lost: ${event.reason}`;
    case 'work.removed':
      return `${event.id} was removed: ${event.reason}`;
    case 'clock.jumped':
      return `${(event.ms / 1000).toFixed(0)} s are charged to nobody: ${event.reason}`;
    case 'scheduling.configured':
      return `what was used counts half after ${event.usageHalfLifeMs / 3_600_000} h; quotas: ${JSON.stringify(event.quotas)}${kindsText(event.workerKinds)}`;
    case 'store.collected':
      return `${formatBytes(event.bytes)} of what was let go are gone from the store: ${event.manifests} manifests, ${event.chunks} chunks`;
    case 'run.exported':
      return `stage ${event.stage} of ${event.runId} was exported as ${event.format}`;
    case 'token.created':
      return `the token ${principalText(event.token)}, from ${event.createdBy}, is accepted ${event.expires === undefined ? 'until it is revoked' : `until ${event.expires}`}`;
    case 'token.revoked':
      return `the token ${principalText(event.token)} is refused from now on: ${event.revokedBy === undefined ? 'it is gone from its file' : `revoked by ${event.revokedBy}`}`;
    case 'calls.refused':
      return `calls were refused: ${[...event.refusals.map(refusalText), ...(event.others > 0 ? [`${event.others} others`] : [])].join(', ')}`;
    case 'run.finished':
      return `${event.runId} finished at step ${event.step}${byWorker(event.workerId, 'on')}, weights ${event.weightsDigest}${accuracyText(event.evaluation)}${event.stopped === undefined ? '' : `; it ended early: ${event.stopped}`}`;
    case 'run.halted':
      return `${event.runId} is paused at the end of stage ${event.stage} (step ${event.step}) by ${event.workerId}, weights ${event.weightsDigest}${accuracyText(event.evaluation)}; its checkpoint stays while it may go on`;
    case 'run.continued':
      return `${event.runId} goes on ${event.haltStage === undefined ? 'to its end' : `to the end of stage ${event.haltStage}`}: ${event.reason}`;
    case 'run.failed':
      return `${event.runId} failed (${event.cause}${event.step === undefined ? '' : ` at step ${event.step}`}): ${event.reason}`;
    case 'run.reused':
      return `${event.runId} takes the result of ${event.fromRunId}, weights ${event.weightsDigest}${event.accuracy === undefined ? '' : `, accuracy ${event.accuracy.toFixed(4)}`}: ${event.reason}`;
    case 'run.twinned':
      return `${event.runId} ${event.twinRunId === undefined ? 'waits for no other run any more' : `waits for the result of ${event.twinRunId}`}: ${event.reason}`;
    case 'result.conflicted':
      return `${event.runId} and ${event.otherRunId} compute the same and ended with other weights (${event.weightsDigest} and ${event.otherWeightsDigest}): ${event.reason}`;
    case 'embedding.ended':
      return `${event.runId} is done: ${event.reason}`;
    case 'run.cancelled':
      return `${event.runId} was ${stateText('cancelled', event.reason)}`;
    case 'work.resumed':
      return `${event.planId ?? event.sweepId ?? event.trialId ?? event.runId} goes on: ${event.reason}`;
    case 'work.paused':
      return `${event.planId ?? event.sweepId ?? event.trialId ?? event.runId} is to pause: ${event.reason}`;
    case 'work.prioritised':
      return `${event.planId ?? event.sweepId ?? event.trialId ?? event.runId} has priority ${event.priority} from now on: ${event.reason}`;
    case 'worker.attached':
      return `${event.workerId} attached as process ${event.pid} on ${event.host} (${event.deviceName}, ${event.slots} slots): ${event.reason}`;
    case 'worker.draining':
      return `${event.workerId} drains: ${event.reason}`;
    case 'worker.undrained':
      return `${event.workerId} gets work again: ${event.reason}`;
    case 'worker.lost':
      return `${event.workerId} was lost: ${event.reason}`;
    case 'worker.spent':
      return `${event.workerId} has accounted for ${event.until.toFixed(1)} s of process ${event.incarnation}`;
  }
}

/** Stages that come from files are stored by no worker. */
const byWorker = (workerId: string, word: 'by' | 'on'): string =>
  workerId === '' ? '' : ` ${word} ${workerId}`;

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

function scoredText({ sweepId, group, workerId, scores }: EventOf<'candidates.scored'>): string {
  const failed = scores.find(({ reason }) => reason !== undefined);
  const by = workerId === '' ? '' : ` by ${workerId}`;
  const text = `${counted(scores.length, 'candidate')} of group ${group} of ${sweepId} ${scores.length === 1 ? 'was' : 'were'} scored${by}`;
  return failed === undefined ? text : `${text}, at least one in vain: ${failed.reason}`;
}

function kindsText(kinds: EventOf<'scheduling.configured'>['workerKinds']): string {
  return kinds === undefined ? '' : `; workers that it can have: ${JSON.stringify(kinds)}`;
}

function startText(start: EventOf<'sweep.submitted'>['start']): string {
  if (start === undefined) return '';
  const { sweepId, trials } = start;
  return `; it begins with the results of ${trials.length} trials of ${sweepId}`;
}

/** What a stage of a search has found: how much of it skips and how much is new, and the losses of both halves. */
function foundText(found: EventOf<'run.checkpointed'>['found']): string {
  if (found === undefined) return '';
  const { genotype, skips, changed, trainingLoss, validationLoss, evaluation } = found;
  const moved = changed === undefined ? '' : `, ${changed} of 16 edges are new`;
  const other = validationLoss === undefined ? '' : ` and ${validationLoss.toFixed(4)} on that of the alphas`;
  const scored =
    evaluation === undefined
      ? ''
      : `; the search network has accuracy ${evaluation.accuracy.toFixed(4)} and loss ${evaluation.loss.toFixed(4)} over the half of the alphas`;
  return `; it stands for genotype ${genotype}: ${skips} of 8 edges of the normal cell skip${moved}; loss ${trainingLoss.toFixed(4)} on the half of the weights${other}${scored}`;
}

const accuracyText = (evaluation: EventOf<'run.finished'>['evaluation']): string =>
  evaluation === undefined ? '' : `, accuracy ${evaluation.accuracy.toFixed(4)}`;

function pausedText({ runId, step, isHeld, reason, workerId, stored }: EventOf<'run.paused'>): string {
  const by = workerId === undefined || stored === undefined ? '' : ` (${stored.bytes} bytes, by ${workerId})`;
  const then = isHeld ? 'is paused' : 'waits for workers again';
  return `${runId} ${then}, and goes on from step ${step}${by}: ${reason}`;
}

function refusalText({ token, method, reason, count }: RefusedCalls): string {
  return `${method} ${count === 1 ? 'once' : `${count} times`} (${token === undefined ? '' : `${principalText(token)}, `}${REFUSAL_WORDS[reason] ?? reason})`;
}

const REFUSAL_WORDS: Readonly<Record<string, string>> = {
  none: 'without a token',
  unknown: 'with an unknown token',
  expired: 'expired',
  revoked: 'revoked',
  role: 'the role does not take it',
};

function droppedText({ stages, parts }: EventOf<'stage.dropped'>): string {
  const which = stages === undefined ? 'all stages' : stagesText(stages);
  return parts === 'state' ? `optimiser state and head of ${which}` : which;
}

function memberText(member: { workerId: string; shardFirst: number; shardCount: number }): string {
  return `${member.workerId} [${member.shardFirst}..${member.shardFirst + member.shardCount - 1}]`;
}

function skippedText(skipped: Skipped | undefined): string {
  if (skipped === undefined) return '';
  const others = skipped.count > 1 ? ', ...' : '';
  return `; ${skipped.count} draws passed over (${skipped.firstReason}${others})`;
}

function ordinal(n: number): string {
  const tail = n % 100 >= 11 && n % 100 <= 13 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th');
  return `${n}${tail}`;
}
