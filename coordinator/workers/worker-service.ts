// The stream of a worker: wire messages to domain types and back. The first report names the process that
// dials; later ones go where they are taken. Decides whether a message is well-formed: a worker that sends
// anything else is cut off, and so is one that does not read.

import type { ServerDuplexStream } from '@grpc/grpc-js';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { toStatus } from '../../core/net/grpc-status.ts';
import type { Prefixes } from '../../core/net/subjects.ts';
import type { WorkerUsers } from '../../core/net/worker-user.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { foundText } from '../../core/text/printable.ts';
import { boundedText } from '../../core/text/wire-text.ts';
import type {
  Lease,
  WorkerCommand,
  WorkerReport,
  WorkerServiceServer,
} from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { Command, Input, Report, WorkerHello } from '../decisions/inputs.ts';
import type { Driver } from '../journal/driver.ts';
import { wholeRunWith } from '../model/state.ts';
import { brokerKeyOf, helloOf } from './hello.ts';
import type { ImageTimes } from './image-times.ts';
import type { Inspector } from './inspector.ts';
import type { Links, RequestCommand, Stream } from './links.ts';
import type { ProgressBoard } from './progress-board.ts';
import type { Replayer } from './replayer.ts';
import { counted, measured, reportOf, sliceOf } from './report.ts';
import type { RowRefusals } from './row-refusals.ts';
import type { Screener } from './screener.ts';
import { type SignedRights, signRights } from './signed-rights.ts';
import type { SuspicionBoard, Testimony } from './suspicion.ts';
import type { TimeBoard } from './time-board.ts';
import type { Verifier } from './verifier.ts';

interface Parts {
  readonly driver: Driver;
  readonly links: Links;
  readonly progress: ProgressBoard;
  readonly imageTimes: ImageTimes;
  readonly rowRefusals: RowRefusals;
  readonly suspicion: SuspicionBoard;
  readonly times: TimeBoard;
  readonly verifier: Verifier;
  readonly replayer: Replayer;
  readonly inspector: Inspector;
  readonly screener: Pick<Screener, 'answered'>;
  readonly log: Logger;
  /** Signs the rights of workers on the broker; undefined: each has a user of its own there. */
  readonly users?: WorkerUsers | undefined;
  readonly welcome: {
    readonly fleet: string;
    readonly heartbeatIntervalMs: number;
    readonly natsUrl: string;
    readonly names: Prefixes;
  };
}

type Call = ServerDuplexStream<WorkerReport, WorkerCommand>;

/** Characters of a worker's own sentence about a wait that are kept. */
const STORE_WAIT_CHARS_MAX = 500;
/**
 * Bytes that may wait for a worker that does not read. It is cut off then, and gets all that it needs when it
 * dials again.
 */
const PENDING_BYTES_MAX = 32 << 20;

/** The one call of WorkerService. */
export function createWorkerService(parts: Parts): WorkerServiceServer {
  return { attach: (call: Call) => serve(parts, call) };
}

function serve(parts: Parts, call: Call): void {
  const stream = streamOf(parts, call);
  let worker: Process | undefined;
  let isGone = false;
  const cutOff = (caught: unknown) => {
    const error = toFleetError(caught);
    parts.log.warn({ worker: worker?.id, error: error.message }, 'a worker was cut off');
    if (worker) parts.links.detach(worker.id, stream);
    call.emit('error', toStatus(error));
  };
  const begin = (greeting: Greeting) => {
    if (!isGone) worker = attach(parts, stream, greeting.hello);
  };
  /** Signing takes a moment, in which nothing more of the worker is read. */
  const beginSigned = async (greeting: Greeting, users: WorkerUsers, publicKey: string) => {
    call.pause();
    const { workerId } = greeting.hello;
    stream.rights = await signRights(users, { workerId, publicKey });
    begin(greeting);
    call.resume();
  };
  call.on('data', (report: WorkerReport) => {
    try {
      if (worker !== undefined) {
        if (parts.links.seen(worker.id, stream)) take(parts, worker, report, stream);
        return;
      }
      const greeting = greet(parts, report);
      const { brokerKey } = greeting;
      if (parts.users === undefined || brokerKey === undefined) begin(greeting);
      else beginSigned(greeting, parts.users, brokerKey).catch(cutOff);
    } catch (caught) {
      cutOff(caught);
    }
  });
  const gone = () => {
    isGone = true;
    if (worker) parts.links.detach(worker.id, stream);
  };
  call.on('cancelled', gone);
  call.on('error', gone);
  call.on('end', () => {
    gone();
    call.end();
  });
}

/** The stream of a worker whose rights on the broker may be signed. */
interface WorkerStream extends Stream {
  rights: SignedRights | undefined;
  /** A newer JWT than that of the welcome. */
  sendRights(jwt: string): void;
}

interface Process {
  readonly id: string;
  readonly incarnation: string;
}

interface Greeting {
  readonly hello: WorkerHello;
  readonly brokerKey: string | undefined;
}

function streamOf(parts: Parts, call: Call): WorkerStream {
  let open = true;
  return {
    rights: undefined,
    sendRights(jwt) {
      if (open && !call.cancelled) call.write({ kind: { $case: 'brokerRights', value: { jwt } } });
    },
    send(command) {
      if (!open || call.cancelled) return;
      call.write(toMessage(command, parts.welcome, this.rights?.jwt));
      if (call.writableLength > PENDING_BYTES_MAX)
        this.end(new FleetError('unavailable', 'does not read its commands'));
    },
    end(reason) {
      if (!open) return;
      open = false;
      call.emit('error', toStatus(reason));
    },
  };
}

/** Who dials; throws where this process may not attach. */
function greet(parts: Parts, report: WorkerReport): Greeting {
  if (report.kind?.$case !== 'hello')
    throw new FleetError('invalidArgument', 'the first report on a stream must be hello');
  const hello = helloOf(report.kind.value, parts.welcome.fleet);
  refuseSecond(parts, hello);
  return { hello, brokerKey: brokerKeyOf(report.kind.value) };
}

function refuseSecond(parts: Parts, hello: WorkerHello): void {
  const refusal = parts.links.refusalOf(hello);
  // Not `alreadyExists`: a process that has just died may still look alive, so trying again is right.
  if (refusal !== undefined) throw new FleetError('unavailable', refusal);
}

function attach(parts: Parts, stream: Stream, hello: WorkerHello): Process {
  // Another process with this id may have attached since it was greeted.
  refuseSecond(parts, hello);
  const goneAtMs = parts.links.attach(hello, stream);
  submitOrCut(parts, { kind: 'attached', hello, ...(goneAtMs === undefined ? {} : { goneAtMs }) }, stream);
  return { id: hello.workerId, incarnation: hello.incarnation };
}

function take(parts: Parts, worker: Process, message: WorkerReport, stream: WorkerStream): void {
  const { kind, sequence } = message;
  if (kind === undefined) throw new FleetError('invalidArgument', 'a report without a kind');
  switch (kind.$case) {
    case 'hello':
      throw new FleetError('invalidArgument', 'hello is the first report of a stream, and only that');
    case 'heartbeat':
      stream.rights?.heard(stream.sendRights);
      parts.progress.measured(worker.id, speedsOf(kind.value.leases));
      parts.imageTimes.heard(parts.driver.state, kind.value.leases);
      parts.rowRefusals.heard(worker.id, kind.value.leases);
      if (parts.progress.waiting(worker.id, storeWaitsOf(kind.value.leases))) parts.driver.touch();
      parts.suspicion.heard(worker.id, kind.value.leases.map(testimonyOf));
      if (kind.value.openTime !== undefined)
        parts.times.heard(worker.id, worker.incarnation, sliceOf(kind.value.openTime));
      return;
    case 'progress': {
      const { runId, generation, point, waitingForStage, openRoundSteps } = kind.value;
      const run = wholeRunWith(parts.driver.state, runId);
      if (!run || !point) return;
      counted('progress.point.step', point.step);
      measured('progress.open_round_steps', openRoundSteps);
      const news = { generation, point, waitingForStage, openRoundSteps };
      if (parts.progress.report(run, worker.id, news)) parts.driver.touch();
      return;
    }
    case 'verifyResult':
      parts.verifier.answered(kind.value.requestId, {
        ...kind.value,
        error: boundedText(kind.value.error),
      });
      submitReport(parts, { worker, sequence, report: { kind: 'released' }, stream });
      return;
    case 'inspectResult':
      parts.inspector.answered(kind.value);
      // Progress has no sequence: only the end of a look must arrive.
      if (sequence > 0) submitReport(parts, { worker, sequence, report: { kind: 'released' }, stream });
      return;
    case 'scoreResult':
      parts.screener.answered(kind.value.requestId, kind.value);
      submitReport(parts, { worker, sequence, report: { kind: 'released' }, stream });
      return;
    case 'replayResult':
      parts.replayer.answered(kind.value.requestId, kind.value);
      submitReport(parts, { worker, sequence, report: { kind: 'released' }, stream });
      return;
    default:
      if (kind.$case === 'draining') parts.links.draining(worker.id);
      submitReport(parts, { worker, sequence, report: reportOf(kind), stream });
  }
}

function speedsOf(leases: readonly Lease[]): ReadonlyMap<string, number> {
  return new Map(
    leases.flatMap(({ runId, imagesPerSecond = Number.NaN }) =>
      // A step that took no time has no speed.
      Number.isFinite(imagesPerSecond) && imagesPerSecond >= 0 ? [[runId, imagesPerSecond] as const] : [],
    ),
  );
}

function storeWaitsOf(leases: readonly Lease[]): ReadonlyMap<string, string> {
  return new Map(
    leases.flatMap(({ runId, waitsForStore = '' }) =>
      waitsForStore === '' ? [] : [[runId, waitsForStore.slice(0, STORE_WAIT_CHARS_MAX)] as const],
    ),
  );
}

function testimonyOf({ runId, generation, inExchange, suspects }: Lease): Testimony {
  return {
    runId,
    generation,
    inExchange,
    suspects: suspects.map(({ workerId, kind, ms, limitMs }) => {
      if (kind !== 'silent' && kind !== 'idle')
        throw new FleetError('invalidArgument', `suspect.kind: unknown kind ${foundText(kind)}`);
      return {
        workerId,
        kind,
        ms: measured('suspect.ms', ms),
        limitMs: measured('suspect.limit_ms', limitMs),
      };
    }),
  };
}

interface Reported {
  readonly worker: Process;
  readonly sequence: number;
  readonly report: Report;
  readonly stream: Stream;
}

function submitReport(parts: Parts, { worker, sequence, report, stream }: Reported): void {
  const from = { workerId: worker.id, incarnation: worker.incarnation };
  submitOrCut(parts, { kind: 'reported', ...from, sequence, report }, stream);
}

/**
 * Submits what came from a worker. Nobody waits for the answer: what follows reaches the worker as commands.
 * Whatever is not taken ends the stream with the reason, so that the worker dials again and repeats it; it
 * would wait for ever otherwise.
 */
function submitOrCut(parts: Parts, input: Input, stream: Stream): void {
  parts.driver.submit(input).catch((caught) => {
    const error = toFleetError(caught);
    if (parts.driver.halted === undefined)
      parts.log.warn({ error: error.message }, `what a worker sent (${input.kind}) was not taken`);
    // A worker that reads `invalidArgument` ends its process, which is right for what it sent by itself alone.
    const isOurs = error.code === 'invalidArgument';
    stream.end(isOurs ? new FleetError('internal', error.message, { cause: error }) : error);
  });
}

function toMessage(
  command: Command | RequestCommand,
  welcome: Parts['welcome'],
  jwt: string | undefined,
): WorkerCommand {
  switch (command.kind) {
    case 'welcome': {
      const brokerRights = jwt === undefined ? undefined : { jwt };
      return { kind: { $case: 'welcome', value: { ...welcome, names: { ...welcome.names }, brokerRights } } };
    }
    case 'acknowledge':
      return { kind: { $case: 'acknowledge', value: { sequence: command.sequence } } };
    case 'release': {
      const { runId, generation, reason } = command;
      return { kind: { $case: 'release', value: { runId, generation, reason } } };
    }
    case 'verify': {
      const { kind: _kind, ...value } = command;
      return { kind: { $case: 'verify', value } };
    }
    case 'replay': {
      const { kind: _kind, steps, ...value } = command;
      return { kind: { $case: 'replay', value: { ...value, steps: [...steps] } } };
    }
    case 'inspect': {
      const { kind: _kind, ...value } = command;
      return { kind: { $case: 'inspect', value } };
    }
    case 'score': {
      const { networksJson, scores, ...rest } = command;
      const { kind: _kind, ...value } = rest;
      return {
        kind: { $case: 'score', value: { ...value, networksJson: [...networksJson], scores: [...scores] } },
      };
    }
    case 'forget':
      return { kind: { $case: 'forget', value: { requestId: command.requestId } } };
    case 'prepare':
      return {
        kind: {
          $case: 'prepare',
          value: { specJson: canonicalJson(command.spec), dataDigest: command.dataDigest },
        },
      };
    case 'assign': {
      const { runId, generation, spec, members } = command;
      return {
        kind: {
          $case: 'assign',
          value: {
            runId,
            generation,
            specJson: canonicalJson(spec),
            members: members.map((member) => ({ ...member })),
            teacherRunId: command.teacherRunId ?? '',
            teacherStages: command.teacherStages ?? 0,
            pauses: command.pauses,
            pausedStep: command.pausedStep,
            haltStage: command.haltStage,
            evaluateStages: [...(command.evaluateStages ?? [])],
            embeddingRunId: command.embeddingRunId,
            imageRowsBytes: command.imageRowsBytes,
            dataDigest: command.dataDigest,
            storedStage: command.storedStage,
          },
        },
      };
    }
  }
}
