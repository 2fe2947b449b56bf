// One step's sum as one member sees it. Decides when what is sent, placed, added, asked for and repeated, by
// the rules of step-state.ts.
//
// A member has three parts in a step. It contributes its nodes to the owners of the slices (contributor.ts), it
// adds up and publishes the slices that it owns itself (publisher.ts), and it collects the finished slices of
// the others (collector.ts). Among members that read each other's memory it also speaks for others to owners elsewhere
// (speaker.ts), and brings them the results of such owners (bringer.ts):
//
//   member A                        owner B                          all
//     │── contribution, chunk 0 ────►│
//     │── contribution, chunk 1 ────►│  adds chunk 0 when every member's nodes are there
//     │◄───────── result, chunk 0 ───│──────────────────────────────►│   once to the broker, which fans it out
//     │── contribution, chunk 2 ────►│
//     ✗ result, chunk 1, lost        │
//     │   quiet for stallMs          │
//     │── missing: result 1 ────────►│
//     │◄───────── result, chunk 1 ───│                                   to A alone
//
// Repair. Whoever lacks something asks whoever has to send it, naming each part: an owner asks the
// contributors, a member asks the owners, or who speaks or brings in their place. The answer is the same message
// again, with the same bytes, or `here` when there is nothing to give yet, with those for whom the member waits
// itself. Nobody keeps anything for the repair: contributions and results are read from where they lie, and
// everything is idempotent by (source, node, chunk), so a repetition is dropped without a copy.
//
// One memory serves all steps, and it is never written while somebody may need it. A contribution to step
// s + 1 comes from a member that has all of s, hence everything published here for s; a chunk of s + 1 is
// published here only after every member has contributed to it, hence has all of s. What is still under way
// then is a repetition, and what arrives of it does not matter.

import assert from 'node:assert/strict';
import { createDeferred } from '../deferred.ts';
import { FleetError } from '../errors.ts';
import { createArrivals } from './arrivals.ts';
import { createAsking } from './asking.ts';
import { createBringer } from './bringer.ts';
import { createCollector } from './collector.ts';
import { createContributor } from './contributor.ts';
import type { ExchangeMemory } from './memory.ts';
import { encodeWords, type Header, wordsOf } from './message.ts';
import type { Neighbours } from './neighbours.ts';
import type { Notes } from './notes.ts';
import type { OwnVectors } from './own-vectors.ts';
import type { Plan } from './plan.ts';
import { createPublisher } from './publisher.ts';
import { type Request, requestOf } from './request-words.ts';
import type { Routes } from './routes.ts';
import { createSpeaker } from './speaker.ts';
import {
  canRepeatContribution,
  createStepState,
  type OwnerState,
  phaseAfter,
  requestsNow,
  resetStep,
  type StepState,
  startedApart,
} from './step-state.ts';
import type { Place, Wire } from './wire.ts';

/** Serves one step after the other. */
export interface Reduction {
  beginStep(step: number): void;
  /** Gives up what has arrived and was not added. */
  endStep(): void;
  /** Resolves when the sum over all shards of this step is complete in memory. */
  whenSummed(): Promise<void>;
  /** Contributes the vectors in memory, which must not change until the sum is complete. */
  contributeAll(digest: string): void;
  /** Where the data of a contribution or result goes; 'skip' when it is here already. */
  placePart(header: Header): Place;
  /**
   * A contribution or result has been read to its place, or a request has come; early contributions are kept.
   */
  acceptPart(header: Header, data: Uint8Array): void;
  /** Asks members that have been quiet for what is missing. */
  askMissing(): void;
  /**
   * How long the part of a member has been missing here, and how often it was asked; undefined when nothing
   * of it is missing.
   */
  waitedFor(rank: number): { readonly ms: number; readonly asked: number } | undefined;
  /**
   * All contributions are sent and all chunks owned here are published: nothing of the vectors in memory is
   * needed any more.
   */
  hasGivenAll(): boolean;
  failSum(error: FleetError): void;
}

export interface ReductionOptions {
  readonly plan: Plan;
  readonly routes: Routes;
  readonly wire: Wire;
  readonly memory: ExchangeMemory;
  readonly vectors: OwnVectors;
  /** Addresses of the free rooms of the memory, shared by all steps. */
  readonly rooms: number[];
  readonly neighbours: Pick<
    Neighbours,
    'contributionAt' | 'publishedAt' | 'readNode' | 'bring' | 'readBrought'
  >;
  readonly notes: Notes;
}

export function createReduction(options: ReductionOptions): Reduction {
  const { plan, routes, wire } = options;
  const state = createStepState(plan);
  const arrivals = createArrivals(options);
  const asking = createAsking(wire);
  const contributor = createContributor(options, state);
  const speaker = createSpeaker(options, state, contributor);
  const publisher = createPublisher(options, state, arrivals);
  const bringer = createBringer(options, state);
  const collector = createCollector(options, state, bringer);
  const { others } = contributor;
  /** Whose slices this member adds up, or parts of them. */
  const gathered = [wire.rank, ...routes.spokenTo];
  let done = createDeferred<void>();

  function contributeAll(digest: string): void {
    assert(state.phase === 'waiting', `step ${state.step} is summed once`);
    state.digest = digest;
    state.phase = 'open';
    for (const owner of others) {
      checkDigest(wire, state, owner);
      asking.beginWait(owner.rank);
    }
    contributor.contributeFirst();
    for (const owner of others) speaker.speakTo(owner);
    for (const entry of arrivals.own) publisher.publishIfReady(entry);
    finishIfComplete();
  }

  function acceptContribution(header: Header, data: Uint8Array): void {
    if (header.owner !== wire.rank) {
      const owner = speaker.recordNode(header, data);
      if (owner !== undefined && isWithSameWeights(header)) speaker.speakTo(owner);
      return;
    }
    const entry = header.inMemory ? arrivals.recordNote(header, data) : arrivals.recordContribution(header);
    if (entry === undefined || !isWithSameWeights(header)) return;
    publisher.publishIfReady(entry);
    finishIfComplete();
  }

  /** Notes what came; false before this member's own vectors are there. */
  function isWithSameWeights({ source, digest }: Header): boolean {
    const member = state.owners[source]!;
    asking.noteNews(source);
    member.digest = digest;
    if (state.phase !== 'open') return false;
    checkDigest(wire, state, member);
    return true;
  }

  function acceptResult(header: Header, data: Uint8Array): void {
    const owner = header.inMemory ? collector.acceptNote(header, data) : collector.acceptResult(header);
    if (owner === undefined) return;
    asking.noteNews(header.source);
    contributor.contributeMore(owner);
    speaker.speakTo(owner);
    finishIfComplete();
  }

  function finishIfComplete(): void {
    const phase = phaseAfter(state);
    if (phase === state.phase) return;
    state.phase = phase;
    done.resolve();
  }

  function answerRequest({ source, owner: rank }: Header, data: Uint8Array): void {
    const owner = state.owners[rank];
    const requests = owner === undefined ? [] : wordsOf(data).map(requestOf);
    const answered = requests.filter((request) => repeat(owner!, request, source)).length;
    wire.stats.resends += answered;
    if (answered > 0) return;
    const waitsFor = owner === undefined ? [] : speaker.waitsFor(rank);
    wire.sendTo(source, wire.header('here', state.step), encodeWords(waitsFor));
  }

  /** Sends again what a member misses of an owner's slices; false when there is nothing to send yet. */
  function repeat(owner: OwnerState, request: Request, asker: number): boolean {
    const { kind, chunk } = request;
    if (kind === 'result')
      return owner.rank === wire.rank
        ? publisher.repeatResult(chunk, asker)
        : bringer.repeat(owner, chunk, asker);
    const nodes = routes.given(wire.rank, asker, owner.rank);
    if (!canRepeatContribution(state, owner.rank, request, nodes.length)) return false;
    const node = nodes[request.index]!;
    if (asker === owner.rank && speaker.speaks(owner.rank, node)) return speaker.repeat(owner, chunk, node);
    contributor.repeat(asker, owner, chunk, node);
    return true;
  }

  function askMissing(): void {
    const facts = { isDue: asking.isDue, missingFrom, bringer: routes.bringer };
    const requests = requestsNow(state, others, facts);
    for (const rank of new Set(requests.map((request) => request.rank))) {
      asking.noteRequest(rank);
      wire.noteQuestion(rank);
    }
    for (const { rank, owner, words } of requests) {
      wire.stats.nacks++;
      wire.sendTo(rank, wire.header('missing', state.step, { owner }), encodeWords(words));
    }
  }

  const missingFrom = (rank: number, owner: number): number[] =>
    owner === wire.rank ? arrivals.missingFrom(rank) : speaker.missingFrom(rank, owner);

  const owes = (rank: number): boolean => gathered.some((owner) => missingFrom(rank, owner).length > 0);

  /** A member that waits for another itself is not the one that is late. */
  function waitedFor(rank: number): ReturnType<Reduction['waitedFor']> {
    if (state.phase !== 'open') return undefined;
    if (asking.waitsFor(rank).length === 0 && owes(rank)) return asking.waited(rank);
    const through = others.find((other) => asking.waitsFor(other.rank).includes(rank) && owes(other.rank));
    return through && asking.waited(through.rank);
  }

  return {
    beginStep(step) {
      resetStep(state, step);
      done = createDeferred<void>();
      arrivals.expectAll();
      speaker.expectAll();
      for (const { rank } of state.owners) asking.noteNews(rank);
    },
    endStep: arrivals.returnRooms,
    whenSummed: () => done.promise,
    contributeAll,
    placePart(header) {
      if (header.kind === 'result') return collector.placeResult(header);
      return header.owner === wire.rank ? arrivals.placeContribution(header) : speaker.placeNode(header);
    },
    acceptPart(header, data) {
      if (header.kind === 'contribution') acceptContribution(header, data);
      else if (header.kind === 'result') acceptResult(header, data);
      else if (header.kind === 'here') asking.noteWaits(header.source, wordsOf(data));
      else answerRequest(header, data);
    },
    askMissing,
    waitedFor,
    hasGivenAll: () => arrivals.isAllPublished() && contributor.hasSentAll() && speaker.hasSpokenAll(),
    failSum: (error) => done.reject(error),
  };
}

function checkDigest(wire: Wire, state: StepState, owner: OwnerState): void {
  if (startedApart(state, owner)) wire.stop(apartError(wire, state, owner));
}

function apartError(
  { rank, nameOf }: Wire,
  { step, digest }: { readonly step: number; readonly digest: string },
  other: OwnerState,
): FleetError {
  return new FleetError(
    'dataLoss',
    `replicas differ at the start of step ${step}: ${nameOf(rank)} has weights ${digest}, ${nameOf(other.rank)} has ${other.digest}`,
    { details: { step, ranks: [rank, other.rank], digests: [digest, other.digest] } },
  );
}
