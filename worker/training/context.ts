// What training one run needs from around it, and what all kinds of training share.

import type { Exchange } from '../../core/allreduce/exchange.ts';
import type { Clock } from '../../core/clock.ts';
import type { Loader } from '../../core/data/loading/loader.ts';
import type { Layout } from '../../core/nn/layout.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { Schedule } from '../../core/spec/schedule.ts';
import type { StepPoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Compute } from '../compute/client.ts';
import type { GraphSpec } from '../compute/messages.ts';
import type { Head } from './head.ts';
import type { HeadGang } from './head-gang.ts';
import type { InnerReplicas } from './inner-replicas.ts';
import type { Replica } from './replica.ts';
import type { Ledger } from './step-ledger.ts';
import type { TeacherFeed } from './teacher.ts';

/** Seconds of one step, or of one round, by what they went into; they overlap where work does. */
export interface StepTimes {
  readonly total: number;
  readonly data: number;
  readonly teacher: number;
  readonly compute: number;
  readonly allreduce: number;
  readonly optimizer: number;
  /** Steps that were committed together, and images computed here for them. */
  readonly steps: number;
  readonly images: number;
  /** Bytes of one shard's vector. */
  readonly vectorBytes: number;
}

export interface TrainContext {
  readonly spec: RunSpec;
  readonly classes: number;
  readonly layout: Layout;
  readonly schedule: Schedule;
  readonly replica: Replica;
  /** Used by `sync: outer` alone. */
  readonly inner: InnerReplicas;
  /** Own shards. */
  readonly shards: readonly number[];
  readonly compute: Compute;
  readonly loader: Loader;
  readonly exchange: Pick<Exchange, 'reduce' | 'vector'>;
  /** Both or neither: a head that is sharded by class. */
  readonly head: Head | undefined;
  readonly headGang: HeadGang | undefined;
  readonly teacher: TeacherFeed | undefined;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /**
   * Called when the replica stands at the end of a stage, before this member contributes to the next step; the loop
   * waits for it, so nobody can pass a boundary whose checkpoint is not stored.
   */
  readonly onBoundary: (stage: number) => Promise<void>;
  readonly onStep: (point: StepPoint, times: StepTimes) => void;
  /** With outer steps: every own shard has trained so many of the open round. */
  readonly onRoundStep: (openRoundSteps: number) => void;
}

export function trainingGraph(spec: RunSpec, classes: number): GraphSpec {
  return {
    kind: 'train',
    network: spec.network,
    classes,
    loss: spec.training.loss,
    batch: spec.training.batch / spec.training.shards,
    distillationWeight: spec.distillation?.weight,
  };
}

export const secondsSince = (clock: Clock, at: number): number => (clock.monotonic() - at) / 1000;
