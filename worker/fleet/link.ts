// The Attach stream to the coordinator that leads. Decides when it is dialled again (whenever it ends, with a
// bounded backoff, for ever unless a coordinator refuses this worker), that the next coordinator is tried when
// one does not take the worker, and what is sent in which order: the hello, then everything that is not
// acknowledged, then heartbeats. Work in hand goes on while there is no stream.

import type { ClientDuplexStream } from '@grpc/grpc-js';
import { after, type Clock, every } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { ClientTls } from '../../core/net/client-tls.ts';
import { createDialler, createWorkerClient, isConnected } from '../../core/net/grpc-client.ts';
import { fromServiceError } from '../../core/net/grpc-status.ts';
import { createRoute } from '../../core/net/route.ts';
import type { TokenSource } from '../../core/net/token-source.ts';
import { ATTACH, delayMs } from '../../core/retry.ts';
import type {
  Heartbeat,
  Hello,
  Welcome,
  WorkerCommand,
  WorkerReport,
} from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { ReportKind } from '../run/services.ts';
import { assertCommand } from './commands.ts';
import { acknowledge, emptyQueue, enqueue, type ReportQueue } from './reports.ts';

export type Command = Exclude<
  NonNullable<WorkerCommand['kind']>,
  { $case: 'welcome' } | { $case: 'acknowledge' } | { $case: 'brokerRights' }
>;

/** How long a machine that is gone is waited for, milliseconds; one that refuses is not. */
const CONNECT_MS = 5_000;

export interface Link {
  /** Sends a report that must arrive: it is numbered, kept and repeated until it is acknowledged. */
  report(kind: ReportKind): void;
  /**
   * Sends a report of which only the newest counts: it is dropped while there is no stream, or a slow one.
   */
  reportLatest(kind: ReportKind): void;
  attached(): boolean;
  /** Number of reports that are not acknowledged. */
  unacknowledged(): number;
  /** Ends the stream and stops dialling. */
  close(): Promise<void>;
}

export interface LinkOptions {
  /** host:port of each coordinator that is known; one leads, and the others name it. */
  readonly endpoints: readonly string[];
  readonly token: string | TokenSource;
  /** Encrypts the stream. */
  readonly tls?: ClientTls | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hello: () => Hello;
  readonly heartbeat: () => Heartbeat;
  readonly onWelcome: (welcome: Welcome) => void;
  readonly onRights?: (jwt: string) => void;
  readonly onCommand: (command: Command) => void;
  readonly onAttach?: () => void;
  /**
   * The coordinator does not understand this worker, and would refuse every later stream for the same reason.
   */
  readonly onRefused: (reason: FleetError) => void;
}

type Stream = ClientDuplexStream<WorkerReport, WorkerCommand>;

export function openLink(options: LinkOptions): Link {
  const { clock, log } = options;
  const stopping = new AbortController();
  const route = createRoute(options.endpoints);
  const dial = createDialler(createWorkerClient, { token: options.token, tls: options.tls });
  let queue: ReportQueue = emptyQueue;
  let stream: Stream | undefined;
  let welcomed = false;

  const take = (command: WorkerCommand, own: Stream, startHeartbeats: (intervalMs: number) => void) => {
    if (own !== stream || command.kind === undefined) return;
    switch (command.kind.$case) {
      case 'welcome':
        welcomed = true;
        startHeartbeats(command.kind.value.heartbeatIntervalMs);
        for (const report of queue.open) own.write(report);
        options.onWelcome(command.kind.value);
        return;
      case 'acknowledge':
        queue = acknowledge(queue, command.kind.value.sequence);
        return;
      case 'brokerRights':
        options.onRights?.(command.kind.value.jwt);
        return;
      default:
        options.onCommand(command.kind);
    }
  };

  /** Opens one stream and resolves with the reason of its end. */
  const attachOnce = (): Promise<FleetError> =>
    new Promise((resolve) => {
      const client = dial.to(route.current);
      const own = client.attach();
      let stopHeartbeats: (() => void) | undefined;
      const onStop = () => end(new FleetError('cancelled', 'stopping'));
      const stopConnecting = after(CONNECT_MS, () => {
        if (!isConnected(client)) end(new FleetError('unavailable', `no connection to ${route.current}`));
      });
      const end = (reason: FleetError) => {
        stopConnecting();
        stopHeartbeats?.();
        stopping.signal.removeEventListener('abort', onStop);
        if (stream === own) stream = undefined;
        // A cancelled call still reports its end as an error, which has been handled.
        own.on('error', () => undefined);
        own.cancel();
        resolve(reason);
      };
      stream = own;
      welcomed = false;
      const startHeartbeats = (intervalMs: number) => {
        stopHeartbeats?.();
        stopHeartbeats = every(intervalMs, () => {
          if (!own.writableNeedDrain)
            own.write({ sequence: 0, kind: { $case: 'heartbeat', value: options.heartbeat() } });
        });
      };
      own.on('data', (command: WorkerCommand) => {
        try {
          assertCommand(command);
        } catch (caught) {
          end(toFleetError(caught));
          return;
        }
        take(command, own, startHeartbeats);
      });
      own.on('error', (error) => end(fromServiceError(error)));
      own.on('end', () => end(new FleetError('unavailable', 'the coordinator ended the stream')));
      stopping.signal.addEventListener('abort', onStop, { once: true });
      own.write({ sequence: 0, kind: { $case: 'hello', value: options.hello() } });
      options.onAttach?.();
    });

  const keepAttached = async () => {
    let failures = 0;
    let logged = '';
    /** The last stream was opened without a wait. */
    let hurried = false;
    while (!stopping.signal.aborted) {
      const endpoint = route.current;
      const reason = await dial.explained(endpoint, await attachOnce());
      if (stopping.signal.aborted) return;
      if (reason.code === 'invalidArgument') return options.onRefused(reason);
      failures = welcomed ? 1 : failures + 1;
      if (welcomed) logged = '';
      // One line per change of the reason: an absent coordinator is dialled twice a second for hours.
      if (logged !== reason.code)
        log.warn({ code: reason.code }, `no stream to the coordinator: ${reason.message}`);
      logged = reason.code;
      // A coordinator that had taken the worker, and says nothing of another, is dialled once more.
      const isSame = welcomed && reason.details.standby === undefined;
      const isNamed = !isSame && route.failed(reason);
      // Two that name each other are not dialled without end.
      hurried = isNamed && !hurried;
      if (!hurried) await clock.sleep(delayMs(ATTACH, failures), stopping.signal).catch(() => undefined);
    }
  };
  const running = keepAttached();

  return {
    report(kind) {
      const added = enqueue(queue, kind);
      queue = added.queue;
      if (stream && welcomed) stream.write(added.report);
    },
    reportLatest(kind) {
      if (stream && welcomed && !stream.writableNeedDrain) stream.write({ sequence: 0, kind });
    },
    attached: () => stream !== undefined && welcomed,
    unacknowledged: () => queue.open.length,
    async close() {
      stopping.abort();
      await running;
      dial.close();
    },
  };
}
