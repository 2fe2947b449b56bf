// One member's part in a step as the one that speaks for its group: nodes of several members, for the slices of owners
// elsewhere. Decides when such a node is added up and sent: once this member may contribute to the chunk itself and
// the others of its group have given theirs.
//
// What the others give is a note, and nothing of it is read before all notes of a chunk are here. Then each of their
// nodes is copied from the giver's file to a temporary, where its fingerprint is checked, and added; the sum takes the
// place of this member's own part of the node, which nobody else reads. What differs from its note is asked for again,
// and comes as a message with the data in it.

import { FleetError } from '../errors.ts';
import type { Contributor } from './contributor.ts';
import { type ExchangeMemory, encodedBytes, encodingOf, padded } from './memory.ts';
import type { Header } from './message.ts';
import type { Neighbours } from './neighbours.ts';
import type { Notes } from './notes.ts';
import type { OwnVectors } from './own-vectors.ts';
import type { Chunk, Node, Plan } from './plan.ts';
import { decode, type FetchedLeaf, type Leaf, sumNode } from './reduce.ts';
import { contributionWord } from './request-words.ts';
import { type ForeignNode, isWithin, placeOf, type Routes } from './routes.ts';
import { firstUnset, type OwnerState, type StepState } from './step-state.ts';
import type { Place, Wire } from './wire.ts';

export interface Speaker {
  /** A step begins: nothing is here. */
  expectAll(): void;
  /** Where a node of another of the group is read into: 'skip' for a repetition; throws when no plan asks for it. */
  placeNode(header: Header): Place;
  /** A note, or a node after all; the owner that it is for, or undefined for a repetition. */
  recordNode(header: Header, data: Uint8Array): OwnerState | undefined;
  /** Adds up and sends what is complete of the chunks that this member has contributed to. */
  speakTo(owner: OwnerState): void;
  /** Sends the sum of a node of several members again; false when it is none, or there is none yet. */
  repeat(owner: OwnerState, chunk: number, node: Node): boolean;
  /** Whether this member adds up a node of several members for an owner. */
  speaks(owner: number, node: Node): boolean;
  /** Request words for what a member of the group has not given for the slices of an owner. */
  missingFrom(rank: number, owner: number): number[];
  /** Members of the group that have not given everything for the first chunk that is not sent to an owner. */
  waitsFor(owner: number): number[];
  hasSpokenAll(): boolean;
}

/** What is here of a node of another member: a note about it, or its bytes. */
type Given = { readonly note: Uint8Array } | { readonly bytes: Uint8Array };

/** A node of several members that this one adds up for one owner. */
interface Speech {
  readonly owner: OwnerState;
  readonly node: Node;
  /** What the others of the group give. */
  readonly slots: readonly ForeignNode[];
  /** By chunk of the owner and by slot. */
  readonly given: (Given | undefined)[][];
  readonly isSent: boolean[];
  /** All chunks before this one are sent. */
  sentBefore: number;
}

export function createSpeaker(
  {
    plan,
    routes,
    wire,
    memory,
    vectors,
    neighbours,
    notes,
  }: {
    readonly plan: Plan;
    readonly routes: Routes;
    readonly wire: Wire;
    readonly memory: ExchangeMemory;
    readonly vectors: Pick<OwnVectors, 'ownLeaves'>;
    readonly neighbours: Pick<Neighbours, 'readNode'>;
    readonly notes: Pick<Notes, 'isAbout'>;
  },
  state: StepState,
  contributor: Pick<Contributor, 'sendSpoken'>,
): Speaker {
  const { layout, kernels } = memory;
  const speeches = state.owners.map((owner) =>
    routes.spoken(owner.rank).map((node) => speechOf(owner, node)),
  );

  function speechOf(owner: OwnerState, node: Node): Speech {
    const slots = routes.received(owner.rank).filter((slot) => isWithin(slot.node, node));
    return {
      ...{ owner, node, slots, sentBefore: 0 },
      given: owner.chunks.map(() => slots.map(() => undefined)),
      isSent: owner.chunks.map(() => false),
    };
  }

  const isComplete = ({ given }: Speech, chunk: number): boolean =>
    given[chunk]!.every((gift) => gift !== undefined);

  /** Undefined, and counted, when it is here already. */
  function newSlotOf({ source, owner, chunk, ...header }: Header) {
    const range = state.owners[owner]?.chunks[chunk];
    for (const speech of speeches[owner] ?? []) {
      const slot = speech.slots.findIndex(
        (of) =>
          of.source === source && of.node.first === header.shardFirst && of.node.size === header.shardCount,
      );
      if (slot < 0 || range?.offset !== header.offset || range.count !== header.count) continue;
      if (encodingOf(speech.slots[slot]!.node, plan) !== header.encoding) continue;
      if (!speech.isSent[chunk] && speech.given[chunk]![slot] === undefined) return { speech, slot };
      wire.stats.duplicates++;
      return undefined;
    }
    throw new FleetError('invalidArgument', `${wire.nameOf(source)} gave what no plan asks for`);
  }

  /** Copies what a member gave to an address, as float32. */
  function fetch({ source, node }: ForeignNode, given: Given, chunk: Chunk, into: number): boolean {
    const encoding = encodingOf(node, plan);
    const bytes = encodedBytes(encoding, chunk.count);
    const at = encoding === 'none' ? into : layout.fetched;
    const view = memory.bytes(at, bytes);
    if ('bytes' in given) view.set(given.bytes);
    else if (
      !neighbours.readNode(source, placeOf(plan.nodes[source]!, node), chunk, view) ||
      !notes.isAbout(given.note, at, bytes)
    )
      return false;
    const count = padded(chunk.count);
    if (encoding === 'none') memory.bytes(at + bytes, count * 4 - bytes).fill(0);
    else decode(kernels, into, { encoding, at }, count);
    return true;
  }

  const ownPart = ({ node }: Speech, chunk: Chunk): Leaf[] =>
    vectors.ownLeaves(chunk).filter((leaf) => isWithin(leaf.node, node));

  /** The sum is, or will be, over this member's own part of the node. */
  const sumAt = (speech: Speech, chunk: Chunk): number => ownPart(speech, chunk)[0]!.at;

  function speak(speech: Speech, index: number): void {
    const { owner, node, slots, isSent } = speech;
    const given = speech.given[index]!;
    const chunk = owner.chunks[index]!;
    const fetched = slots.map(
      (slot, i): FetchedLeaf => ({
        node: slot.node,
        fetch(into) {
          if (fetch(slot, given[i]!, chunk, into)) return true;
          wire.stats.refused++;
          given[i] = undefined;
          return false;
        },
      }),
    );
    const isSummed = sumNode({
      ...{ kernels, node, shards: plan.shards, count: padded(chunk.count), scratch: layout.scratch },
      leaves: [...ownPart(speech, chunk), ...fetched],
      into: sumAt(speech, chunk),
    });
    if (!isSummed) return;
    isSent[index] = true;
    given.fill(undefined);
    speech.sentBefore = firstUnset(isSent, speech.sentBefore);
    send(speech, index);
  }

  function send(speech: Speech, index: number): void {
    const chunk = speech.owner.chunks[index]!;
    const data = memory.bytes(sumAt(speech, chunk), encodedBytes('none', chunk.count));
    contributor.sendSpoken(speech.owner, index, speech.node, data);
  }

  const speechFor = (owner: number, node: Node): Speech | undefined =>
    speeches[owner]!.find((speech) => speech.node.first === node.first && speech.node.size === node.size);

  return {
    expectAll() {
      for (const speech of speeches.flat()) {
        for (const given of speech.given) given.fill(undefined);
        speech.isSent.fill(false);
        speech.sentBefore = 0;
      }
    },
    placeNode: (header) => (newSlotOf(header) === undefined ? 'skip' : 'own'),
    recordNode(header, data) {
      const place = newSlotOf(header);
      if (place === undefined) return undefined;
      const { speech, slot } = place;
      const bytes = encodedBytes(header.encoding, header.count);
      if (!header.inMemory && data.length !== bytes)
        throw new FleetError('invalidArgument', `${data.length} bytes came where ${bytes} belong`);
      speech.given[header.chunk]![slot] = header.inMemory ? { note: data } : { bytes: data };
      return speech.owner;
    },
    speakTo(owner) {
      for (const speech of speeches[owner.rank]!)
        for (let chunk = speech.sentBefore; chunk < owner.sent; chunk++)
          if (!speech.isSent[chunk] && isComplete(speech, chunk)) speak(speech, chunk);
    },
    repeat(owner, chunk, node) {
      const speech = speechFor(owner.rank, node);
      if (!speech?.isSent[chunk]) return false;
      send(speech, chunk);
      return true;
    },
    speaks: (owner, node) => speechFor(owner, node) !== undefined,
    missingFrom: (rank, owner) =>
      speeches[owner]!.flatMap(({ slots, given, isSent, sentBefore, owner: { sent } }) =>
        slots.flatMap(({ source, index }, slot) =>
          source === rank
            ? chunksBetween(sentBefore, sent)
                .filter((chunk) => !isSent[chunk] && given[chunk]![slot] === undefined)
                .map((chunk) => contributionWord(index, chunk))
            : [],
        ),
      ),
    waitsFor: (owner) =>
      speeches[owner]!.flatMap(({ slots, given, sentBefore }) => {
        const first = given[sentBefore];
        return first === undefined
          ? []
          : slots.filter((_, slot) => first[slot] === undefined).map(({ source }) => source);
      }),
    hasSpokenAll: () => speeches.flat().every(({ isSent, sentBefore }) => sentBefore === isSent.length),
  };
}

const chunksBetween = (first: number, end: number): number[] =>
  Array.from({ length: Math.max(0, end - first) }, (_, i) => first + i);
