// The subjects of one generation on a connection: what goes out to one member or all, and what comes in that
// belongs here. Decides which messages are of this gang at all: well-formed, of this run and generation, and
// from another member. Nothing is promised: core NATS may lose any message, and the injected faults of a test
// lose or repeat some on purpose.

import { denialText, FleetError, toFleetError } from '../errors.ts';
import type { DataConnection, Receiver } from '../net/data-connection.ts';
import type { Names } from '../net/subjects.ts';
import { decodeHeader, encodeHeader, type Header, hashOf, NO_DIGEST } from './message.ts';
import type { ExchangeStats, Faults, Passage, Place, Wire } from './wire.ts';

/** Which gang a channel belongs to, and which member this one is. */
export interface Origin {
  readonly generation: number;
  /** hashOf the run's id. */
  readonly runHash: number;
  readonly rank: number;
  readonly ranks: number;
}

/**
 * Where a message comes from: `own` when the broker gave back what this member sent to all (which a
 * connection with noEcho never does), `foreign` when it is of another run or generation or of no rank of this
 * gang.
 */
export function originOf(
  { generation, runHash, source, ranks }: Header,
  here: Origin,
): 'own' | 'foreign' | 'member' {
  if (source === here.rank && generation === here.generation) return 'own';
  const isOfGang =
    generation === here.generation && runHash === here.runHash && ranks === here.ranks && source < here.ranks;
  return isOfGang ? 'member' : 'foreign';
}

/** How often a message passes that meets a fate. */
const COPIES: Readonly<Record<ReturnType<Faults>, number>> = { drop: 0, pass: 1, duplicate: 2 };

export interface Channel extends Pick<Wire, 'header' | 'sendTo' | 'sendAll' | 'sendToHosts'> {
  /** From now on this member gets what another sends to hosts. */
  listenTo(owner: number): void;
  /** Does something with a message; what a peer has done wrong costs the message and nothing else. */
  refusing(work: () => void): void;
  close(): void;
}

export interface ChannelOptions extends Omit<Origin, 'runHash'> {
  readonly connection: DataConnection;
  readonly names: Names;
  readonly runId: string;
  readonly stats: ExchangeStats;
  readonly faults: Faults | undefined;
  /** Where the data of a message goes; called when its header has been read. */
  readonly placeData: (header: Header) => Place;
  /** Called when the data of a message is where `placeData` wanted it. */
  readonly onMessage: (header: Header, data: Uint8Array) => void;
  /** A message was dropped because of what it is. */
  readonly onRefused: (error: FleetError) => void;
  readonly onBroken: (error: FleetError) => void;
}

export function createChannel(options: ChannelOptions): Channel {
  const { connection, names, runId, generation, rank, ranks, stats } = options;
  const here: Origin = { generation, runHash: hashOf(runId), rank, ranks };
  let closed = false;
  const receiver = receiverOf(options, here, () => closed);
  // One member alone needs no broker.
  const subjects =
    ranks === 1 ? [] : [names.rankSubject(runId, generation, rank), names.gangSubject(runId, generation)];
  const unwatch = ranks === 1 ? undefined : breakWhenDenied(options, () => closed);
  const subscriptions = subjects.map((subject) => connection.subscribe(subject, receiver));

  function send(subject: string, peer: number, header: Header, data: Uint8Array | undefined): void {
    if (closed || ranks === 1) return;
    const { kind, step, chunk } = header;
    const head = encodeHeader(header, data?.length ?? 0);
    for (
      let copies = copiesFor(options, { direction: 'send', kind, step, chunk, peer });
      copies > 0;
      copies--
    ) {
      try {
        // A broker that is away loses the message, as the network may.
        connection.publish(subject, head, data);
      } catch (caught) {
        options.onBroken(toFleetError(caught));
        return;
      }
      stats.bytesSent += head.length + (data?.length ?? 0);
    }
  }

  return {
    header: (kind, step, fields) => ({
      kind,
      encoding: 'none',
      inMemory: false,
      generation,
      runHash: here.runHash,
      step,
      source: rank,
      ranks,
      shardFirst: 0,
      shardCount: 0,
      owner: 0,
      chunk: 0,
      offset: 0,
      count: 0,
      digest: NO_DIGEST,
      ...fields,
    }),
    sendTo: (to, header, data) => send(names.rankSubject(runId, generation, to), to, header, data),
    sendAll: (header, data) => send(names.gangSubject(runId, generation), -1, header, data),
    sendToHosts: (header, data) => send(names.hostsSubject(runId, generation, rank), -1, header, data),
    refusing: (work) => void refusedOr(options, work),
    listenTo(owner) {
      if (!closed)
        subscriptions.push(connection.subscribe(names.hostsSubject(runId, generation, owner), receiver));
    },
    close() {
      closed = true;
      unwatch?.();
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
  };
}

/** A gang of which one member may not hear or send would wait without end. */
function breakWhenDenied(
  { connection, names, runId, generation, onBroken }: ChannelOptions,
  isClosed: () => boolean,
): () => void {
  const ofGeneration = names.gangSubject(runId, generation).replace(/all$/, '');
  return connection.onDenied((denial) => {
    if (!isClosed() && denial.subject.startsWith(ofGeneration))
      onBroken(new FleetError('permissionDenied', denialText(denial)));
  });
}

/** Reads the messages of a channel, one after the other. */
function receiverOf(options: ChannelOptions, here: Origin, isClosed: () => boolean): Receiver {
  const { stats } = options;
  /** The message that is being read, if it is wanted. */
  let arriving: { readonly header: Header; readonly copies: number } | undefined;

  function begin(head: Uint8Array, dataBytes: number): Place {
    arriving = undefined;
    if (isClosed()) return 'skip';
    stats.bytesReceived += head.length + dataBytes;
    const header = decodeHeader(head, dataBytes);
    const { kind, step, chunk, source } = header;
    const origin = originOf(header, here);
    if (origin === 'own') return 'skip';
    if (origin === 'foreign')
      throw new FleetError(
        'aborted',
        `a message of generation ${header.generation}, rank ${source} of ${header.ranks} came to generation ${here.generation} of ${here.ranks}`,
      );
    const copies = copiesFor(options, { direction: 'receive', kind, step, chunk, peer: source });
    if (copies === 0) return 'skip';
    const place = options.placeData(header);
    if (place === 'skip') return place;
    if (place !== 'own' && place.length !== dataBytes)
      throw new FleetError('invalidArgument', `${dataBytes} bytes came where ${place.length} belong`);
    arriving = { header, copies };
    return place;
  }

  const orRefuse = <T>(work: () => T): T | undefined => refusedOr(options, work);

  return {
    begin: (head, dataBytes) => orRefuse(() => begin(head, dataBytes)) ?? 'skip',
    message(_head, data) {
      const message = arriving;
      arriving = undefined;
      if (isClosed() || message === undefined) return;
      for (let copies = message.copies; copies > 0; copies--)
        orRefuse(() => options.onMessage(message.header, data));
    },
  };
}

/** A peer's mistake costs its message and nothing else. */
function refusedOr<T>(
  { stats, onRefused }: Pick<ChannelOptions, 'stats' | 'onRefused'>,
  work: () => T,
): T | undefined {
  try {
    return work();
  } catch (caught) {
    stats.refused++;
    onRefused(toFleetError(caught));
    return undefined;
  }
}

function copiesFor({ faults, stats }: Pick<ChannelOptions, 'faults' | 'stats'>, passage: Passage): number {
  const fate = faults?.(passage) ?? 'pass';
  if (fate !== 'pass') stats.injected++;
  return COPIES[fate];
}
