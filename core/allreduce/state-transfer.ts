// The state of a replica from a member that has it to one that is behind: the asker pulls pieces in a window and asks
// again for what does not come; the giver keeps nothing. Decides layout, pace and verification of the transfer; who
// gives to whom, and when, is sync.ts'.

import { createDeferred } from '../deferred.ts';
import { digest64 } from '../digest.ts';
import { FleetError } from '../errors.ts';
import { encodeFloats, encodeJson, encodeWords, floatsOf, jsonOf, type Message, wordsOf } from './message.ts';
import { CHUNK_ELEMENTS_MAX } from './plan.ts';
import type { State, Wire } from './wire.ts';

const PARTS = ['weights', 'momentum', 'running'] as const;
type Part = (typeof PARTS)[number];

/** What a state consists of: sent first, as JSON. */
interface Contents {
  readonly lengths: readonly number[];
  readonly digests: readonly string[];
}

interface Piece {
  readonly part: Part;
  readonly offset: number;
  readonly count: number;
}

/** Chunk number of the message that carries the contents. */
const CONTENTS_CHUNK = 0xffff_ffff;
const WINDOW = 8;
const TRIES_MAX = 3;

export interface Provider {
  answer(message: Message): void;
}

/** Answers requests from the state as it is when they come; the caller makes sure that it is the one asked for. */
export function createProvider(wire: Wire, provideState: () => State): Provider {
  let contents: { readonly step: number; readonly value: Contents } | undefined;

  function answer(message: Message): void {
    const { source, step } = message;
    const state = provideState();
    const wanted = wordsOf(message).slice(0, WINDOW);
    if (wanted.length === 0) {
      if (contents?.step !== step) contents = { step, value: contentsOf(state) };
      const header = wire.header('state', step, { chunk: CONTENTS_CHUNK });
      wire.sendTo(source, 'state', step, CONTENTS_CHUNK, encodeJson(header, contents.value));
      return;
    }
    const pieces = piecesOf(PARTS.map((part) => state[part].length));
    for (const chunk of wanted) {
      const piece = pieces[chunk];
      if (piece === undefined) continue;
      const { part, offset, count } = piece;
      const payload = encodeFloats(
        wire.header('state', step, { chunk, offset, count }),
        state[part].subarray(offset, offset + count),
      );
      wire.sendTo(source, 'state', step, chunk, payload);
    }
  }
  return { answer };
}

export interface Fetch {
  readonly state: Promise<State>;
  take(message: Message): void;
  tick(): void;
  fail(error: FleetError): void;
}

/** Fetches the state of `step` from rank `provider`; three transfers with wrong digests are `dataLoss`. */
export function createFetch(options: { wire: Wire; step: number; provider: number }): Fetch {
  const { wire, step, provider } = options;
  const done = createDeferred<State>();
  let contents: Contents | undefined;
  let pieces: Piece[] = [];
  let state: Record<Part, Float32Array> | undefined;
  const open = new Set<number>();
  let next = 0;
  let tries = 1;
  let heardAt = wire.now();

  function ask(chunks: readonly number[]): void {
    wire.sendTo(provider, 'ask-state', step, 0, encodeWords(wire.header('ask-state', step), chunks));
  }

  function begin(): void {
    state = { weights: new Float32Array(0), momentum: new Float32Array(0), running: new Float32Array(0) };
    PARTS.forEach((part, i) => {
      state![part] = new Float32Array(contents!.lengths[i]!);
    });
    pieces = piecesOf(contents!.lengths);
    next = 0;
    askMore();
    finishIfComplete();
  }

  function askMore(): void {
    const chunks: number[] = [];
    while (open.size < WINDOW && next < pieces.length) {
      chunks.push(next);
      open.add(next++);
    }
    if (chunks.length > 0) ask(chunks);
  }

  function take(message: Message): void {
    if (message.source !== provider || message.step !== step) return;
    if (message.chunk === CONTENTS_CHUNK) {
      if (contents !== undefined) return;
      contents = checkedContents(jsonOf(message));
      heardAt = wire.now();
      begin();
      return;
    }
    const piece = pieces[message.chunk];
    if (piece === undefined || !open.has(message.chunk)) return;
    if (message.offset !== piece.offset || message.count !== piece.count)
      throw new FleetError('invalidArgument', `${wire.nameOf(provider)} gave another piece than asked for`);
    state![piece.part].set(floatsOf(message), piece.offset);
    open.delete(message.chunk);
    heardAt = wire.now();
    // Ask in halves of the window: a request for each piece would double the messages.
    if (open.size <= WINDOW / 2) askMore();
    finishIfComplete();
  }

  function finishIfComplete(): void {
    if (open.size > 0 || next < pieces.length) return;
    const wrong = PARTS.find((part, i) => digest64(state![part]) !== contents!.digests[i]);
    if (wrong === undefined) done.resolve(state!);
    else if (tries++ < TRIES_MAX) begin();
    else
      done.reject(
        new FleetError(
          'dataLoss',
          `the ${wrong} of step ${step} from ${wire.nameOf(provider)} arrived with a wrong digest ${TRIES_MAX} times`,
        ),
      );
  }

  ask([]);
  return {
    state: done.promise,
    take,
    tick() {
      if (wire.now() - heardAt < wire.stallMs) return;
      heardAt = wire.now();
      wire.stats.nacks++;
      ask([...open]);
    },
    fail: (error) => done.reject(error),
  };
}

function contentsOf(state: State): Contents {
  return {
    lengths: PARTS.map((part) => state[part].length),
    digests: PARTS.map((part) => digest64(state[part])),
  };
}

function piecesOf(lengths: readonly number[]): Piece[] {
  return PARTS.flatMap((part, i) => {
    const pieces: Piece[] = [];
    for (let offset = 0; offset < lengths[i]!; offset += CHUNK_ELEMENTS_MAX)
      pieces.push({ part, offset, count: Math.min(CHUNK_ELEMENTS_MAX, lengths[i]! - offset) });
    return pieces;
  });
}

function checkedContents(value: unknown): Contents {
  const { lengths, digests } = (value ?? {}) as { lengths?: unknown; digests?: unknown };
  const isLength = (n: unknown): boolean =>
    Number.isInteger(n) && (n as number) >= 0 && (n as number) < 2 ** 31;
  if (
    Array.isArray(lengths) &&
    Array.isArray(digests) &&
    lengths.length === PARTS.length &&
    digests.length === PARTS.length &&
    lengths.every(isLength) &&
    digests.every((d) => typeof d === 'string')
  )
    return { lengths, digests };
  throw new FleetError('invalidArgument', 'the contents of a state are three lengths and three digests');
}
