// A run of kind `embedding` on this worker: it computes a teacher's embeddings for the students of one order and
// publishes them. Decides what it opens and in which order it works: step by step, at most a window ahead of the slowest
// student, for the shards that are this member's. Members exchange nothing, and nothing is kept of the run: another
// member goes on wherever the students are.

import { FleetError } from '../../core/errors.ts';
import { blockFormOf } from '../../core/spec/distillation.ts';
import { orderKeyOf } from '../../core/spec/order-key.ts';
import { epochOfStep, type Schedule, scheduleOf } from '../../core/spec/schedule.ts';
import type { Assign } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { type BatchSource, createBatchSource } from '../training/batch-source.ts';
import { valueBytesOf } from '../training/block-form.ts';
import type { TeacherFeed } from '../training/teacher.ts';
import { createTeacherBlocks } from '../training/teacher-blocks.ts';
import { type Course, courseAfter, hearPlaces, type Places, windowOf } from './block-places.ts';
import { orderToken } from './block-stream.ts';
import { aborted } from './generation.ts';
import type { Phases } from './phases.ts';
import { placeIn } from './place.ts';
import { parseSpec } from './run-spec.ts';
import type { OwnServices } from './services.ts';
import { acquireData, blockDevice, openSupply, teacherOf } from './session.ts';
import type { Telemetry } from './telemetry.ts';

/** What an embedding run needs here, whichever members it has. */
export interface EmbeddingSession {
  readonly runId: string;
  readonly batches: BatchSource;
  readonly schedule: Schedule;
  readonly teacher: TeacherFeed;
  readonly places: Places;
  /** Steps that it computes ahead of the slowest student at most. */
  readonly window: number;
  /** Up to this step all blocks of the own shards are there. */
  step: number;
  close(): Promise<void>;
}

export async function openEmbedding(options: {
  readonly services: OwnServices;
  readonly assign: Assign;
  readonly onWaiting: (stage: number | undefined) => void;
}): Promise<EmbeddingSession> {
  const { services, assign } = options;
  const spec = parseSpec(assign.specJson);
  const { training, network } = spec;
  const order = orderKeyOf({ ...spec, digest: assign.dataDigest });
  const data = await acquireData(services, spec, assign.dataDigest);
  try {
    const schedule = scheduleOf(training, data.loader.facts.trainingImages);
    await services.compute.compileGraph({ kind: 'embed', network, batch: training.batch / training.shards });
    const broker = await services.broker;
    // Its own blocks are of no use to it: each is made once.
    const teacher = teacherOf(
      { ...options, blocks: createTeacherBlocks({ bytesMax: 1 }) },
      { spec, schedule },
      broker,
    );
    const run = { runId: assign.runId, spec, order, poolRunId: undefined };
    teacher?.shareThrough(openSupply(services, broker, run));
    if (teacher === undefined) throw new FleetError('invalidArgument', 'an embedding run needs a teacher');
    const valueBytes = valueBytesOf(blockFormOf(spec.distillation));
    const places = hearPlaces({
      ...{ connection: broker.control, names: broker.names, now: services.clock.monotonic },
      order: orderToken(order, blockDevice(services, spec)),
    });
    return {
      runId: assign.runId,
      batches: createBatchSource({ loader: data.loader, schedule, training }),
      ...{ schedule, teacher, places, step: 0 },
      window: windowOf(training.batch * network.embedding * valueBytes),
      async close() {
        places.close();
        teacher.close();
        await data.release();
      },
    };
  } catch (caught) {
    await data.release();
    throw caught;
  }
}

/** Students are looked at again after so long, milliseconds. */
const LOOK_MS = 50;

/** The stream is looked for again after so long where it is away, milliseconds. */
const AWAY_MS = 500;

/** Computes for the students in one generation; ends with the signal's reason, or with a failure. */
export async function embedInGeneration(context: {
  readonly services: OwnServices;
  readonly session: EmbeddingSession;
  readonly assign: Assign;
  readonly phases: Phases;
  readonly telemetry: Telemetry;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { services, session, assign, phases, telemetry, signal } = context;
  const { runId, generation, members } = assign;
  const { schedule, window, batches } = session;
  const place = placeIn(members, services.workerId);
  if (!place) throw new Error(`assertion: ${services.workerId} is no member of what it was assigned`);
  const { rank, shards } = place;
  if (assign.pauses === true) {
    phases.enter({ kind: 'pausing', generation, step: session.step });
    // Nothing has to be stored: its students say where it goes on.
    if (rank === 0)
      services.report({ $case: 'paused', value: { runId, generation, step: 0, stored: undefined } });
    services.time.rest('paused');
    return aborted(signal);
  }
  phases.enter({ kind: 'embedding', generation });
  session.teacher.keepRows(assign.imageRowsBytes);
  let course: Course | undefined;
  for (;;) {
    signal.throwIfAborted();
    const next = courseAfter(course, {
      ...{ slowest: session.places.slowest(), window, stepsTotal: schedule.stepsTotal },
    });
    if (next === undefined) {
      await services.clock.sleep(LOOK_MS, signal);
      continue;
    }
    const { next: step } = next;
    const network = await session.teacher.forEpoch(epochOfStep(schedule, step), signal);
    const made = shards.map((shard) =>
      network.make({ step, shard }, async () => (await batches.take(step, shard)).images),
    );
    if ((await Promise.all(made)).includes('away')) {
      // What is computed now would reach nobody.
      await services.clock.sleep(AWAY_MS, signal);
      continue;
    }
    course = { next: step + 1, slowest: next.slowest };
    session.step = course.next;
    telemetry.recordEmbedded({ generation, rank, step: session.step });
  }
}
