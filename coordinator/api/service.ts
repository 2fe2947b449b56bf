// FleetService: what people and scripts call. Turns requests into inputs of the core, and the state into
// messages; decides nothing that lasts. Every failure is a FleetError, and leaves as its gRPC status with its
// own sentence.

import type { Metadata, ServerUnaryCall } from '@grpc/grpc-js';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { exportFormat } from '../../core/model/export-format.ts';
import { goneSignal, streaming, unary } from '../../core/net/grpc-handlers.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { NOUNS, type Noun } from '../../core/text/naming.ts';
import type {
  FindResponse,
  FleetServiceServer,
  JournalMessage,
} from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { runsHeldBy } from '../decisions/gangs.ts';
import type { Input } from '../decisions/inputs.ts';
import { assertRemovable } from '../decisions/removal.ts';
import { assertDroppable, stageToRead } from '../decisions/stages.ts';
import type { Driver } from '../journal/driver.ts';
import { shownEvents } from '../journal/formats/reader.ts';
import type { Journal } from '../journal/journal.ts';
import type { JournalImport } from '../journal/journal-import.ts';
import type { StoredMessage } from '../journal/journal-reader.ts';
import type { JournalRepair } from '../journal/journal-repair.ts';
import { decodeGroup, digestOf, isForeign } from '../journal/message.ts';
import type { Caller } from '../model/caller.ts';
import { find, idOf, theOne } from '../model/find.ts';
import { optional } from '../model/folding.ts';
import { planOf, sweepOf, trialOf, workerWith } from '../model/state.ts';
import { waitsOf } from '../scheduling/waits.ts';
import type { Links } from '../workers/links.ts';
import type { Replayer } from '../workers/replayer.ts';
import type { TimeBoard } from '../workers/time-board.ts';
import type { Verifier } from '../workers/verifier.ts';
import { answered } from './answered.ts';
import { type Artefacts, runIdsOf } from './artefacts.ts';
import { checkSubmission } from './check-submission.ts';
import { goodput } from './goodput.ts';
import { inspectionProgress } from './inspection-progress.ts';
import { createLeaderboards } from './leaderboards.ts';
import {
  leaderboard,
  listCheckpoints,
  listPlans,
  listRuns,
  listSweeps,
  listTrials,
  listWorkers,
} from './lists.ts';
import { computedRun, type RunParts, runNamed, storedUnder } from './named-run.ts';
import type { Records } from './records.ts';
import { ledgerOf } from './run-ledger.ts';
import { type SubmitParts, submit } from './submit-call.ts';
import type { TeacherImports } from './teacher-files.ts';
import {
  planView,
  runView,
  type StoreView,
  storeView,
  sweepView,
  trialView,
  type ViewContext,
  workerView,
} from './views.ts';
import { createWatches } from './watch.ts';
import { why } from './why.ts';

/** What the service calls on. */
export interface ServiceParts extends SubmitParts, RunParts {
  readonly driver: Driver;
  readonly journal: Journal;
  readonly links: Links;
  readonly times: TimeBoard;
  readonly records: Records;
  readonly verifier: Verifier;
  readonly replayer: Replayer;
  readonly artefacts: Artefacts;
  readonly teacherImports: TeacherImports;
  /** Keeps what these runs have stored from being removed until the returned function is called. */
  readonly reading: (runIds: readonly string[]) => () => void;
  readonly repair: JournalRepair;
  readonly journalImport: JournalImport;
  /** A journal was imported, which the next start of this coordinator begins with. */
  readonly onImported: () => void;
  readonly store: () => StoreView;
  /** Who makes a call, by its metadata; undefined where no call needs a token. */
  readonly principalOf: (metadata: Metadata) => Caller | undefined;
  readonly log: Logger;
  /** Called when a text was taken or refused. */
  readonly onSubmission: (outcome: 'ok' | 'refused') => void;
}

/**
 * Deadline of a verification whose caller gave none, milliseconds; a worker may have to finish a kernel
 * first.
 */
const VERIFY_MS_MAX = 600_000;

/** One handler for each call of FleetService. */
export function createFleetService(parts: ServiceParts): FleetServiceServer {
  const { driver, records } = parts;
  const context = () => contextOf(parts);
  const now = () => driver.state;
  const workNamed = (idOrName: string) => theOne(now(), idOrName, ['plan', 'sweep', 'trial', 'run']).id;
  const leaderboards = createLeaderboards();
  const watches = createWatches({
    context,
    journalSequence: () => parts.journal.sequence,
    clock: parts.clock,
    onChange: driver.onChange,
  });
  return {
    submit: unary(
      async (request, call) => {
        const answer = await submit(parts, request, { signal: goneSignal(call), ...callerOf(parts, call) });
        parts.onSubmission('ok');
        return answer;
      },
      () => parts.onSubmission('refused'),
    ),
    importTeacher: unary((request, call) => parts.teacherImports.begin(request, callerOf(parts, call).by)),
    importStage: unary(async (request, call) => ({
      stored: await parts.teacherImports.take(request, callerOf(parts, call).by),
    })),
    inspect: streaming((request, signal, call) =>
      inspectionProgress(parts.inspector, signal, (inspect) =>
        checkSubmission(request, now, {
          ...{ reader: parts.submissions, inspect, signal },
          imageRowsBytes: parts.desk.board.observed.imageRowsBytes,
          pools: () => parts.desk.board.pools.all(),
          ...callerOf(parts, call),
        }),
      ),
    ),
    find: unary(({ idOrName, kinds }) => found(parts, idOrName, kinds)),
    getPlan: unary(({ id }) => planView(planOf(now(), idOf(now(), 'plan', id)))),
    getSweep: unary(({ id }) =>
      sweepView(context(), sweepOf(now(), idOf(now(), 'sweep', id)), { spec: true }),
    ),
    getTrial: unary(({ id }) => trialView(now(), trialOf(now(), idOf(now(), 'trial', id)))),
    getRun: unary(async ({ id }) => runView(context(), await runNamed(parts, id), { spec: true })),
    getWorker: unary(({ id }) => workerView(context(), workerWith(now(), idOf(now(), 'worker', id))!)),
    getGoodput: unary(({ id }) =>
      goodput({ state: now(), times: parts.times, nowMs: parts.clock.now() }, id),
    ),
    listPlans: unary((request) => listPlans(context(), request)),
    listSweeps: unary((request) => listSweeps(context(), request)),
    listTrials: unary((request) => listTrials(context(), request)),
    leaderboard: unary((request) => leaderboard(context(), request, leaderboards)),
    listRuns: unary((request) => listRuns(context(), request)),
    listWorkers: unary((request) => listWorkers(context(), request)),
    listCheckpoints: unary(async (request) =>
      listCheckpoints(await computedRun(parts, request.runId), request),
    ),
    watch: streaming(watches.watch),
    logs: streaming((request, signal) => {
      if (request.runId === '' && request.workerId === '')
        throw new FleetError('invalidArgument', 'run_id or worker_id: one of them must say whose lines');
      const runId = request.runId === '' ? '' : storedUnder(now(), idOf(now(), 'run', request.runId));
      return records.logs({ ...request, runId, signal });
    }),
    history: streaming(async function* ({ runId }) {
      yield* await records.history(storedUnder(now(), idOf(now(), 'run', runId)));
    }),
    cancel: unary(async ({ id: idOrName, reason }, call) => {
      const id = workNamed(idOrName);
      const answer = await driver.submit({ kind: 'cancel', id, reason, ...callerOf(parts, call) });
      return { cancelledIds: [...answered(answer, 'cancelled').ids] };
    }),
    resume: unary(async ({ id: idOrName, reason }, call) => {
      const id = workNamed(idOrName);
      const answer = await driver.submit({ kind: 'resume', id, reason, ...callerOf(parts, call) });
      return { resumedIds: [...answered(answer, 'resumed').ids] };
    }),
    pause: unary(async ({ id: idOrName, reason }, call) => {
      const id = workNamed(idOrName);
      const answer = await driver.submit({ kind: 'pause', id, reason, ...callerOf(parts, call) });
      return { pausedIds: [...answered(answer, 'paused').ids] };
    }),
    prioritise: unary(async ({ id: idOrName, priority, reason }, call) => {
      const id = workNamed(idOrName);
      await driver.submit({ kind: 'prioritise', id, priority, reason, ...callerOf(parts, call) });
      return {};
    }),
    drain: unary(async ({ workerId: idOrName, undo = false, reason }, call) => {
      const workerId = idOf(now(), 'worker', idOrName);
      const runIds = runsHeldBy(now(), workerId).map(({ id }) => id);
      await driver.submit({ kind: 'drain', workerId, undo, reason, ...callerOf(parts, call) });
      return { runIds };
    }),
    verify: unary(async ({ runId: idOrName, stage, setPath }, call) => {
      const run = await computedRun(parts, idOrName);
      if (run.job.imported !== undefined && setPath === '')
        throw new FleetError(
          'failedPrecondition',
          `${run.id} comes from files (${run.job.imported.from}), which name no people to verify it on; name a set with --set`,
        );
      const read = { runId: run.id, stage: stageToRead(run, stage) };
      const request = {
        ...{ ...read, specJson: canonicalJson(run.spec), setPath },
        ...optional('dataDigest', run.facts.digest),
      };
      const release = parts.reading([run.id]);
      try {
        return { report: await parts.verifier.verify(request, remainingMs(parts, call), goneSignal(call)) };
      } finally {
        release();
      }
    }),
    getEvaluation: unary(async ({ runId }) => records.evaluation(await computedRun(parts, runId))),
    export: streaming(async function* ({ runId, stage, format, evenFailed = false }, _signal, call) {
      const run = await computedRun(parts, runId);
      const release = parts.reading([run.id]);
      try {
        const chosen = exportFormat(format);
        let isNoted = false;
        for await (const chunk of records.exported(run, stage, { format: chosen, evenFailed })) {
          const what = { runId: run.id, stage: stageToRead(run, stage), format: chosen };
          if (!isNoted) await noteExport(parts, { ...what, ...callerOf(parts, call) });
          isNoted = true;
          yield chunk;
        }
      } finally {
        release();
      }
    }),
    getLedger: unary(async (request) => {
      const run = await computedRun(parts, request.runId);
      if (run.job.imported !== undefined)
        throw new FleetError(
          'failedPrecondition',
          `${run.id} comes from files (${run.job.imported.from}) and was not trained here: there is nothing to prove or to compute again`,
        );
      return ledgerOf(parts.journal, run, request);
    }),
    replay: streaming(async function* (request, signal) {
      const run = await computedRun(parts, request.runId);
      const release = parts.reading(run.teacherRunId === undefined ? [run.id] : [run.id, run.teacherRunId]);
      try {
        yield* parts.replayer.replay(run, request, signal);
      } finally {
        release();
      }
    }),
    listArtefacts: unary((request) => parts.artefacts.list(now(), request)),
    keepCheckpoint: unary(async ({ runId: idOrName, stage, release, reason }, call) => {
      const runId = idOf(now(), 'run', idOrName);
      const by = callerOf(parts, call);
      await driver.submit({ kind: 'keep', runId, stage, keep: !release, reason, ...by });
      return {};
    }),
    deleteArtefacts: unary(async ({ runId: idOrName, stage, dryRun, reason }, call) => {
      const runId = idOf(now(), 'run', idOrName);
      const what = { runId, ...(stage === 0 ? {} : { stage }) };
      assertDroppable(now(), what);
      const bytes = await parts.artefacts.checkpointBytesOf(runId, what.stage);
      if (!dryRun) await driver.submit({ kind: 'drop', ...what, reason, ...callerOf(parts, call) });
      return { bytes };
    }),
    remove: unary(async ({ id: idOrName, reason, dryRun }, call) => {
      const id = workNamed(idOrName);
      assertRemovable(now(), id);
      const bytes = await parts.artefacts.bytesOf(runIdsOf(now(), id));
      if (!dryRun) await driver.submit({ kind: 'remove', id, reason, ...callerOf(parts, call) });
      return { removedId: id, bytes };
    }),
    why: unary((request) => why({ ...parts, board: parts.desk.board, context: context() }, request)),
    getStore: unary(() => storeView(parts.store())),
    checkJournal: unary(async () => {
      const { cuts, ...health } = await parts.repair.check();
      return { ...health, cuts: cuts.map((cut) => ({ ...cut })) };
    }),
    exportJournal: streaming(async function* ({ after, events }) {
      for await (const message of parts.repair.messagesAfter(after)) yield exportedMessage(message, events);
    }),
    importJournal: unary(async ({ after, messages, finish }, call) => {
      await parts.journalImport.take(after, messages);
      if (!finish) return { lastSequence: after + messages.length, journal: '' };
      const gathered = await parts.journalImport.finish(callerOf(parts, call).by);
      parts.onImported();
      return { ...gathered };
    }),
    truncateJournal: unary(async (request, call) => ({
      mark: await parts.repair.truncate({ ...request, ...callerOf(parts, call) }),
    })),
  };
}

function exportedMessage({ data, ...message }: StoredMessage, withEvents: boolean): JournalMessage {
  const group = withEvents ? decodeGroup(data) : undefined;
  const eventsJson = group === undefined || isForeign(group) ? '' : JSON.stringify(shownEvents(group));
  return { ...message, data: Buffer.from(data), digest: digestOf(data), eventsJson };
}

function contextOf(parts: ServiceParts): ViewContext {
  const { driver, links, progress, store } = parts;
  const { state } = driver;
  return {
    state,
    progress,
    lastSeenMs: links.lastSeenMs,
    deviceOf: links.deviceOf,
    connected: links.connected,
    waiting: waitsOf(parts.desk.board),
    store: store(),
    looked: (number) => parts.desk.proposing.get(number),
  };
}

function found(parts: ServiceParts, idOrName: string, kinds: readonly string[]): FindResponse {
  const unknown = kinds.find((kind) => !(NOUNS as readonly string[]).includes(kind));
  if (unknown !== undefined)
    throw new FleetError(
      'invalidArgument',
      `kinds: ${JSON.stringify(unknown)} is none of ${NOUNS.join(', ')}`,
    );
  const nouns = kinds.length === 0 ? NOUNS : (kinds as readonly Noun[]);
  const { found: things, total } = find(parts.driver.state, idOrName, nouns);
  return { found: things.map((thing) => ({ ...thing })), total };
}

/** Whose call it is, as inputs have it. */
function callerOf(
  { principalOf }: ServiceParts,
  { metadata }: { readonly metadata: Metadata },
): { readonly by?: Caller } {
  const by = principalOf(metadata);
  return by === undefined ? {} : { by };
}

/** Journals an export before its first byte leaves. A journal that takes nothing holds no export up. */
async function noteExport(
  { driver, log }: ServiceParts,
  exported: Omit<Extract<Input, { kind: 'exported' }>, 'kind'>,
): Promise<void> {
  try {
    await driver.submit({ kind: 'exported', ...exported });
  } catch (caught) {
    log.warn({ ...exported }, `an export is not in the journal: ${toFleetError(caught).message}`);
  }
}

function remainingMs(parts: ServiceParts, call: ServerUnaryCall<unknown, unknown>): number {
  const deadline = call.getDeadline();
  const atMs = deadline instanceof Date ? deadline.getTime() : deadline;
  return Number.isFinite(atMs) ? Math.max(0, atMs - parts.clock.now()) : VERIFY_MS_MAX;
}
