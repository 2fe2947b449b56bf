// What a worker's time went into: a closed list of phases, and slices of one worker's timeline that say how
// many seconds of it each phase of each run took. Decides how a slice is cut so that no second is counted
// twice and none is left out, whatever was reported twice, late or not at all.

/**
 * The phases. Where several things go on at once in a worker, an instant belongs to the one that comes first
 * here; only `lost` is never a worker's own word.
 */
export const TIME_PHASES = [
  /** A job of training in the compute thread, or the loop between two jobs. */
  'compute',
  /** The teacher's forward pass for a student's step. */
  'teacher_pass',
  /** Verification on held-out people or sets. */
  'evaluate',
  /** No batch is there to be computed. */
  'data_wait',
  /** A teacher's stage is not stored or not loaded yet. */
  'teacher_wait',
  /** Other members: their part of a sum, a new generation, the end of the run. */
  'reduce_wait',
  /** A checkpoint is gathered and stored, or the store is full or away, and the run waits for that. */
  'checkpoint',
  /** The program starts, data is opened, graphs are compiled. */
  'prepare',
  /** The run is paused and leaves, or somebody drains the worker and it holds nothing. */
  'paused',
  /** What a process had not reported when it was lost, up to when it was taken for lost. */
  'lost',
  /** Nothing to do. */
  'idle',
] as const;

/** One of the phases. */
export type TimePhase = (typeof TIME_PHASES)[number];

/** The phases with the names of their fields on the wire. */
export const PHASE_FIELDS = TIME_PHASES.map(
  (phase) =>
    [phase, phase.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()) as PhaseField] as const,
);

type Camel<T extends string> = T extends `${infer A}_${infer B}` ? `${A}${Capitalize<B>}` : T;
/** The name of a phase on the wire. */
export type PhaseField = Camel<TimePhase>;

/** Seconds by phase; what is absent is 0. */
export type PhaseSeconds = { readonly [K in TimePhase]?: number };

/** Begins a phase; what it returns ends it, and does nothing the second time. */
export type BeginPhase = (phase: TimePhase) => () => void;

/** The phase lasts until the work has settled. */
export async function during<T>(begin: BeginPhase, phase: TimePhase, work: Promise<T>): Promise<T> {
  const end = begin(phase);
  try {
    return await work;
  } finally {
    end();
  }
}

/** What a run, or no run, took of a slice. */
export interface TimeEntry {
  /** Absent: time that belongs to no run. */
  readonly runId?: string;
  /** The stage of the run that was trained towards, from 1; absent where none was. */
  readonly stage?: number;
  readonly seconds: PhaseSeconds;
}

/**
 * A part of the timeline of one process: [from, until), seconds since it began. The seconds of all entries
 * together are until - from.
 */
export interface TimeSlice {
  readonly from: number;
  readonly until: number;
  readonly entries: readonly TimeEntry[];
}

/** Seconds of all phases together. */
export function totalSeconds(seconds: PhaseSeconds): number {
  let total = 0;
  for (const phase of TIME_PHASES) total += seconds[phase] ?? 0;
  return total;
}

/** The sum, phase by phase; `share` of the second. */
export function addSeconds(a: PhaseSeconds, b: PhaseSeconds, share = 1): PhaseSeconds {
  const sum: { -readonly [K in TimePhase]?: number } = { ...a };
  for (const phase of TIME_PHASES) {
    const more = b[phase];
    if (more !== undefined) sum[phase] = (sum[phase] ?? 0) + more * share;
  }
  return sum;
}

/**
 * The part of a slice after `from`, up to which the process has been counted; undefined where there is none. A
 * slice that begins earlier counts in proportion, since it does not say when what was; what lies before its
 * beginning and was never reported is lost.
 */
export function sliceAfter(slice: TimeSlice, from: number): TimeSlice | undefined {
  const { until } = slice;
  if (until <= from) return undefined;
  if (slice.from === from) return slice;
  if (slice.from > from) {
    const gap: TimeEntry = { seconds: { lost: slice.from - from } };
    return { from, until, entries: [gap, ...slice.entries] };
  }
  const share = (until - from) / (until - slice.from);
  const entries = slice.entries.map((entry) => ({ ...entry, seconds: addSeconds({}, entry.seconds, share) }));
  return { from, until, entries };
}
