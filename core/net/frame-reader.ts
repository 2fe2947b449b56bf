// Cuts the bytes of a NATS server into lines and messages, without a copy of the data. Decides framing only.
// Protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol
//
// Gradients arrive as large messages, and copying them would cost more than everything else here. So the
// receiver sees the first HEAD_BYTES of a message, which say what it is, and names the memory for the rest.
// From then on `target` hands that memory to the socket, and the system writes into it. Only what arrives in
// one read together with a line lands in the scratch buffer and is copied: SCRATCH_BYTES at most for each
// message.
//
// A message passes through the modes line, head, data (or skip), end; `done` counts the bytes of the current
// mode.

import { FleetError } from '../errors.ts';
import { foundText } from '../text/printable.ts';

/** Bytes of a message that the receiver sees before it names memory for the rest. */
export const HEAD_BYTES = 64;

/** Receives lines and messages, in the order of their arrival. */
export interface FrameSink {
  /** Receives every line that is no message (INFO, PING, PONG, +OK, -ERR), without its line end. */
  line(text: string): void;
  /**
   * Called when the head of a message is complete. `head` holds its first HEAD_BYTES, or all of a shorter
   * message, until `message` returns. Returns memory for exactly the `dataBytes` that follow, 'own' for new
   * memory, or 'skip' for a message that is not wanted.
   */
  begin(subscription: number, head: Uint8Array, dataBytes: number): Uint8Array | 'own' | 'skip';
  /** Called when a message is complete, unless it is skipped. */
  message(subscription: number, head: Uint8Array, data: Uint8Array): void;
}

/** Takes the bytes of one socket, in order. */
export interface FrameReader {
  /** The memory for the next bytes of the socket. */
  target(): Uint8Array;
  /** Takes `bytes` that were read into the last target. */
  filled(bytes: number): void;
  /** Takes bytes in memory of their own, as an encrypted socket gives them. */
  feed(bytes: Uint8Array): void;
}

/**
 * A larger scratch buffer needs fewer reads between messages; a smaller one copies less data that came with a
 * line.
 */
const SCRATCH_BYTES = 2_048;
const LINE_BYTES_MAX = 65_536;
/** The largest message that a server of NATS can be set to take. */
const MESSAGE_BYTES_MAX = 64 << 20;
const NEWLINE = 10;
/** `\r\n` behind a message. */
const LINE_END_BYTES = 2;
const EMPTY = new Uint8Array(0);

type Mode = 'line' | 'head' | 'data' | 'skip' | 'end';

/** A reader at the beginning of a stream. It throws `dataLoss` for bytes that are no NATS protocol. */
export function createFrameReader(sink: FrameSink): FrameReader {
  const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  const head = new Uint8Array(HEAD_BYTES);
  let mode: Mode = 'line';
  /** The beginning of a line whose end has not arrived, latin1. */
  let partial = '';
  let subscription = 0;
  let headBytes = 0;
  let dataBytes = 0;
  /** Bytes of the current mode that have arrived. */
  let done = 0;
  let data: Uint8Array = EMPTY;
  /** Whether the last target was `data` itself. */
  let direct = false;

  function feed(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at = take(bytes, at);
  }

  /** Takes the bytes of the current mode from `at` on; returns the offset behind them. */
  function take(bytes: Uint8Array, at: number): number {
    if (mode === 'line') return takeLine(bytes, at);
    const wanted = mode === 'head' ? headBytes : mode === 'end' ? LINE_END_BYTES : dataBytes;
    const end = Math.min(bytes.length, at + wanted - done);
    if (mode === 'data') {
      data.set(bytes.subarray(at, end), done);
      advance(end - at);
      return end;
    }
    if (mode === 'head') head.set(bytes.subarray(at, end), done);
    done += end - at;
    if (done < wanted) return end;
    if (mode === 'head') begin();
    else enter(mode === 'skip' ? 'end' : 'line');
    return end;
  }

  function takeLine(bytes: Uint8Array, at: number): number {
    const end = bytes.indexOf(NEWLINE, at);
    const piece = Buffer.from(bytes.buffer, bytes.byteOffset + at, (end < 0 ? bytes.length : end) - at);
    partial += piece.toString('latin1');
    if (partial.length > LINE_BYTES_MAX)
      throw new FleetError('dataLoss', `the broker sent a line of more than ${LINE_BYTES_MAX} bytes`);
    if (end < 0) return bytes.length;
    const line = partial.endsWith('\r') ? partial.slice(0, -1) : partial;
    partial = '';
    if (line.startsWith('MSG ')) beginMessage(line);
    else sink.line(line);
    return end + 1;
  }

  function beginMessage(line: string): void {
    const message = parseMessageLine(line);
    subscription = message.subscription;
    headBytes = Math.min(HEAD_BYTES, message.bytes);
    dataBytes = message.bytes - headBytes;
    enter('head');
    if (headBytes === 0) begin();
  }

  function begin(): void {
    const place = sink.begin(subscription, head.subarray(0, headBytes), dataBytes);
    if (place === 'skip') {
      enter(dataBytes === 0 ? 'end' : 'skip');
      return;
    }
    data = place === 'own' ? new Uint8Array(dataBytes) : place;
    if (data.length !== dataBytes)
      throw new Error(`assertion: ${data.length} bytes of room for ${dataBytes} bytes of data`);
    enter('data');
    advance(0);
  }

  function advance(bytes: number): void {
    done += bytes;
    if (done < dataBytes) return;
    const complete = data;
    data = EMPTY;
    enter('end');
    sink.message(subscription, head.subarray(0, headBytes), complete);
  }

  function enter(next: Mode): void {
    mode = next;
    done = 0;
  }

  return {
    target() {
      direct = mode === 'data';
      return direct ? data.subarray(done) : scratch;
    },
    filled(bytes) {
      if (direct) advance(bytes);
      else feed(scratch.subarray(0, bytes));
    },
    feed,
  };
}

/** `MSG subject sid [reply] bytes`. A subject contains no space. */
const MESSAGE_LINE = /^MSG \S+ (\d{1,15})(?: \S+)? (\d{1,15})$/;

function parseMessageLine(line: string): { readonly subscription: number; readonly bytes: number } {
  const [, subscription, bytes] = MESSAGE_LINE.exec(line) ?? [];
  if (subscription === undefined)
    throw new FleetError('dataLoss', `the broker sent ${foundText(line)}, which begins no message`);
  if (Number(bytes) > MESSAGE_BYTES_MAX)
    throw new FleetError(
      'dataLoss',
      `the broker announced a message of ${bytes} bytes, ${MESSAGE_BYTES_MAX} are the most`,
    );
  return { subscription: Number(subscription), bytes: Number(bytes) };
}
