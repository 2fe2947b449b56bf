// A FleetService on a real gRPC server whose answers a test writes down: what the CLI says and does can be tested without
// a coordinator. It checks the token as the real one does and remembers what was asked.

import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import type {
  EvaluationReport,
  ExportChunk,
  FleetServiceServer,
  LogLine,
  Plan,
  Run,
  Snapshot,
  StepPoint,
  Sweep,
  Trial,
  Worker,
} from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { FleetServiceService } from '../../../proto/gen/pocketfleet/v1/fleet.ts';

export interface Script {
  readonly plans?: Plan[];
  readonly sweeps?: Sweep[];
  readonly trials?: Trial[];
  readonly runs?: Run[];
  readonly workers?: Worker[];
  readonly snapshots?: Snapshot[];
  readonly history?: StepPoint[];
  readonly logs?: LogLine[];
  readonly evaluation?: EvaluationReport;
  readonly exported?: ExportChunk[];
  /** Refuses Submit with these words. */
  readonly refusal?: string;
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
        callback({ code: status.INVALID_ARGUMENT, details: (caught as Error).message });
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
    <Q, R>(method: string, answers: readonly R[]) =>
    (call: Out<Q, R>) => {
      asked.push({ method, request: call.request });
      if (!authorized(call)) return void call.emit('error', refused);
      for (const answer of answers) call.write(answer);
      call.end();
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
      if (script.refusal !== undefined) throw new Error(script.refusal);
      return { planIds: (script.plans ?? []).map(({ id }) => id), sweepIds: [], runIds: [] };
    }),
    listPlans: unary('listPlans', () => ({ plans: script.plans ?? [] })),
    listSweeps: unary('listSweeps', () => ({ sweeps: script.sweeps ?? [] })),
    listTrials: unary('listTrials', () => ({ trials: script.trials ?? [] })),
    leaderboard: unary('leaderboard', () => ({ trials: script.trials ?? [] })),
    listRuns: unary('listRuns', ({ sweepId }) => ({
      runs: (script.runs ?? []).filter((run) => sweepId === '' || run.sweepId === sweepId),
    })),
    listWorkers: unary('listWorkers', () => ({ workers: script.workers ?? [] })),
    listCheckpoints: unary('listCheckpoints', ({ runId }) => ({
      checkpoints: [{ runId, stage: 1, step: 12, bytes: 2048, digest: 'abc', storedAtMs: 1_010_000 }],
    })),
    watch: stream('watch', script.snapshots ?? []),
    logs: stream('logs', script.logs ?? []),
    history: stream('history', script.history ?? []),
    cancel: unary('cancel', ({ id }) => ({ cancelledIds: [id] })),
    verify: unary('verify', () => ({ report })),
    getEvaluation: unary('getEvaluation', () => report),
    export: stream('export', script.exported ?? []),
    why: unary('why', () => ({
      decisions: [{ sequence: 7, atMs: 1_000_000, event: 'run.assigned', text: 'two workers were idle' }],
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
