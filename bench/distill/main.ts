// `npm run bench:distill`: what one pass of a teacher for all its students saves. Real fleets of workers of one thread:
//
//   passes       images that were embedded over images x stages, for eight students of one order on several workers, and
//                again with the worker of the embedding run killed on the way
//   CPU          of an image of a student that takes its embeddings from the stream, against the same network without
//                a teacher
//   lag          how long after its live teacher a student ends, in stages of the teacher
//   makespan     teacher and student at once against one after the other, with stages of equal times and a worker each
//                (and one for the embedding run, where the machine has a core for it; else the student's worker embeds)
//
// `--small` is a look in some minutes.

import { availableParallelism } from 'node:os';
import { startFleet, type TestFleet } from '../../test/support/fleet.ts';
import { argumentsOf, atMost, say, tell } from '../goals.ts';
import { cpuSeconds } from '../processor-time.ts';
import {
  FULL,
  imagesOf,
  type Passes,
  type Size,
  SMALL,
  studentText,
  teacherText,
  withEqualStages,
} from './texts.ts';

const { values } = argumentsOf(
  { options: { json: { type: 'boolean' }, small: { type: 'boolean' } } },
  '--json --small',
);
const size = values.small ? SMALL : FULL;
const images = imagesOf(size);
const WAIT_MS = 1_200_000;
/** Cores for a teacher, its student and the embedding run. */
const CORES_OF_THREE = 3;

const calm = await passes('several students', false);
const killed = await passes('the embedding run killed on the way', true);
const pair = await onWorkersOfTheirOwn();

tell(
  [
    atMost('passes of several students', calm, 1.25, 'passes'),
    atMost('passes with the embedding run killed', killed, 1.35, 'passes'),
    atMost('CPU of a student image with the stream against none', pair.cpu, 1.05, 'times'),
    atMost('a student ends after its live teacher', pair.lag, 1.25, 'stages'),
    atMost('makespan live against serial', pair.makespan, 0.55, 'times'),
  ],
  [{ size, images, cores: availableParallelism(), calm, killed, ...pair }],
  values.json === true,
);

/** Images that were embedded on all workers so far; those of a worker that was killed are lost with it. */
async function embedded(fleet: TestFleet, workers: readonly string[]): Promise<number> {
  let sum = 0;
  for (const id of workers) {
    const text = await (await fetch(`http://${fleet.workerMetricsEndpoint(id)}/metrics`)).text();
    for (const [, value] of text.matchAll(
      /^pocketfleet_teacher_images_total\{[^}]*source="computed"\} (\d+)/gm,
    ))
      sum += Number(value);
  }
  return sum;
}

async function ran<T>(
  workers: readonly string[],
  slots: number,
  work: (fleet: TestFleet) => Promise<T>,
): Promise<T> {
  const fleet = await startFleet({ workers: [], slots });
  try {
    // One after the other: a machine with few cores is slow to start several.
    for (const id of workers) await fleet.startWorker(id, WAIT_MS);
    return await work(fleet);
  } catch (caught) {
    say(fleet.tails());
    throw caught;
  } finally {
    await fleet.stop();
  }
}

function idsOf(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `w${i + 1}`);
}

/** Embedded images over images x stages. */
async function passes(what: string, kills: boolean): Promise<number> {
  const workers = idsOf(size.workers);
  const perWorker = Math.ceil((size.students + 1) / size.workers) + 1;
  return ran(workers, perWorker, async (fleet) => {
    const [teacher = ''] = (await fleet.submit(teacherText(size, 1))).runIds;
    await fleet.finished(teacher, WAIT_MS);
    const text = Array.from({ length: size.students }, (_, i) =>
      studentText(size, { teacher, order: 2, seed: i + 1 }),
    ).join('---\n');
    const { runIds } = await fleet.submit(text);
    let lost = 0;
    if (kills) {
      const half = Math.ceil((size.epochs * images) / size.batch / 2);
      const { runs } = await fleet.until(
        (seen) => seen.runs.filter((run) => runIds.includes(run.id)).some((run) => run.step >= half),
        'students are half-way',
        WAIT_MS,
      );
      const pool = runs.find((run) => run.kind === 'embedding' && run.workerIds.length > 0);
      const victim = pool?.workerIds[0] ?? workers[0]!;
      lost = await embedded(fleet, [victim]);
      await fleet.killWorker(victim, 'SIGKILL');
      await fleet.startWorker(victim, WAIT_MS);
    }
    for (const id of runIds) await fleet.finished(id, WAIT_MS);
    const value = (lost + (await embedded(fleet, workers))) / (size.epochs * images);
    say(`${what}: ${value.toFixed(3)} passes for ${size.students} students on ${size.workers} workers`);
    return value;
  });
}

/** One teacher and one student, and the embedding run between them, with a worker each. */
async function onWorkersOfTheirOwn() {
  return ran(['w1', 'w2', 'w3'], 1, async (fleet) => {
    // Nothing prepared, nothing compiled: the first pair is for the caches.
    const [warm = ''] = (await fleet.submit(teacherText(size, 9))).runIds;
    await fleet.finished(warm, WAIT_MS);
    const alone = await cpuOfRun(fleet, studentText(size, { teacher: undefined, order: 9, seed: 9 }));
    const first = await cpuOfRun(fleet, studentText(size, { teacher: warm, order: 9, seed: 9 }));
    const [base, taught] = [
      await cpuOfRun(fleet, studentText(size, { teacher: undefined, order: 3, seed: 3 })),
      await cpuOfRun(fleet, studentText(size, { teacher: warm, order: 3, seed: 3 })),
    ];
    say(
      `CPU: ${(1000 * base.cpu).toFixed(1)} ms an image without a teacher, ${(1000 * taught.cpu).toFixed(1)} ms with the stream (first: ${(1000 * alone.cpu).toFixed(1)}, ${(1000 * first.cpu).toFixed(1)})`,
    );

    const { teaching, learning, begunAtMs } = await atOnce(fleet, size, { order: 5, passes: 'stream' });
    const stage = (teaching.endedAtMs - begunAtMs) / size.epochs;

    const passes = availableParallelism() < CORES_OF_THREE ? 'own' : 'stream';
    const even = withEqualStages(size, passes);
    // Again for the caches.
    await oneAfterTheOther(fleet, even, { order: 6, passes });
    const serial = await oneAfterTheOther(fleet, even, { order: 4, passes });
    const live = await atOnce(fleet, even, { order: 7, passes });
    const together = Math.max(live.teaching.endedAtMs, live.learning.endedAtMs) - live.begunAtMs;
    const serialMs = serial.teachingMs + serial.learningMs;
    const share = serial.teachingMs / serialMs;
    say(
      `live ${(together / 1000).toFixed(1)} s, one after the other ${(serialMs / 1000).toFixed(1)} s, of which the teacher ${(100 * share).toFixed(0)} %; embeddings: ${passes}`,
    );
    return {
      cpu: taught.cpu / base.cpu,
      lag: (learning.endedAtMs - teaching.endedAtMs) / stage,
      makespan: together / serialMs,
      ...{ passes, teacherShare: share },
    };
  });
}

/** Order of the images of a teacher and its student, which names both, and who embeds for the student. */
interface Pairing {
  readonly order: number;
  readonly passes: Passes;
}

/** Milliseconds of a teacher and of its student. */
async function oneAfterTheOther(fleet: TestFleet, of: Size, { order, passes }: Pairing) {
  const [teacher = ''] = (await fleet.submit(teacherText(of, order))).runIds;
  const one = await fleet.finished(teacher, WAIT_MS);
  const text = studentText(of, { teacher, order, seed: order, share: passes });
  const [student = ''] = (await fleet.submit(text)).runIds;
  const other = await fleet.finished(student, WAIT_MS);
  return { teachingMs: one.endedAtMs - one.startedAtMs, learningMs: other.endedAtMs - other.startedAtMs };
}

/** A teacher and the student that learns from it while it trains. */
async function atOnce(fleet: TestFleet, of: Size, { order, passes }: Pairing) {
  const student = studentText(of, { teacher: `teacher-${order}`, order, seed: order, share: passes });
  const { runIds } = await fleet.submit(`${teacherText(of, order)}---\n${student}`);
  const ended = [];
  for (const id of runIds) ended.push(await fleet.finished(id, WAIT_MS));
  return {
    teaching: ended.find((run) => run.kind === 'teacher')!,
    learning: ended.find((run) => run.kind === 'student')!,
    begunAtMs: Math.min(...ended.map((run) => run.startedAtMs)),
  };
}

/** Seconds of its worker's processor for an image of a run, while nothing else trains there. */
async function cpuOfRun(fleet: TestFleet, text: string): Promise<{ readonly cpu: number }> {
  const [id = ''] = (await fleet.submit(text)).runIds;
  const seen = await fleet.until(
    ({ runs }) => runs.some((run) => run.id === id && run.step >= 1 && run.workerIds.length > 0),
    `${id} trains`,
    WAIT_MS,
  );
  const run = seen.runs.find((one) => one.id === id)!;
  const pid = fleet.workerPid(run.workerIds[0]!);
  const before = cpuSeconds([pid]);
  // Up to the last step: the verification is none of it.
  const end = await fleet.until(
    ({ runs }) => runs.some((one) => one.id === id && one.step >= one.stepsTotal),
    `${id} has trained`,
    WAIT_MS,
  );
  const cpu = cpuSeconds([pid]) - before;
  const steps = end.runs.find((one) => one.id === id)!.step - run.step;
  await fleet.finished(id, WAIT_MS);
  return { cpu: cpu / (steps * size.batch) };
}
