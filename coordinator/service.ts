// FleetService: what people and scripts call. Turns requests into inputs and the state into messages; decides nothing that
// lasts. Every failure is a FleetError and leaves as its gRPC status with its own sentence.

import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';
import type { Clock } from '../core/clock.ts';
import { FleetError } from '../core/errors.ts';
import { exportFormat } from '../core/model/export-format.ts';
import { toStatus } from '../core/net/grpc-status.ts';
import { writeAll } from '../core/net/grpc-stream.ts';
import { canonicalJson } from '../core/spec.ts';
import type { Decision, FleetServiceServer, WhyResponse } from '../proto/gen/pocketfleet/v1/fleet.ts';
import type { Driver } from './driver.ts';
import { byObjective } from './evolve.ts';
import type { Answer } from './inputs.ts';
import type { Journal } from './journal.ts';
import { ledgerOf } from './ledger.ts';
import type { Links } from './links.ts';
import type { Observed } from './observed.ts';
import type { ProgressBoard } from './progress.ts';
import type { Records } from './records.ts';
import type { Replayer } from './replayer.ts';
import { schedule } from './scheduler.ts';
import { inOrder, type RunState } from './state.ts';
import type { SubmissionReader } from './submission-reader.ts';
import { checkSubmission } from './submit.ts';
import { lookup } from './table.ts';
import type { Verifier } from './verifier.ts';
import {
  checkpointViews,
  planView,
  runView,
  sweepView,
  trialView,
  type ViewContext,
  workerView,
} from './views.ts';
import { select, watch } from './watch.ts';
import { concerned, isAbout, sentenceOf } from './why.ts';

export interface ServiceParts {
  readonly driver: Driver;
  readonly journal: Journal;
  readonly links: Links;
  readonly progress: ProgressBoard;
  readonly records: Records;
  readonly verifier: Verifier;
  readonly replayer: Replayer;
  readonly submissions: SubmissionReader;
  readonly observe: () => Observed;
  readonly clock: Clock;
  /** A text was refused or taken. */
  readonly onSubmission: (outcome: 'ok' | 'refused') => void;
}

/** A verification that was not given a deadline by its caller; a worker may have to finish a kernel first. */
const VERIFY_MS_MAX = 600_000;
const LEADERBOARD_DEFAULT = 20;

export function createFleetService(parts: ServiceParts): FleetServiceServer {
  const { driver, records } = parts;
  const context = () => viewContext(parts);
  return {
    submit: unary(
      async (request, call) => {
        const answer = await submit(parts, request, goneSignal(call));
        parts.onSubmission('ok');
        return answer;
      },
      () => parts.onSubmission('refused'),
    ),
    listPlans: unary(() => ({ plans: inOrder(driver.state.plans).map(planView) })),
    listSweeps: unary(() => {
      const view = context();
      return { sweeps: inOrder(driver.state.sweeps).map((sweep) => sweepView(view, sweep)) };
    }),
    listTrials: unary(({ sweepId }) => ({ trials: trialsOf(parts, sweepId).map(trialView) })),
    leaderboard: unary(({ sweepId, limit }) => {
      const done = trialsOf(parts, sweepId).filter((trial) => trial.state === 'done');
      const trials = done.sort(byObjective).slice(0, limit === 0 ? LEADERBOARD_DEFAULT : limit);
      return { trials: trials.map(trialView) };
    }),
    listRuns: unary(({ planId, sweepId }) => {
      const view = context();
      if (planId !== '' || sweepId !== '') select(view, { planId, sweepId, runId: '' });
      const wanted = (run: RunState) =>
        (planId === '' || run.planId === planId) && (sweepId === '' || run.sweepId === sweepId);
      return {
        runs: inOrder(driver.state.runs)
          .filter(wanted)
          .map((run) => runView(view, run)),
      };
    }),
    listWorkers: unary(() => {
      const view = context();
      return { workers: [...driver.state.workers.values()].map((worker) => workerView(view, worker)) };
    }),
    listCheckpoints: unary(({ runId }) => {
      runNamed(parts, runId);
      return { checkpoints: checkpointViews(driver.state, runId) };
    }),
    watch: streaming((request, signal) =>
      watch({
        request,
        context,
        journalSequence: () => parts.journal.sequence,
        now: parts.clock.now,
        onChange: driver.onChange,
        signal,
      }),
    ),
    logs: streaming((request, signal) => {
      if (request.runId !== '') runNamed(parts, request.runId);
      else if (request.workerId === '')
        throw new FleetError('invalidArgument', 'run_id or worker_id: one of them must say whose lines');
      if (!Number.isSafeInteger(request.afterSequence) || request.afterSequence < 0)
        throw new FleetError('invalidArgument', 'after_sequence: a whole number from 0 on is expected');
      return records.logs({ ...request, signal });
    }),
    history: streaming(async function* ({ runId }) {
      runNamed(parts, runId);
      yield* await records.history(runId);
    }),
    cancel: unary(async ({ id, reason }) => {
      const answer = await driver.submit({ kind: 'cancel', id, reason });
      return { cancelledIds: [...answered(answer, 'cancelled').ids] };
    }),
    verify: unary(async ({ runId, stage, setPath }, call) => {
      const run = runNamed(parts, runId);
      const known = stage === 0 ? run.checkpoints.at(-1) : run.checkpoints.find((c) => c.stage === stage);
      if (known === undefined)
        throw new FleetError(
          'failedPrecondition',
          `${runId} has no checkpoint${stage === 0 ? ' yet' : ` of stage ${stage}`}; it is ${run.state}`,
        );
      const request = { runId, stage: known.stage, specJson: canonicalJson(run.spec), setPath };
      return { report: await parts.verifier.verify(request, remainingMs(parts, call), goneSignal(call)) };
    }),
    getEvaluation: unary(({ runId }) => records.evaluation(runNamed(parts, runId))),
    export: streaming(({ runId, stage, format }) =>
      records.exported(runNamed(parts, runId), stage, exportFormat(format)),
    ),
    getLedger: unary(({ runId }) => ledgerOf(parts.journal, runNamed(parts, runId))),
    replay: streaming((request, signal) =>
      parts.replayer.replay(runNamed(parts, request.runId), request, signal),
    ),
    why: unary(({ id }) => why(parts, id)),
  };
}

function viewContext(parts: ServiceParts): ViewContext {
  const { driver, links } = parts;
  const { waiting } = schedule(driver.state, parts.observe());
  return { state: driver.state, progress: parts.progress, waiting, lastSeenMs: links.lastSeenMs };
}

async function submit(
  parts: ServiceParts,
  request: { yaml: string; baseDir: string; dryRun: boolean; overrides: Record<string, string> },
  signal: AbortSignal,
) {
  const documents = await checkSubmission(request, () => parts.driver.state, {
    reader: parts.submissions,
    signal,
  });
  if (request.dryRun) return { planIds: [], sweepIds: [], runIds: [] };
  const { planIds, sweepIds, runIds } = answered(
    await parts.driver.submit({ kind: 'submit', documents }),
    'submitted',
  );
  return { planIds: [...planIds], sweepIds: [...sweepIds], runIds: [...runIds] };
}

function answered<K extends Answer['kind']>(
  answer: Answer | undefined,
  kind: K,
): Extract<Answer, { kind: K }> {
  if (answer?.kind !== kind)
    throw new Error(`assertion: the core answered ${answer?.kind} instead of ${kind}`);
  return answer as Extract<Answer, { kind: K }>;
}

function runNamed(parts: ServiceParts, id: string): RunState {
  const run = lookup(parts.driver.state.runs, id);
  if (run === undefined) throw new FleetError('notFound', `${JSON.stringify(id)} is no run of this fleet`);
  return run;
}

function trialsOf(parts: ServiceParts, sweepId: string) {
  if (lookup(parts.driver.state.sweeps, sweepId) === undefined)
    throw new FleetError('notFound', `${JSON.stringify(sweepId)} is no sweep of this fleet`);
  return inOrder(parts.driver.state.trials).filter((trial) => trial.sweepId === sweepId);
}

async function why(parts: ServiceParts, id: string): Promise<WhyResponse> {
  const { state } = parts.driver;
  const ids = concerned(state, id);
  if (ids === undefined)
    throw new FleetError(
      'notFound',
      `${JSON.stringify(id)} is no plan, sweep, trial, run or worker of this fleet`,
    );
  const decisions: Decision[] = [];
  let sequence = 0;
  for await (const event of parts.journal.read()) {
    sequence += 1;
    if (isAbout(event, ids))
      decisions.push({ sequence, atMs: event.atMs, event: event.kind, text: sentenceOf(event) });
  }
  const { waiting } = viewContext(parts);
  // What waits has no event of its own while it does; its reason now belongs to the story.
  for (const [runId, reason] of waiting)
    if (ids.has(runId))
      decisions.push({ sequence, atMs: parts.clock.now(), event: 'now', text: `${runId} is ${reason}` });
  return { decisions };
}

function remainingMs(parts: ServiceParts, call: ServerUnaryCall<unknown, unknown>): number {
  const deadline = call.getDeadline();
  const atMs = deadline instanceof Date ? deadline.getTime() : deadline;
  return Number.isFinite(atMs) ? Math.max(0, atMs - parts.clock.now()) : VERIFY_MS_MAX;
}

function unary<Request, Response>(
  handle: (request: Request, call: ServerUnaryCall<Request, Response>) => Response | Promise<Response>,
  onFailure?: () => void,
) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
    // An async wrapper, so that what is thrown at once and what is rejected later leave by the same door.
    (async () => handle(call.request, call))().then(
      (response) => callback(null, response),
      (caught) => {
        onFailure?.();
        callback(toStatus(caught));
      },
    );
  };
}

/** Aborted when the caller has gone or its deadline has passed. */
function goneSignal(call: {
  readonly cancelled: boolean;
  on(event: 'cancelled', listener: () => void): unknown;
}) {
  const gone = new AbortController();
  if (call.cancelled) gone.abort();
  call.on('cancelled', () => gone.abort());
  return gone.signal;
}

function streaming<Request, Response>(
  handle: (request: Request, signal: AbortSignal) => AsyncIterable<Response>,
) {
  return (call: ServerWritableStream<Request, Response>): void => {
    const gone = goneSignal(call);
    (async () => writeAll(call, handle(call.request, gone)))().then(
      () => call.end(),
      (caught) => {
        if (!gone.aborted) call.emit('error', toStatus(caught));
      },
    );
  };
}
