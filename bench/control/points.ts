// How many step points a second reach the disk of a real broker that writes each message at once, from one
// worker with several runs, and what reading them back takes: wall time and processor time.

import { createRecordReader } from '../../coordinator/api/record-reader.ts';
import { systemClock } from '../../core/clock.ts';
import { FleetError } from '../../core/errors.ts';
import { createLogger, type Logger } from '../../core/log.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { NAMES } from '../../test/support/names.ts';
import { startNats } from '../../test/support/nats.ts';
import { createRecords } from '../../worker/run/history.ts';
import { atLeast, say } from '../goals.ts';
import { cpuSeconds } from '../processor-time.ts';

const POINTS = 400_000;
const RUNS = 4;
/** Points between two turns of the event loop, as steps of several runs would come. */
const BURST = 200;
const GOAL = 100_000;

export async function benchPoints() {
  const nats = await startNats();
  const connection = await connectNats({ url: nats.url, token: '', name: 'bench' });
  const log = createLogger({ program: 'bench', level: 'warn' });
  try {
    await ensureStreams(connection, NAMES);
    const cpuBefore = cpuSeconds([process.pid, nats.pid]);
    const seconds = await secondsOf(() => writePoints(connection, log));
    const cpu = cpuSeconds([process.pid, nats.pid]) - cpuBefore;
    const readSeconds = await secondsOf(() => readPoints(connection, log));
    const times = `stored in ${seconds.toFixed(2)} s, read in ${readSeconds.toFixed(2)} s`;
    say(`${POINTS} points of ${RUNS} runs: ${times}`);
    return {
      goals: [
        atLeast('points stored a second', POINTS / seconds, GOAL, 'points/s'),
        atLeast('points a second of processor time, broker included', POINTS / cpu, GOAL, 'points/s'),
      ],
      rows: { points: POINTS, runs: RUNS, seconds, cpu, readSeconds },
    };
  } finally {
    await connection.close();
    await nats.stop();
  }
}

async function secondsOf(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1000;
}

async function writePoints(connection: NatsConnection, log: Logger): Promise<void> {
  const records = createRecords({ connection, names: NAMES, workerId: 'w1', clock: systemClock, log });
  for (let n = 0; n < POINTS; n++) {
    records.publishPoint(`run-${(n % RUNS) + 1}`, pointOf(Math.floor(n / RUNS) + 1));
    if (n % BURST === 0) await new Promise(setImmediate);
  }
  const isStored = await records.flush(600_000);
  records.close();
  if (!isStored) throw new FleetError('unavailable', 'the broker has not taken all points');
}

/** Every point must come back, in order. */
async function readPoints(connection: NatsConnection, log: Logger): Promise<void> {
  for (let run = 1; run <= RUNS; run++) {
    const found = await createRecordReader({ connection, names: NAMES, log }).history(`run-${run}`);
    if (found.length !== POINTS / RUNS || found.some(({ step }, i) => step !== i + 1))
      throw new FleetError('dataLoss', `points of run-${run} are missing or not in order`);
  }
}

function pointOf(step: number) {
  const numbers = { epoch: step / 100, loss: 1 / step, lossArcface: 2 / step, lossKd: 3, learningRate: 0.1 };
  const rest = { gradientNorm: 1.5, imagesPerSecond: 1234.5, atMs: 1_700_000_000_000 + step };
  return { step, ...numbers, ...rest, weightsDigest: '0123456789abcdef' };
}
