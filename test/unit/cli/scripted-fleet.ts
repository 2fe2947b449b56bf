// A FleetService on a real gRPC server whose answers a test writes down: what the CLI says and does can be tested without
// a coordinator. It checks the token as the real one does and remembers what was asked.

import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { FleetError } from '../../../core/errors.ts';
import { toStatus } from '../../../core/net/grpc-status.ts';
import { onlyOne } from '../../../core/text/naming.ts';
import {
  type EvaluationReport,
  type ExportChunk,
  type FleetServiceServer,
  FleetServiceService,
  type LogLine,
  type Plan,
  type Run,
  type Snapshot,
  type StepPoint,
  Store,
  type Sweep,
  type Trial,
  type Worker,
} from '../../../proto/gen/pocketfleet/v1/fleet.ts';

export interface Script {
  readonly plans?: Plan[];
  readonly sweeps?: Sweep[];
  readonly trials?: Trial[];
  readonly runs?: Run[];
  readonly workers?: Worker[];
  readonly snapshots?: Snapshot[];
  /** The stream of snapshots goes on after the last of them. */
  readonly watchStaysOpen?: boolean;
  readonly history?: StepPoint[];
  readonly logs?: LogLine[];
  readonly evaluation?: EvaluationReport;
  readonly exported?: ExportChunk[];
  /** Refuses Submit with these words, or with this error. */
  readonly refusal?: string | FleetError;
}

export interface ScriptedFleet {
  readonly address: string;
  readonly token: string;
  /** Requests in the order of arrival: method and message. */
  readonly asked: { method: string; request: unknown }[];
  close(): void;
}

export async function startScriptedFleet(script: Script): Promise<ScriptedFleet> {
  const asked: { method: string; request: unknown }[] = [];
  const token = 'scripted-token';
  const server = new Server();
  const refused = { code: status.UNAUTHENTICATED, details: 'unknown token' };
  const authorized = (call: { metadata: { get(key: string): unknown[] } }) =>
    call.metadata.get('authorization')[0] === `Bearer ${token}`;
  const unary =
    <Q, R>(method: string, answer: (request: Q) => R) =>
    (call: ServerUnaryCall<Q, R>, callback: sendUnaryData<R>) => {
      asked.push({ method, request: call.request });
      if (!authorized(call)) return callback(refused);
      try {
        callback(null, answer(call.request));
      } catch (caught) {
        callback(toStatus(caught));
      }
    };
  interface Out<Q, R> {
    readonly request: Q;
    readonly metadata: { get(key: string): unknown[] };
    write(message: R): void;
    end(): void;
    emit(event: 'error', error: object): unknown;
  }
  const stream =
    <Q, R>(method: string, answers: readonly R[], staysOpen = false) =>
    (call: Out<Q, R>) => {
      asked.push({ method, request: call.request });
      if (!authorized(call)) return void call.emit('error', refused);
      for (const answer of answers) call.write(answer);
      if (!staysOpen) call.end();
    };
  const report: EvaluationReport = script.evaluation ?? {
    evaluation: undefined,
    rocFpr: [],
    rocTpr: [],
    examples: [],
    judged: undefined,
  };
  // A call that no test of the CLI makes is answered UNIMPLEMENTED by the server itself.
  const service: Partial<FleetServiceServer> = {
    submit: unary('submit', () => {
      const { refusal } = script;
      if (refusal !== undefined)
        throw typeof refusal === 'string' ? new FleetError('invalidArgument', refusal) : refusal;
      return { planIds: (script.plans ?? []).map(({ id }) => id), sweepIds: [], runIds: [], notes: [] };
    }),
    find: unary('find', ({ idOrName, kinds }) => {
      const found = thingsCalled(script, idOrName).filter(({ kind }) => kinds.includes(kind));
      return { found, total: found.length };
    }),
    getPlan: unary('getPlan', ({ id }) => called(script, id, 'plan')),
    getSweep: unary('getSweep', ({ id }) => called(script, id, 'sweep')),
    getRun: unary('getRun', ({ id }) => called(script, id, 'run')),
    listPlans: unary('listPlans', () => ({ plans: script.plans ?? [], ...onePage })),
    listSweeps: unary('listSweeps', () => ({ sweeps: script.sweeps ?? [], ...onePage })),
    listTrials: unary('listTrials', () => ({ trials: script.trials ?? [], ...onePage })),
    leaderboard: unary('leaderboard', () => ({ trials: script.trials ?? [], ...onePage })),
    getStore: unary('getStore', () => Store.fromPartial({ state: 'ok' })),
    listRuns: unary('listRuns', ({ sweepId, newestFirst, pageSize }) => {
      const all = (script.runs ?? []).filter((run) => sweepId === '' || run.sweepId === sweepId);
      const runs = (newestFirst ? all.toReversed() : all).slice(0, pageSize);
      return { runs, nextPageToken: '', total: all.length };
    }),
    listWorkers: unary('listWorkers', () => ({ workers: script.workers ?? [], ...onePage })),
    listCheckpoints: unary('listCheckpoints', ({ runId }) => ({
      checkpoints: [
        {
          runId: called(script, runId, 'run').id,
          stage: 1,
          step: 12,
          bytes: 2048,
          digest: 'abc',
          storedAtMs: 1_010_000,
          held: 'all',
          note: '',
        },
      ],
      ...onePage,
    })),
    watch: stream('watch', script.snapshots ?? [], script.watchStaysOpen),
    logs: stream('logs', script.logs ?? []),
    history: stream('history', script.history ?? []),
    cancel: unary('cancel', ({ id }) => ({ cancelledIds: [called(script, id, 'plan').id] })),
    verify: unary('verify', () => ({ report })),
    getEvaluation: unary('getEvaluation', () => report),
    export: stream('export', script.exported ?? []),
    why: unary('why', () => ({
      decisions: [{ sequence: 7, atMs: 1_000_000, event: 'run.assigned', text: 'two workers were idle' }],
      nextPageToken: '',
    })),
  };
  server.addService(FleetServiceService, service as FleetServiceServer);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return { address: `127.0.0.1:${port}`, token, asked, close: () => server.forceShutdown() };
}

/** The fields of an answer that is a whole list. */
const onePage = { nextPageToken: '', total: 0 };

/** What the script has under this id or name. */
function thingsCalled(script: Script, word: string) {
  const { plans = [], sweeps = [], runs = [], workers = [] } = script;
  const all = [
    ...plans.map((plan) => ({ ...plan, kind: 'plan' })),
    ...sweeps.map((sweep) => ({ ...sweep, kind: 'sweep' })),
    ...runs.map((run) => ({ ...run, kind: 'run' })),
    ...workers.map((worker) => ({ ...worker, kind: 'worker', name: '' })),
  ];
  return all
    .filter(({ id, name }) => id === word || name === word)
    .map(({ kind, id, name, state }) => ({ kind, id, name, state }));
}

/** What the script has of this noun under this id or name, or the refusal of the real service. */
function called(script: Script, word: string, noun: 'plan'): Plan;
function called(script: Script, word: string, noun: 'sweep'): Sweep;
function called(script: Script, word: string, noun: 'run'): Run;
function called(script: Script, word: string, noun: 'plan' | 'sweep' | 'run'): Plan | Sweep | Run {
  const all: readonly (Plan | Sweep | Run)[] = script[`${noun}s`] ?? [];
  const found = all.filter(({ id, name }) => id === word || name === word);
  return onlyOne({ found, total: found.length }, word, [noun]);
}
