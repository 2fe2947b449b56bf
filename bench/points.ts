// `npm run bench:points`: how many step points a second reach the disk of a real broker that writes each message
// at once, from one worker with several runs, and what reading them back takes. Wall time and processor time.

import { createRecordReader } from '../coordinator/api/record-reader.ts';
import { systemClock } from '../core/clock.ts';
import { FleetError } from '../core/errors.ts';
import { createLogger } from '../core/log.ts';
import { connectNats, ensureStreams } from '../core/net/nats.ts';
import { NAMES } from '../test/support/names.ts';
import { startNats } from '../test/support/nats.ts';
import { createRecords } from '../worker/run/history.ts';
import { atLeast, optionsOf, say, tell } from './goals.ts';
import { cpuSeconds } from './processor-time.ts';

const { json, points, runs } = optionsOf({ points: 400_000, runs: 4 });
/** Points between two turns of the event loop, as steps of several runs would come. */
const BURST = 200;
const GOAL = 100_000;

const nats = await startNats();
const connection = await connectNats({ url: nats.url, token: '', name: 'bench' });
try {
  await ensureStreams(connection, NAMES);
  const log = createLogger({ program: 'bench', level: 'warn' });
  const records = createRecords({ connection, names: NAMES, workerId: 'w1', clock: systemClock, log });
  const cpuBefore = cpuSeconds([process.pid, nats.pid]);
  const startedAt = performance.now();
  for (let n = 0; n < points; n++) {
    records.publishPoint(`run-${(n % runs) + 1}`, pointOf(Math.floor(n / runs) + 1));
    if (n % BURST === 0) await new Promise(setImmediate);
  }
  if (!(await records.flush(600_000)))
    throw new FleetError('unavailable', 'the broker has not taken all points');
  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = cpuSeconds([process.pid, nats.pid]) - cpuBefore;
  records.close();
  const readAt = performance.now();
  let read = 0;
  for (let run = 1; run <= runs; run++) {
    const found = await createRecordReader({ connection, names: NAMES, log }).history(`run-${run}`);
    if (found.some(({ step }, i) => step !== i + 1))
      throw new FleetError('dataLoss', `the points of run-${run} are not in order`);
    read += found.length;
  }
  if (read !== points) throw new FleetError('dataLoss', `${read} points were read of ${points}`);
  const readSeconds = (performance.now() - readAt) / 1000;
  say(
    `${points} points of ${runs} runs: stored in ${seconds.toFixed(2)} s, read in ${readSeconds.toFixed(2)} s`,
  );
  const rows = { points, runs, seconds, cpu, readSeconds };
  tell(
    [
      atLeast('points stored a second', points / seconds, GOAL, 'points/s'),
      atLeast('points stored a second of processor time, broker included', points / cpu, GOAL, 'points/s'),
    ],
    rows,
    json,
  );
} finally {
  await connection.close();
  await nats.stop();
}

function pointOf(step: number) {
  const numbers = { epoch: step / 100, loss: 1 / step, lossArcface: 2 / step, lossKd: 3, learningRate: 0.1 };
  const rest = { gradientNorm: 1.5, imagesPerSecond: 1234.5, atMs: 1_700_000_000_000 + step };
  return { step, ...numbers, ...rest, weightsDigest: '0123456789abcdef' };
}
