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
// A pair counts when both directions are proved. Once a member knows all pairs of its own, or waits no longer, it
// announces them to all, and when the announcements of all members are here, the groups follow from them
// (routes.ts), the same at every member. A member that cannot open or map announces nothing and is a group of its own.
//
// Messages may be lost: whoever does not know the other yet sends again at each tick, less and less often, and gets an
// answer, because the message tells that it does not know. Proofs are not waited for without end; announcements are,
// as hellos are, because sums of members that assume different groups would miss parts.

import { z } from 'zod';
import { createDeferred } from '../deferred.ts';
import { toFleetError } from '../errors.ts';
import { shaped } from '../text/shape.ts';
import { encodeJson, type Header, jsonOf } from './message.ts';
import type { Chunk, Groups } from './plan.ts';
import { groupsOf } from './routes.ts';
import type { OwnSegment, PeerSegment } from './segment.ts';
import type { Wire } from './wire.ts';

const messageSchema = z.looseObject({
  /** Where the sender runs; empty: it shares no memory. */
  host: z.string().max(200),
  /** Name of its file; empty: it could make none. */
  file: z.string().max(200).optional(),
  /** Token of the receiver's file; empty: the sender cannot read it. */
  token: z.string().max(200).optional(),
  /** Ranks that the sender has announced: both read each other. Absent before it is sure. */
  proven: z.array(z.number().int().nonnegative()).max(65_536).optional(),
  /** The sender knows both directions between the two, and what the receiver announces. */
  knows: z.boolean(),
});
type Message = z.infer<typeof messageSchema>;

/** How long the first sum may wait for the proofs, milliseconds of listening. */
const WAIT_MS = 2_000;
const REPEAT_MS_MIN = 50;
const REPEAT_MS_MAX = 500;

export interface Neighbours {
  /** Where the data of a note lies in this member's memory; undefined where its sender is not read. */
  contributionAt(source: number, index: number, chunk: Chunk): number | undefined;
  publishedAt(source: number, chunk: Chunk): number | undefined;
  /** Copies a node that a member of the group gives to whoever speaks for it; false when it is not there. */
  readNode(source: number, index: number, chunk: Chunk, into: Uint8Array): boolean;
  /** Writes a result of an owner elsewhere for the members of the group; false where there is no room for it. */
  bring(chunk: Chunk, data: Uint8Array): boolean;
  /** Copies a result that a member of the group, or this member itself, has written; false when it is not there. */
  readBrought(source: number, chunk: Chunk, into: Uint8Array): boolean;
  /** A generation begins: this member shows itself to all. */
  begin(): void;
  /** Resolves when the groups are known. From then on nothing is mapped, because the memory is in use. */
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
  /** What it has announced. */
  proven: readonly number[] | undefined;
  /** It reads this member's file. */
  readsMine: boolean | undefined;
  /** This member reads its file. */
  mineReads: boolean | undefined;
  segment: PeerSegment | undefined;
}

export function createNeighbours(options: {
  readonly wire: Wire;
  readonly door: SegmentDoor | undefined;
  /** The groups are known, before anything that follows from them is received. */
  readonly onGroups: (groups: Groups) => void;
  /** Memory is not shared with a member, or with none, for this reason. */
  readonly onUnshared: (reason: string) => void;
}): Neighbours {
  const { wire, door, onGroups, onUnshared } = options;
  const peers: Peer[] = Array.from({ length: wire.ranks }, (_, rank) => ({
    proven: undefined,
    readsMine: rank === wire.rank ? false : undefined,
    mineReads: rank === wire.rank ? false : undefined,
    segment: undefined,
  }));
  const self = peers[wire.rank]!;
  const met = createDeferred<void>();
  let own: OwnSegment | undefined;
  let hasFailed = door === undefined;
  let isClosed = false;
  let isMet = false;
  let hasBegun = false;
  let meetsAt: number | undefined;
  let sentAt = 0;
  let pauseMs = REPEAT_MS_MIN;

  const hasProofs = ({ readsMine, mineReads }: Peer): boolean =>
    readsMine !== undefined && mineReads !== undefined;
  const isSure = (): boolean => self.proven !== undefined;
  const isKnown = (peer: Peer): boolean => peer.proven !== undefined && (isSure() || hasProofs(peer));

  function ownSegment(): OwnSegment | undefined {
    if (own === undefined && !hasFailed && !isSure()) {
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
    if (name === '' || isSure()) {
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

  function learn(peer: Peer, source: number, { host, file, token, proven }: Message): void {
    peer.proven ??= proven;
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
    // The name goes with the announcement.
    if (own !== undefined || hasFailed || isSure()) message.file = isSure() ? '' : (own?.name ?? '');
    if (peer.mineReads !== undefined || isSure()) message.token = peer.segment?.token ?? '';
    if (self.proven !== undefined) message.proven = [...self.proven];
    return encodeJson(message);
  }

  const send = (rank: number): void =>
    wire.sendTo(rank, wire.header('neighbour', 0), messageTo(peers[rank]!));
  /** `knows`: nobody needs to answer; who lacks something asks. */
  const sendAll = (knows: boolean): void =>
    wire.sendAll(
      wire.header('neighbour', 0),
      encodeJson({ host: door?.host ?? '', proven: self.proven, knows }),
    );

  /** No other file is opened or made from now on. */
  function announce(): void {
    self.proven = peers.flatMap(({ readsMine, mineReads }, rank) => (readsMine && mineReads ? [rank] : []));
    own?.dropName();
    if (hasBegun) sendAll(true);
  }

  function finishIfKnown(): void {
    if (isClosed || isMet) return;
    if (!isSure() && peers.every(hasProofs)) announce();
    if (!hasBegun || !peers.every(({ proven }) => proven !== undefined)) return;
    isMet = true;
    const groups = groupsOf(peers.map(({ proven }) => proven!));
    const mates = groups.find((ranks) => ranks.includes(wire.rank))!;
    peers.forEach(({ segment }, rank) => {
      if (!mates.includes(rank)) segment?.leave();
    });
    onGroups(groups);
    met.resolve();
  }

  if (door === undefined || wire.ranks === 1) announce();

  return {
    contributionAt: (source, index, chunk) => peers[source]?.segment?.contributionAt(index, chunk),
    publishedAt: (source, chunk) => peers[source]?.segment?.publishedAt(chunk),
    readNode: (source, index, chunk, into) => peers[source]?.segment?.readNode(index, chunk, into) === true,
    bring(chunk, data) {
      try {
        own!.bring(chunk, data);
        return true;
      } catch (caught) {
        onUnshared(toFleetError(caught).message);
        return false;
      }
    },
    readBrought: (source, chunk, into) =>
      (source === wire.rank ? own : peers[source]?.segment)?.readBrought(chunk, into) === true,
    begin() {
      if (hasBegun) return;
      hasBegun = true;
      sendAll(false);
      finishIfKnown();
    },
    meet() {
      meetsAt ??= wire.now();
      return met.promise;
    },
    acceptNeighbour({ source }, data) {
      const peer = peers[source]!;
      const message = shaped(messageSchema, jsonOf(data), 'a message of a neighbour');
      learn(peer, source, message);
      finishIfKnown();
      if (!message.knows) send(source);
    },
    repeatUnknown() {
      if (meetsAt !== undefined && !isSure() && wire.now() - meetsAt >= WAIT_MS) {
        announce();
        finishIfKnown();
      }
      if (isMet || !hasBegun || wire.now() - sentAt < pauseMs) return;
      sentAt = wire.now();
      pauseMs = Math.min(REPEAT_MS_MAX, pauseMs * 2);
      peers.forEach((peer, rank) => {
        if (rank === wire.rank || isKnown(peer)) return;
        // Before that a member is asked for its hello.
        if (meetsAt !== undefined) wire.noteQuestion(rank);
        send(rank);
      });
    },
    close() {
      isClosed = true;
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
