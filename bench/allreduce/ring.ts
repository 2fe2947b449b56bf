// The reference that the exchange is measured against: a ring all-reduce over direct TCP connections between
// the members, with nothing between them. Written to be fast (chunks are added and passed on as they arrive,
// read straight to their place, added by the same vector kernels), and for nothing else: no losses, no
// generations, its sums depend on the number of members.

import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { createKernels, createSharedMemory } from '../../core/allreduce/kernels/create-kernels.ts';

const CHUNK_BYTES = 256 * 1024;
/** Elements come in whole blocks of the kernels. */
const BLOCK = 256;

export interface Ring {
  /** This member's vector; after `reduce` it is the mean over the members. */
  readonly vector: Float32Array;
  reduce(): Promise<void>;
  close(): void;
}

export interface RingPort {
  readonly port: number;
  /** `next`: port of the next member. */
  join(options: { readonly rank: number; readonly ranks: number; readonly next: number }): Promise<Sockets>;
  close(): void;
}

export interface Sockets {
  readonly rank: number;
  readonly ranks: number;
  readonly out: Socket;
  /** Read only while a reduce runs: a neighbour may begin the next one before this member. */
  readonly incoming: Socket;
  /** The current ring's; the socket outlives it. */
  target: () => Uint8Array;
  filled: (bytes: number) => void;
  close(): void;
}

export async function openRingPort(): Promise<RingPort> {
  const server = createServer({ pauseOnConnect: true, noDelay: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // The connection is awaited from the start: the neighbour may dial before this member receives `join`.
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the ring has no port');
  return {
    port: address.port,
    async join({ rank, ranks, next }) {
      // The dialling side reads, because only it can choose where to connect. So data flows from the accepting to the dialling
      // member.
      const nothing = new Uint8Array(1);
      const sockets: Sockets = {
        rank,
        ranks,
        out: undefined as unknown as Socket,
        incoming: undefined as unknown as Socket,
        target: () => nothing,
        filled: () => {},
        close: () => {},
      };
      const incoming = connect({
        host: '127.0.0.1',
        port: next,
        noDelay: true,
        onread: {
          buffer: () => sockets.target() as Uint8Array<ArrayBuffer>,
          callback: (bytes) => {
            sockets.filled(bytes);
            return true;
          },
        },
      });
      await once(incoming, 'connect');
      incoming.pause();
      const [out] = await accepted;
      out.setNoDelay(true);
      return Object.assign(sockets, {
        out,
        incoming,
        close() {
          out.destroy();
          incoming.destroy();
        },
      });
    },
    close: () => server.close(),
  };
}

interface Part {
  readonly at: number;
  readonly bytes: number;
}

/** Data comes from the member that was dialled, `next`, so the ring runs downwards. */
export function createRing(sockets: Sockets, elements: number): Ring {
  const { rank, ranks, out, incoming } = sockets;
  const padded = Math.ceil(elements / BLOCK) * BLOCK;
  const memory = createSharedMemory(padded * 4 + CHUNK_BYTES);
  const kernels = createKernels(memory);
  const arriving = padded * 4;
  const bytes = (at: number, length: number): Uint8Array => new Uint8Array(memory.buffer, at, length);
  const segments = partsOf(padded, ranks);
  const steps = 2 * (ranks - 1);
  const segmentAt = (step: number): readonly Part[] => segments[(rank + step + 1) % ranks]!;
  let step = 0;
  let part = 0;
  let filled = 0;
  /** Chunks that are written and not yet read by the system; their bytes must stay. */
  let unsent = 0;
  let complete = false;
  let resolve: (() => void) | undefined;

  function send({ at, bytes: length }: Part): void {
    unsent++;
    out.write(bytes(at, length), () => {
      unsent--;
      finish();
    });
  }

  function finish(): void {
    if (complete && unsent === 0) resolve?.();
  }

  function current(): Part | undefined {
    // A vector shorter than the ring leaves segments empty.
    while (step < steps && part >= segmentAt(step).length) {
      step++;
      part = 0;
    }
    return step < steps ? segmentAt(step)[part] : undefined;
  }

  sockets.target = () => {
    const next = current();
    if (next === undefined) return idle;
    const adding = step < ranks - 1;
    return bytes((adding ? arriving : next.at) + filled, next.bytes - filled);
  };
  const idle = new Uint8Array(1);

  sockets.filled = (count) => {
    filled += count;
    const done = current()!;
    if (filled < done.bytes) return;
    filled = 0;
    if (step < ranks - 1) {
      const count = done.bytes / 4;
      kernels.add(done.at, done.at, arriving, count);
      if (step === ranks - 2) kernels.scale(done.at, done.at, 1 / ranks, count);
    }
    if (step < steps - 1) send(done);
    part++;
    if (current() !== undefined) return;
    complete = true;
    incoming.pause();
    finish();
  };

  return {
    vector: new Float32Array(memory.buffer, 0, elements),
    reduce() {
      step = 0;
      part = 0;
      filled = 0;
      complete = false;
      const finished = new Promise<void>((done) => {
        resolve = done;
      });
      for (const own of segments[rank]!) send(own);
      incoming.resume();
      return finished;
    },
    close() {
      sockets.target = () => idle;
      sockets.filled = () => {};
    },
  };
}

/** One segment a member, in chunks. */
function partsOf(padded: number, ranks: number): Part[][] {
  const size = Math.ceil(padded / BLOCK / ranks) * BLOCK * 4;
  return Array.from({ length: ranks }, (_, i) => {
    const end = Math.min((i + 1) * size, padded * 4);
    const parts: Part[] = [];
    for (let at = i * size; at < end; at += CHUNK_BYTES)
      parts.push({ at, bytes: Math.min(CHUNK_BYTES, end - at) });
    return parts;
  });
}
