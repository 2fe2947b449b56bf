// Where the time of this process goes: one timeline, each instant of which belongs to one phase of one run, or
// of none. Decides whose an instant is. What the compute thread works on gets it, since that has one job at a
// time. Otherwise the phase that comes first in the list (core/worker-time.ts) among those that the runs are
// in; runs in the same phase share the instant in equal parts. A process without runs is idle.
//
// Every change charges the time since the one before, so that the seconds of a slice add up to its length,
// whatever was begun and ended in between.

import type { Clock } from '../../core/clock.ts';
import {
  addSeconds,
  type BeginPhase,
  TIME_PHASES,
  type TimeEntry,
  type TimePhase,
  type TimeSlice,
} from '../../core/worker-time.ts';
import type { JobOwner } from '../compute/client.ts';
import type { JobKind } from '../compute/job-kind.ts';

/** The time of one run, or of work that belongs to none. */
export interface RunTime {
  /** What it is in when nothing else is begun. */
  rest(phase: TimePhase): void;
  /** Begins something within it; of several the first in the list counts. */
  readonly begin: BeginPhase;
  /** The stage that is trained towards from now on. */
  stage(stage: number): void;
  /** Whose its jobs in the compute thread are. */
  readonly owner: JobOwner;
  /** Nothing of it is left. */
  end(): void;
}

/** The timeline of this process. */
export interface Timeline {
  /** A run that begins here, or with undefined something that belongs to no run. */
  open(runId?: string): RunTime;
  /** The compute thread has no job. */
  computesNothing(): void;
  /** What came since the last cut; goes on. */
  peek(): TimeSlice;
  /** As `peek`; the next slice begins here. */
  cut(): TimeSlice;
}

interface Standing {
  readonly runId: string | undefined;
  stage: number;
  rest: TimePhase;
  /** How often each phase is begun. */
  readonly begun: Map<TimePhase, number>;
}

/** A timeline that begins at `beganMs` of the clock. */
export function createTimeline(
  clock: Pick<Clock, 'monotonic'>,
  beganMs: number = clock.monotonic(),
): Timeline {
  const open = new Set<Standing>();
  let computing: { readonly of: Standing; readonly phase: TimePhase } | undefined;
  let spent = new Map<string, TimeEntry>();
  let from = 0;
  let chargedUntil = 0;

  const charge = (of: Standing | undefined, phase: TimePhase, seconds: number) => {
    const { runId, stage = 0 } = of ?? {};
    const key = runId === undefined ? '' : `${runId} ${stage}`;
    const before = spent.get(key);
    const whose = {
      ...(runId === undefined ? {} : { runId }),
      ...(runId === undefined || stage === 0 ? {} : { stage }),
    };
    spent.set(key, { ...whose, seconds: addSeconds(before?.seconds ?? {}, { [phase]: seconds }) });
  };
  /** Charges the time since the last change to whoever it belongs to. */
  const settle = () => {
    const now = (clock.monotonic() - beganMs) / 1000;
    const seconds = now - chargedUntil;
    chargedUntil = now;
    if (seconds <= 0) return;
    if (computing !== undefined) return charge(computing.of, computing.phase, seconds);
    const { phase, standings } = firstOf(open);
    if (standings.length === 0) return charge(undefined, 'idle', seconds);
    for (const standing of standings) charge(standing, phase, seconds / standings.length);
  };
  const slice = (): TimeSlice => {
    settle();
    return { from, until: chargedUntil, entries: [...spent.values()] };
  };

  return {
    open(runId) {
      settle();
      const standing: Standing = { runId, stage: 0, rest: 'prepare', begun: new Map() };
      open.add(standing);
      return {
        rest(phase) {
          if (standing.rest === phase) return;
          settle();
          standing.rest = phase;
        },
        begin(phase) {
          settle();
          standing.begun.set(phase, (standing.begun.get(phase) ?? 0) + 1);
          let isOver = false;
          return () => {
            if (isOver) return;
            isOver = true;
            settle();
            const left = standing.begun.get(phase)! - 1;
            if (left === 0) standing.begun.delete(phase);
            else standing.begun.set(phase, left);
          };
        },
        stage(stage) {
          if (standing.stage === stage) return;
          settle();
          standing.stage = stage;
        },
        owner: {
          computes(kind) {
            settle();
            computing = { of: standing, phase: phaseOfJob(kind, standing.rest) };
          },
        },
        end() {
          settle();
          open.delete(standing);
        },
      };
    },
    computesNothing() {
      settle();
      computing = undefined;
    },
    peek: slice,
    cut() {
      const cut = slice();
      spent = new Map();
      from = cut.until;
      return cut;
    },
  };
}

const RANK = new Map(TIME_PHASES.map((phase, rank) => [phase, rank]));

/** The first phase in the list that any of them is in, and who is in it. */
function firstOf(all: Iterable<Standing>): { phase: TimePhase; standings: Standing[] } {
  let phase: TimePhase = 'idle';
  let standings: Standing[] = [];
  for (const standing of all) {
    const own = phaseOf(standing);
    const order = RANK.get(own)! - RANK.get(phase)!;
    if (order < 0) standings = [];
    if (order <= 0) standings.push(standing);
    if (order < 0) phase = own;
  }
  return { phase, standings };
}

/** Embeddings are of a verification, or of the teacher whose student is trained. */
function phaseOfJob(kind: JobKind, rest: TimePhase): TimePhase {
  if (kind === 'prove' || kind === 'prepare') return 'prepare';
  if (kind !== 'embed') return 'compute';
  return rest === 'evaluate' ? 'evaluate' : 'teacher_pass';
}

function phaseOf({ rest, begun }: Standing): TimePhase {
  let first: TimePhase | undefined;
  for (const phase of begun.keys())
    if (first === undefined || RANK.get(phase)! < RANK.get(first)!) first = phase;
  return first ?? rest;
}
