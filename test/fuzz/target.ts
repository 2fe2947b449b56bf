// What is fuzzed: a decoder of bytes that somebody else has written, with valid inputs to begin from, and the
// bounds that hold whatever it is given. Decides nothing.

import type { RandomStream } from '../../core/rng.ts';

/** An input: one text or file, or the files that are read together. */
export type Sections = readonly Uint8Array[];

/**
 * Resident memory that one case may take beyond what was there before it. Virtual memory may be more by
 * VIRTUAL_PLUS: the C library reserves 64 MiB for each thread of a pool.
 */
export interface MemoryBound {
  /** For each byte of the input. */
  readonly times: number;
  /** Bytes, whatever the input; the heap of the engine itself grows by some 32 MiB at once. */
  readonly plus: number;
}

/** A decoder to be fuzzed. */
export interface Target {
  readonly name: string;
  /** Files of the tree whose decoding functions run, by their paths from its root. */
  readonly decoders: readonly string[];
  /** Valid inputs, made by the real encoders. */
  corpus(): readonly Sections[] | Promise<readonly Sections[]>;
  /**
   * Decodes, and where there is an encoder encodes what came out again. Whatever is thrown must be an error of
   * the family. `scratch`: an empty folder for inputs that are read from files.
   */
  decode(input: Sections, scratch: string): unknown;
  /** An input of this format's own making. */
  compose?(random: RandomStream, corpus: readonly Sections[]): Sections;
  /** Share of the cases that are composed; half of them where nothing is said. */
  readonly composed?: number;
  readonly memory?: MemoryBound;
  /** Cases in the short run. */
  readonly cases?: number;
  /** A message has several lines, as one that shows a line of the text with a mark below. */
  readonly lines?: boolean;
  /** Characters of a message; 1000 where nothing is said. */
  readonly charsMax?: number;
}

/** Bytes of address space that a case may reserve without touching them. */
export const VIRTUAL_PLUS = 512 << 20;

/** The bound of a target that names none. */
export const MEMORY: MemoryBound = { times: 64, plus: 64 << 20 };
