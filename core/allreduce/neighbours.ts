// Which members read whose memory. Decides who is a neighbour: a member on a machine of the same boot that has
// proved that it reads this member's file, by a token that stands in the file alone. Names of hosts, pods and
// workers count for nothing.
//
//   member A                              member B
//     │── host ────────────────────────────►│  the same boot: B makes its file
//     │◄──────────────────── host, file B ──│
//     │  opens and maps B, makes its file   │
//     │── host, file A, token of B ────────►│  A reads B: from now on B sends A notes
//     │◄─────────── host, file B, token of A │  opens and maps A
//     │  B reads A                          │
//
// Each direction stands for itself. A member that cannot open or map answers with an empty token and gets data as
// before, alone. Messages may be lost: whoever does not know the other yet sends again at each tick, less and less
// often, and gets an answer, because the message tells that it does not know.

import { z } from 'zod';
import { createDeferred } from '../deferred.ts';
import { toFleetError } from '../errors.ts';
import { shaped } from '../text/shape.ts';
import { encodeJson, type Header, jsonOf } from './message.ts';
import type { Chunk } from './plan.ts';
import type { OwnSegment, PeerSegment } from './segment.ts';
import type { Wire } from './wire.ts';

const messageSchema = z.looseObject({
  /** Where the sender runs; empty: it shares no memory. */
  host: z.string().max(200),
  /** Name of its file; empty: it could make none. */
  file: z.string().max(200).optional(),
  /** Token of the receiver's file; empty: the sender cannot read it. */
  token: z.string().max(200).optional(),
  /** The sender knows both directions between the two. */
  knows: z.boolean(),
});
type Message = z.infer<typeof messageSchema>;

/** How long the first sum may wait for the proofs, milliseconds of listening. */
const WAIT_MS = 2_000;
const REPEAT_MS_MIN = 50;

export interface Neighbours {
  /** The member has proved that it reads this one's memory. */
  reads(rank: number): boolean;
  /** Every other member has. */
  allRead(): boolean;
  /** Where the data of a note lies in this member's memory; undefined where its sender is not read. */
  contributionAt(source: number, index: number, chunk: Chunk): number | undefined;
  publishedAt(source: number, chunk: Chunk): number | undefined;
  /** A generation begins: this member shows itself to all. */
  begin(): void;
  /**
   * Resolves when every other member is known, or when nobody waits any longer. From then on nothing is mapped, because
   * the memory is in use.
   */
  meet(): Promise<void>;
  acceptNeighbour(header: Header, data: Uint8Array): void;
  /** Sends again to whoever is not known. */
  repeatUnknown(): void;
  close(): void;
}

/** How the files of a host are made and opened; undefined: this member shares no memory. */
export interface SegmentDoor {
  /** The same in all processes of one boot of one machine, and in no others. */
  readonly host: string;
  create(): OwnSegment;
  open(source: number, name: string): PeerSegment;
  /** Removes the files of members that have ended without removing theirs. */
  sweep(): void;
}

interface Peer {
  /** It reads this member's file. */
  readsMine: boolean | undefined;
  /** This member reads its file. */
  mineReads: boolean | undefined;
  segment: PeerSegment | undefined;
}

export function createNeighbours(options: {
  readonly wire: Wire;
  readonly door: SegmentDoor | undefined;
  /** Memory is not shared with a member, or with none, for this reason. */
  readonly onUnshared: (reason: string) => void;
}): Neighbours {
  const { wire, door, onUnshared } = options;
  const peers: Peer[] = Array.from({ length: wire.ranks }, (_, rank) => ({
    readsMine: rank === wire.rank ? false : undefined,
    mineReads: rank === wire.rank ? false : undefined,
    segment: undefined,
  }));
  const others = peers.filter((_, rank) => rank !== wire.rank);
  const met = createDeferred<void>();
  let own: OwnSegment | undefined;
  let hasFailed = door === undefined;
  let isOpen = true;
  let hasBegun = false;
  let begunAt: number | undefined;
  let sentAt = 0;
  let pauseMs = REPEAT_MS_MIN;

  const isKnown = ({ readsMine, mineReads }: Peer): boolean =>
    readsMine !== undefined && mineReads !== undefined;

  function ownSegment(): OwnSegment | undefined {
    if (own === undefined && !hasFailed && isOpen) {
      try {
        own = door!.create();
      } catch (caught) {
        hasFailed = true;
        onUnshared(toFleetError(caught).message);
      }
    }
    return own;
  }

  function read(peer: Peer, source: number, name: string): void {
    if (name === '' || !isOpen) {
      peer.mineReads = false;
      return;
    }
    try {
      peer.segment = door!.open(source, name);
      peer.mineReads = true;
    } catch (caught) {
      peer.mineReads = false;
      onUnshared(`${wire.nameOf(source)}: ${toFleetError(caught).message}`);
    }
  }

  function learn(peer: Peer, source: number, { host, file, token }: Message): void {
    if (door === undefined || host !== door.host) {
      peer.readsMine ??= false;
      peer.mineReads ??= false;
      return;
    }
    const segment = ownSegment();
    if (segment === undefined) peer.readsMine ??= false;
    else if (token !== undefined) peer.readsMine ??= token === segment.token;
    if (file !== undefined && peer.mineReads === undefined) read(peer, source, file);
  }

  function messageTo(peer: Peer): Uint8Array {
    const message: Message = { host: door?.host ?? '', knows: isKnown(peer) };
    if (own !== undefined || hasFailed) message.file = own?.name ?? '';
    if (peer.mineReads !== undefined) message.token = peer.segment?.token ?? '';
    return encodeJson(message);
  }

  const sendTo = (rank: number): void =>
    wire.sendTo(rank, wire.header('neighbour', 0), messageTo(peers[rank]!));

  function finishIfKnown(): void {
    if (!others.every(isKnown)) return;
    own?.dropName();
    finish();
  }

  function finish(): void {
    if (begunAt === undefined) return;
    isOpen = false;
    met.resolve();
  }

  return {
    reads: (rank) => peers[rank]?.readsMine === true,
    allRead: () => others.length > 0 && others.every(({ readsMine }) => readsMine === true),
    contributionAt: (source, index, chunk) => peers[source]?.segment?.contributionAt(index, chunk),
    publishedAt: (source, chunk) => peers[source]?.segment?.publishedAt(chunk),
    begin() {
      if (hasBegun || wire.ranks === 1) return;
      hasBegun = true;
      wire.sendAll(wire.header('neighbour', 0), encodeJson({ host: door?.host ?? '', knows: false }));
    },
    meet() {
      begunAt ??= wire.now();
      if (door === undefined || wire.ranks === 1) finish();
      else finishIfKnown();
      return met.promise;
    },
    acceptNeighbour({ source }, data) {
      const peer = peers[source]!;
      const message = shaped(messageSchema, jsonOf(data), 'a message of a neighbour');
      learn(peer, source, message);
      if (!message.knows) sendTo(source);
      finishIfKnown();
    },
    repeatUnknown() {
      if (begunAt !== undefined && isOpen && wire.now() - begunAt >= WAIT_MS) {
        own?.dropName();
        finish();
      }
      if (!isOpen || wire.now() - sentAt < pauseMs) return;
      sentAt = wire.now();
      pauseMs *= 2;
      peers.forEach((peer, rank) => {
        if (rank !== wire.rank && !isKnown(peer)) sendTo(rank);
      });
    },
    close() {
      isOpen = false;
      met.resolve();
      own?.dropName();
      own?.close();
      for (const { segment } of peers) {
        segment?.dropName();
        segment?.close();
      }
      if (own !== undefined) door?.sweep();
    },
  };
}
