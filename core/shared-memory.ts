// Shared memory that is no longer needed. V8 does not count it when it decides whether to collect: 200 blocks
// of 16 MiB, released one after the other, stay allocated as 3.2 GiB (measured on Node 20). So code that
// releases much of it reports that here. Decides when it is enough for a collection. Memory is free once
// every thread that has seen it has collected.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { after } from './clock.ts';
import { FleetError } from './errors.ts';

/** Bytes that may wait for a collection, which costs some 15 ms of its thread. */
const WAITING_BYTES_MAX = 256 * 1024 * 1024;

/** Delay of a collection, milliseconds: while the caller reports, it still holds the memory. */
const DELAY_MS = 100;

let waitingBytes = 0;

let isDue = false;

let collect: (() => void) | undefined;

/** Reports that this thread will not touch `bytes` of shared memory again once the caller has returned. */
export function letGoOfShared(bytes: number): void {
  waitingBytes += bytes;
  if (waitingBytes < WAITING_BYTES_MAX || isDue) return;
  isDue = true;
  const free = () => {
    isDue = false;
    waitingBytes = 0;
    collect ??= collector();
    collect();
  };
  after(DELAY_MS, free, { holdsProcess: false });
}

/** V8's collector as a function. The flag takes effect in contexts that are made after it. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/** Zeros in memory that threads share; `resourceExhausted` where there is not so much. */
export function sharedFloats(length: number): Float32Array<SharedArrayBuffer> {
  return new Float32Array(sharedBytes(length * Float32Array.BYTES_PER_ELEMENT).buffer);
}

/** The same as bytes. */
export function sharedBytes(length: number): Uint8Array<SharedArrayBuffer> {
  try {
    return new Uint8Array(new SharedArrayBuffer(length));
  } catch (cause) {
    throw new FleetError('resourceExhausted', `there is no memory for ${length} bytes at once`, {
      cause,
      details: { bytes: length },
    });
  }
}
