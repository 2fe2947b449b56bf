// The core: (state, input, what is observed) -> events, the state they lead to, effects, and the answer for a
// caller. Pure: it reads no clock, sends nothing and keeps nothing. Effects may leave only once the events
// are on disk. An input that is refused throws a FleetError and leaves no trace.
//
// Decides what each kind of input does by itself; what follows from that is the same whatever the input was,
// and is settled after it.

import { isDeepStrictEqual } from 'node:util';
import { FleetError } from '../../core/errors.ts';
import { costsOfRun } from '../../core/nn/space.ts';
import type { Event } from '../model/events.ts';
import { workWithId } from '../model/find.ts';
import type { Observed } from '../model/observed.ts';
import { lookup } from '../model/persistent-map.ts';
import {
  hasEnded,
  hasGang,
  planWith,
  type RunState,
  runOf,
  type State,
  sweepWith,
  trialWith,
  wholeRunWith,
  workerWith,
} from '../model/state.ts';
import { assertPossible } from '../scheduling/requirement.ts';
import { noteAll } from './agenda.ts';
import { lookAhead, noteAssigned } from './ahead.ts';
import { endSpent } from './budgets.ts';
import { createDesk, type Desk } from './desk.ts';
import { beginDraft, type Draft, emit, nextId, send } from './draft.ts';
import { collapseOf, foundAt } from './found.ts';
import { endRun, leaveGang, reconcileLeases, runsHeldBy } from './gangs.ts';
import { importTeacher, takeStage } from './imports.ts';
import type { Answer, CheckedDocument, Effect, Input, Report, WorkerHello } from './inputs.ts';
import { failRun, loseWorker } from './lost-workers.ts';
import { takeScores } from './moves.ts';
import { beginPausing, pause, prioritise, takePause } from './pauses.ts';
import { needsOf } from './pupils.ts';
import { assertWithinQuota } from './quotas.ts';
import { remove } from './removal.ts';
import { resume } from './resume.ts';
import { isOnlyStage } from './retaining.ts';
import { compareResults, fleetOf, type Needs, reuse, standsFor } from './reuse.ts';
import { balance, endPauses, place, settle } from './settle.ts';
import { recordSpec } from './specs.ts';
import { dropMissing, dropStages, judgeDamage, keepStage } from './stages.ts';
import { cancelSweep, lagAtSubmit } from './sweeps.ts';
import { namedTeacher, planWithTeacher, searchWithTeacher } from './teachers.ts';
import { noteTokens } from './tokens.ts';
import { planWithStartById, startAtSubmit, withStartById } from './warm-start.ts';
import { countSlice } from './worker-time.ts';

/** What follows from an input. */
export interface Decision {
  /** The state with the events. */
  readonly state: State;
  readonly events: readonly Event[];
  readonly effects: readonly Effect[];
  readonly answer?: Answer;
}

/** Decides one input by itself, with everything that follows from it, up to who is placed where. */
export function step(state: State, input: Input, context: Observed, desk: Desk = createDesk()): Decision {
  const decided = decideInput(state, input, context, desk);
  const placed = placeRuns(decided.state, context, desk, input.kind === 'tick');
  return {
    ...decided,
    state: placed.state,
    events: [...decided.events, ...placed.events],
    effects: [...decided.effects, ...placed.effects],
  };
}

/** Decides one input and what follows from it, except where runs are placed. */
export function decideInput(state: State, input: Input, context: Observed, desk: Desk): Decision {
  const draft = beginDraft(state, context, desk);
  draft.by = input.by;
  const answer = decide(draft, input);
  draft.by = undefined;
  settle(draft);
  return { ...decisionOf(draft), ...(answer ? { answer: answer() } : {}) };
}

/** Goes on with the proposals that were put off. */
export function decideProposals(state: State, context: Observed, desk: Desk): Decision {
  const draft = beginDraft(state, context, desk);
  for (const sweep of desk.proposing.keys()) draft.agenda.sweeps.add(sweep);
  if (desk.looksAtAll) noteAll(draft.agenda, state);
  desk.looksAtAll = false;
  settle(draft);
  return decisionOf(draft);
}

/** Places runs; at a beat shards are moved too. */
export function placeRuns(state: State, context: Observed, desk: Desk, isBeat: boolean): Decision {
  const draft = beginDraft(state, context, desk);
  if (isBeat) endPauses(draft);
  while (place(draft)) settle(draft);
  if (isBeat) balance(draft);
  noteAssigned(draft);
  if (isBeat) lookAhead(draft);
  return decisionOf(draft);
}

function decisionOf({ state, events, effects }: Draft): Decision {
  return { state, events, effects };
}

/** Returns a function where there is a caller: its answer is made after all that follows has been decided. */
function decide(draft: Draft, input: Input): (() => Answer) | undefined {
  switch (input.kind) {
    case 'started':
      emit(draft, { kind: 'coordinator.started', epoch: draft.state.epoch + 1, version: input.version });
      return undefined;
    case 'submit':
      return submit(draft, input);
    case 'cancel':
      return cancel(draft, input);
    case 'resume':
      return resume(draft, input);
    case 'pause':
      return pause(draft, input);
    case 'prioritise':
      prioritise(draft, input);
      return undefined;
    case 'drain':
      drainByRequest(draft, input);
      return undefined;
    case 'keep':
      keepStage(draft, input);
      return undefined;
    case 'drop':
      dropStages(draft, input);
      return undefined;
    case 'remove':
      remove(draft, input);
      return undefined;
    case 'mended':
      judgeDamage(draft, input);
      return undefined;
    case 'import':
      return importTeacher(draft, input);
    case 'imported':
      takeStage(draft, input);
      return undefined;
    case 'scored':
      takeScores(draft, input);
      return undefined;
    case 'collected': {
      const { manifests, chunks, bytes } = input;
      emit(draft, { kind: 'store.collected', manifests, chunks, bytes });
      return undefined;
    }
    case 'attached':
      attach(draft, input.hello, input.goneAtMs);
      return undefined;
    case 'reported':
      takeReport(draft, input);
      if (input.sequence > 0) send(draft, input.workerId, { kind: 'acknowledge', sequence: input.sequence });
      return undefined;
    case 'lost':
      loseWorker(draft, input);
      return undefined;
    case 'leaving':
      leave(draft, input);
      return undefined;
    case 'staying':
      stay(draft, input);
      return undefined;
    case 'exported': {
      const { runId, stage, format } = input;
      emit(draft, { kind: 'run.exported', runId, stage, format });
      return undefined;
    }
    case 'tokens':
      noteTokens(draft, input.tokens);
      return undefined;
    case 'configured': {
      configure(draft, input);
      return undefined;
    }
    case 'refusals': {
      const { refusals, others } = input;
      emit(draft, { kind: 'calls.refused', refusals, others });
      return undefined;
    }
    case 'tick':
      endSpent(draft);
      return undefined;
  }
}

/** What is in force already is not journalled again. */
function configure(draft: Draft, input: Extract<Input, { kind: 'configured' }>): void {
  const { usageHalfLifeMs, quotas, workerKinds = [] } = input;
  const { state } = draft;
  const { usageHalfLifeMs: knownMs, quotas: known, workerKinds: knownKinds } = state;
  if (isDeepStrictEqual([usageHalfLifeMs, quotas, workerKinds], [knownMs, known, knownKinds])) return;
  const kinds = workerKinds.length === 0 ? {} : { workerKinds };
  emit(draft, { kind: 'scheduling.configured', usageHalfLifeMs, quotas, ...kinds });
}

function submit(draft: Draft, input: Extract<Input, { kind: 'submit' }>): () => Answer {
  const { documents, request } = input;
  const known = request && lookup(draft.state.submissions.byKey, request.id);
  if (known !== undefined) {
    if (known.digest !== request?.digest)
      throw new FleetError(
        'alreadyExists',
        `request_id: ${JSON.stringify(request?.id)} was used for another text before; a repeated call must repeat the text, and a new one needs a new id`,
      );
    const { planIds, sweepIds, runIds } = known;
    return () => ({ kind: 'submitted', planIds, sweepIds, runIds });
  }
  for (const { spec } of documents) {
    assertWithinQuota(draft.state, spec, input.by);
    assertPossible(draft.state, spec);
  }
  const planIds: string[] = [];
  const sweepIds: string[] = [];
  const runIds: string[] = [];
  // Teachers first, so that whoever learns from one may stand before it in the text.
  const rank = (document: CheckedDocument) =>
    document.kind === 'run' && document.spec.kind === 'teacher' ? 0 : 1;
  const teachers = new Map<string, string>();
  for (const document of [...documents].sort((a, b) => rank(a) - rank(b))) {
    if (document.kind === 'plan') {
      const planId = nextId(draft.state, 'plan');
      const { yaml, facts } = document;
      const taught = planWithTeacher(fleetOf(draft), document, teachers);
      const spec = recordSpec(draft, planWithStartById(draft.state, taught));
      emit(draft, { kind: 'plan.submitted', planId, spec, yaml, facts });
      planIds.push(planId);
    } else if (document.kind === 'sweep') {
      const sweepId = nextId(draft.state, 'sweep');
      const { data } = document.spec;
      const taught = searchWithTeacher(fleetOf(draft), { ...document, data }, teachers);
      const spec = withStartById(draft.state, taught);
      const teacherRunId = spec.evaluation.distillation?.teacher;
      emit(draft, {
        kind: 'sweep.submitted',
        sweepId,
        spec: recordSpec(draft, spec),
        facts: document.facts,
        ...(teacherRunId === undefined ? {} : { teacherRunId }),
        ...lagAtSubmit(draft, spec),
        ...startAtSubmit(draft.state, spec),
      });
      sweepIds.push(sweepId);
    } else {
      const runId = createRun(draft, document, teachers, needsOf(fleetOf(draft), document, documents));
      if (document.spec.kind === 'teacher') teachers.set(document.spec.name, runId);
      runIds.push(runId);
    }
  }
  if (request !== undefined)
    emit(draft, {
      kind: 'submission.taken',
      ...{ requestId: request.id, digest: request.digest, planIds, sweepIds, runIds },
    });
  return () => ({ kind: 'submitted', planIds, sweepIds, runIds });
}

function createRun(
  draft: Draft,
  document: Extract<CheckedDocument, { kind: 'run' }>,
  teachers: ReadonlyMap<string, string>,
  needs: readonly Needs[],
): string {
  const { spec, facts } = document;
  const runId = nextId(draft.state, 'run');
  const { distillation, training } = spec;
  const learns =
    distillation &&
    namedTeacher(fleetOf(draft), {
      ...{ distillation, epochs: training.epochs, teachers },
      asking: (learns) => ({ spec: { ...spec, distillation: learns }, facts }),
    });
  const teacherRunId = learns?.teacher;
  const whole = learns === undefined ? spec : { ...spec, distillation: learns };
  emit(draft, {
    kind: 'run.created',
    runId,
    spec: recordSpec(draft, whole),
    facts,
    costs: costsOfRun(spec, facts),
    reason: 'submitted',
    ...(teacherRunId === undefined ? {} : { teacherRunId }),
  });
  reuse(draft, runId, { needs });
  return runId;
}

function cancel(draft: Draft, input: { id: string; reason: string }): () => Answer {
  const { id } = input;
  const reason = input.reason === '' ? 'by request' : input.reason;
  const before = draft.state;
  const thing = workWithId(before, id);
  if (!hasEnded(thing)) {
    const state = 'cancelled';
    if (planWith(before, id)) emit(draft, { kind: 'plan.ended', planId: id, state, reason });
    else if (sweepWith(before, id)) cancelSweep(draft, id, reason);
    else if (trialWith(before, id)) emit(draft, { kind: 'trial.ended', trialId: id, state, reason });
    else endRun(draft, runOf(draft.state, id), { kind: 'run.cancelled', runId: id, reason }, reason);
  }
  // What belongs to it is ended by settle(), the same as after a coordinator that was killed right here.
  return () => ({ kind: 'cancelled', ids: draft.events.flatMap(cancelledBy) });
}

function cancelledBy(event: Event): string[] {
  if (event.kind === 'run.cancelled') return [event.runId];
  if (event.kind === 'trial.ended' && event.state === 'cancelled') return [event.trialId];
  if (event.kind === 'sweep.ended' && event.state === 'cancelled') return [event.sweepId];
  if (event.kind === 'plan.ended' && event.state === 'cancelled') return [event.planId];
  return [];
}

function attach(draft: Draft, hello: WorkerHello, goneAtMs: number | undefined): void {
  const { leases, ageSeconds, device, ...facts } = hello;
  const { devices = [] } = device ?? {};
  const age =
    ageSeconds === undefined ? {} : { startedAtMs: Math.round(draft.context.now - 1000 * ageSeconds) };
  const known = workerWith(draft.state, hello.workerId);
  const restarted = known !== undefined && known.incarnation !== hello.incarnation;
  if (restarted)
    loseWorker(draft, {
      workerId: known.id,
      incarnation: known.incarnation,
      cause: 'restarted',
      reason: `process ${known.pid} is gone: ${hello.workerId} came back as process ${hello.pid}`,
      ...(goneAtMs === undefined ? {} : { goneAtMs }),
    });
  if (known === undefined || restarted || known.state === 'lost')
    emit(draft, {
      kind: 'worker.attached',
      ...facts,
      ...(device === undefined ? {} : { memoryBytes: device.memoryBytes }),
      ...(devices.length > 1 ? { deviceCount: devices.length } : {}),
      ...age,
      reason: known === undefined ? 'new' : restarted ? 'restarted' : 'came back after it was declared lost',
    });
  send(draft, hello.workerId, { kind: 'welcome', incarnation: hello.incarnation });
  reconcileLeases(draft, hello.workerId, leases);
}

function takeReport(
  draft: Draft,
  { workerId, incarnation, report }: { workerId: string; incarnation: string; report: Report },
): void {
  switch (report.kind) {
    case 'checkpointStored': {
      const run = wholeRunWith(draft.state, report.runId);
      // A report of an old generation counts too: what is stored is stored, and equal stages hold equal
      // bytes.
      if (run === undefined || run.checkpoints.some(({ stage }) => stage === report.stage)) return;
      const { evaluation, search, ...stored } = report;
      const isWanted = evaluation !== undefined && run.evaluateStages?.includes(report.stage) === true;
      emit(draft, {
        ...{ ...stored, kind: 'run.checkpointed', workerId },
        ...(isWanted ? { evaluation } : {}),
        ...(isOnlyStage(draft.state, run, report.stage) ? { isOnlyStage: true as const } : {}),
        ...(search === undefined ? {} : { found: foundAt(run, report.stage, search) }),
      });
      endCollapsed(draft, report, workerId);
      return;
    }
    case 'stagesMissing': {
      const run = currentRun(draft.state, workerId, report);
      if (run) dropMissing(draft, run, { newest: report.newest, workerId });
      return;
    }
    case 'paused': {
      const run = currentRun(draft.state, workerId, report);
      if (run?.state === 'pausing') takePause(draft, run, { ...report, workerId });
      return;
    }
    case 'finished': {
      const run = currentRun(draft.state, workerId, report);
      if (run === undefined) return;
      const before = standsFor(draft.state, run);
      endRun(draft, run, { ...report, kind: 'run.finished', workerId }, 'finished');
      compareResults(draft, run.id, before);
      return;
    }
    case 'halted': {
      const run = currentRun(draft.state, workerId, report);
      if (run)
        endRun(draft, run, { ...report, kind: 'run.halted', workerId }, `halted at stage ${report.stage}`);
      return;
    }
    case 'failed': {
      const run = currentRun(draft.state, workerId, report);
      if (run) failRun(draft, run, { ...report, workerId });
      return;
    }
    case 'timeSpent':
      countSlice(draft, { workerId, incarnation, slice: report.slice });
      return;
    case 'draining':
      drainWorker(draft, workerId, 'told to stop; gives its runs to others');
      return;
    case 'released':
      return;
  }
}

/** Ends a search whose normal cell has collapsed with the stage that was stored: that one is its result. */
function endCollapsed(
  draft: Draft,
  { runId, step, weightsDigest = '' }: Extract<Report, { readonly kind: 'checkpointStored' }>,
  workerId: string,
): void {
  const run = wholeRunWith(draft.state, runId);
  if (run === undefined || hasEnded(run)) return;
  const stopped = collapseOf(run);
  if (stopped === undefined) return;
  const ended = { runId, generation: run.generation, workerId, step, weightsDigest, stopped };
  endRun(draft, run, { kind: 'run.finished', ...ended }, stopped);
}

/**
 * The worker gets nothing new, and what it holds goes on without it: what it holds alone from the step that it stores.
 */
function drainWorker(draft: Draft, workerId: string, reason: string, byRequest = false): void {
  const worker = workerWith(draft.state, workerId);
  // The end of a process takes the place of a request, and a request that of one with another reason.
  const replaces = worker?.drainsByRequest === true && (!byRequest || worker.reason !== reason);
  if (worker?.state !== 'attached' && !replaces) return;
  emit(draft, { kind: 'worker.draining', workerId, reason, ...(byRequest ? { byRequest: true } : {}) });
  const drains = `${workerId} drains`;
  for (const run of runsHeldBy(draft.state, workerId)) {
    const isAlone = run.gang.length === 1;
    if (isAlone && (run.state === 'pausing' || beginPausing(draft, run, { reason: drains }))) continue;
    leaveGang(draft, run, { workerId, reason: drains, gone: false });
  }
}

function leave(draft: Draft, input: Extract<Input, { kind: 'leaving' }>): void {
  const { workerId, incarnation, reason, mayStay = false } = input;
  const worker = workerWith(draft.state, workerId);
  if (worker?.incarnation !== incarnation || (mayStay && worker.state !== 'attached')) return;
  drainWorker(draft, workerId, reason, mayStay);
}

function stay(draft: Draft, { workerId, incarnation, reason }: Extract<Input, { kind: 'staying' }>): void {
  const worker = workerWith(draft.state, workerId);
  if (worker?.incarnation === incarnation && worker.state === 'draining' && worker.drainsByRequest)
    emit(draft, { kind: 'worker.undrained', workerId, reason });
}

/** Takes a worker out of placement, or gives it back; once more changes nothing. */
function drainByRequest(draft: Draft, input: Extract<Input, { kind: 'drain' }>): void {
  const { workerId, undo } = input;
  const worker = workerWith(draft.state, workerId);
  const reason = input.reason === '' ? 'by request' : input.reason;
  if (worker === undefined || worker.state === 'lost')
    throw new FleetError('notFound', `${workerId} is no worker that is there; see \`pocketfleet workers\``);
  if (!undo) {
    drainWorker(draft, workerId, reason, true);
    return;
  }
  if (worker.state === 'attached') return;
  if (!worker.drainsByRequest)
    throw new FleetError(
      'failedPrecondition',
      `${workerId} drains because its process ends (${worker.reason})`,
    );
  emit(draft, { kind: 'worker.undrained', workerId, reason });
}

/**
 * The run that a report is about, if this worker holds it in this generation; otherwise the report is old and
 * void.
 */
function currentRun(
  state: State,
  workerId: string,
  report: { runId: string; generation: number },
): RunState | undefined {
  const run = wholeRunWith(state, report.runId);
  const current =
    run !== undefined &&
    hasGang(run) &&
    run.generation === report.generation &&
    run.gang.some((member) => member.workerId === workerId);
  return current ? run : undefined;
}
