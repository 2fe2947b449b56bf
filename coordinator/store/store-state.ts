// Whether the broker's store takes what is written, as a judgement with its numbers. Pure: facts that were
// seen go in, a state and its sentence come out. The same sentence is shown by `watch`, given as the reason
// of what waits, and sent to whoever submits.

import { formatBytes } from '../../core/text/bytes-text.ts';

/** What was seen of the store at one time. */
export interface StoreFacts {
  readonly streams: readonly {
    readonly name: string;
    readonly bytes: number;
    /** 0: no limit of its own. */
    readonly bytesMax: number;
    /** What the next record of this stream may need. */
    readonly needsBytes: number;
  }[];
  /** What all streams may have together; 0: not known. */
  readonly limitBytes: number;
  /** Folder of the store, or the broker's address where the folder is not known. */
  readonly place: string;
  /** Free on the disk of that folder, where it can be looked at. */
  readonly diskFreeBytes: number | undefined;
  /**
   * The store's own words when it refused the last write that was tried; undefined when it took it, or none
   * was tried.
   */
  readonly refused: string | undefined;
  /** What holds the most of it, as words for a person, the largest first; empty while nobody has looked. */
  readonly holders: readonly string[];
  /**
   * How long the broker, connected, has not confirmed a write, milliseconds; 0: it confirmed the last one.
   */
  readonly silentMs: number;
}

/** The judgement on the store. */
export interface StoreState {
  readonly kind: 'ok' | 'full' | 'silent';
  /** Empty when ok. */
  readonly reason: string;
  readonly usedBytes: number;
  readonly limitBytes: number;
  /** As they were seen; empty before anybody looked. */
  readonly streams: StoreFacts['streams'];
  readonly place: string;
  /** Since when it is in this state, milliseconds since the epoch. */
  readonly sinceMs: number;
}

/** Below this no write is safe: a message of the journal has up to 256 KiB, and files grow in blocks. */
const DISK_FREE_BYTES_MIN = 1 << 20;
/** A loaded disk may be slow, but not for this long without any confirmation. */
const SILENT_MS = 4_000;

/**
 * The state of the store by these facts. `before`: the last judgement, whose begin counts on while nothing
 * changes.
 */
export function judgeStore(facts: StoreFacts, before: StoreState | undefined, nowMs: number): StoreState {
  const usedBytes = facts.streams.reduce((sum, { bytes }) => sum + bytes, 0);
  const { kind, why } = verdictOf(facts);
  const sinceMs = before?.kind === kind ? before.sinceMs : nowMs;
  const { limitBytes, place } = facts;
  return {
    kind,
    reason:
      kind === 'ok'
        ? ''
        : sentenceOf({ kind, why, usedBytes, limitBytes, place, sinceMs, holders: facts.holders }),
    usedBytes,
    limitBytes,
    streams: facts.streams,
    place,
    sinceMs,
  };
}

/** Whether the next record of a stream may find no room in its part. */
function isShort({ bytes, bytesMax, needsBytes }: StoreFacts['streams'][number]): boolean {
  return bytesMax > 0 && needsBytes > 0 && bytes + needsBytes > bytesMax;
}

/**
 * The streams as they count at this look, and those that are short of room now. A stream that is short at one
 * look alone does not count: a coordinator that starts measures the limit by the part of the checkpoints,
 * which looks too small for a moment.
 */
export function shortTwice(
  sizes: StoreFacts['streams'],
  shortBefore: ReadonlySet<string>,
): { readonly streams: StoreFacts['streams']; readonly short: ReadonlySet<string> } {
  const short = new Set(sizes.filter(isShort).map(({ name }) => name));
  const streams = sizes.map((size) =>
    short.has(size.name) && !shortBefore.has(size.name) ? { ...size, needsBytes: 0 } : size,
  );
  return { streams, short };
}

/**
 * Whether a write is tried to find out. While all is well and known it is not, since each try costs the disk
 * a sync. A limit that is not known may be passed already: a broker reports that only when something is
 * written.
 */
export function mustTryWrite(at: {
  /** An append to the journal is being tried again. */
  readonly isTroubled: boolean;
  /** Some run waits for the store. */
  readonly anyWait: boolean;
  readonly limitBytes: number;
  readonly kind: StoreState['kind'];
}): boolean {
  return at.isTroubled || at.anyWait || at.limitBytes === 0 || at.kind !== 'ok';
}

/**
 * How long the store has been silent: since the older of two open writes, but not longer than the broker is
 * connected.
 */
export function silenceMs(open: {
  readonly connectedMs: number;
  /** How long tries to write have found no answer; 0: none is open. */
  readonly probingMs: number;
  /** How long an append to the journal has found no answer; 0: none is open. */
  readonly appendingMs: number;
}): number {
  return Math.min(open.connectedMs, Math.max(open.probingMs, open.appendingMs));
}

function verdictOf(facts: StoreFacts): { kind: StoreState['kind']; why: string } {
  const { diskFreeBytes } = facts;
  if (diskFreeBytes !== undefined && diskFreeBytes < DISK_FREE_BYTES_MIN)
    return { kind: 'full', why: `its disk has ${formatBytes(diskFreeBytes)} free` };
  const full = facts.streams.find(isShort);
  if (full !== undefined)
    return {
      kind: 'full',
      why: `${full.name} has ${formatBytes(full.bytes)} of the ${formatBytes(full.bytesMax)} that are its part, and the rest is kept for the journal`,
    };
  if (facts.refused !== undefined) return { kind: 'full', why: `a write was refused (${facts.refused})` };
  if (facts.silentMs >= SILENT_MS)
    return {
      kind: 'silent',
      why: 'it is connected and confirms no write, as a nats-server does after its disk was full',
    };
  return { kind: 'ok', why: '' };
}

function sentenceOf(state: {
  kind: 'full' | 'silent';
  why: string;
  usedBytes: number;
  limitBytes: number;
  place: string;
  sinceMs: number;
  holders: readonly string[];
}): string {
  const since = new Date(state.sinceMs).toISOString().slice(0, 19);
  const limit = state.limitBytes > 0 ? ` of ${formatBytes(state.limitBytes)}` : '';
  const most = state.holders.length === 0 ? '' : `; the most is held by ${state.holders.join(', ')}`;
  const cure =
    state.kind === 'full'
      ? `give the store room (\`pocketfleet prune\` and \`rm\` remove what has ended; free its disk, or raise its limit: \`up --store-bytes\`, nats.storage.size of the chart, max_file_store)`
      : `free its disk and restart nats-server (\`up\` does so itself)`;
  return `the store at ${state.place} ${state.kind === 'full' ? 'is full' : 'does not store'} since ${since}Z: ${formatBytes(state.usedBytes)}${limit} are used, and ${state.why}${most}; ${cure}, and work goes on by itself`;
}
