// `npm run bench:recovery`: how long a gang stands still when one of its members is killed with kill -9: from
// the kill to the first step that the new gang commits, median and worst over 50 kills, both ranks in turn.
// Real processes on this machine; the times are those that the processes themselves wrote down (step points,
// journal events), so nothing waits for a reader.

import { findNames } from '../coordinator/journal/fleet-names.ts';
import { shownEvents } from '../coordinator/journal/formats/reader.ts';
import { decodeGroup, isForeign } from '../coordinator/journal/message.ts';
import { connectNats } from '../core/net/nats.ts';
import { pointsIn } from '../core/net/record-batch.ts';
import type { StepPoint } from '../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet } from '../test/support/fleet.ts';
import { until } from '../test/support/processes.ts';
import { atMost, median, optionsOf, say, tell } from './goals.ts';

const { json, kills } = optionsOf({ kills: 50 });
const WAIT_MS = 120_000;
/** Steps that a gang has made before one of it is killed, and that a run still has to make then. */
const STEPS_BEFORE = 5;
const STEPS_LEFT = 60;

/** 120 images, 16 a step: 1950 steps, few enough for a point each. */
const spec = (name: string) => `
kind: teacher
name: ${name}
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 8, images: 24, holdout: 3, seed: 5 }
training: { epochs: 260, batch: 16, shards: 8, seed: 7, optimizer: { learningRate: 0.01 } }
verification: { pairs: 40 }
workers: { min: 1, max: 2 }
`;

interface Assigned {
  readonly atMs: number;
  readonly members: readonly string[];
}
interface Kill {
  readonly rank: number;
  /** From the kill until the coordinator forms another gang, and from there to its first step. */
  readonly noticedMs: number;
  readonly resumedMs: number;
  readonly totalMs: number;
}

const fleet = await startFleet({ workers: ['w1', 'w2'] });
// Told to stop, it takes its fleet along.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void fleet.stop().finally(() => process.exit(1)));
const connection = await connectNats({ ...fleet.nats.access, name: 'bench' });
const names = await findNames({ connection, fleet: 'test' });
const points: StepPoint[] = [];
const gangs: Assigned[] = [];
let runId = '';
connection.subscribe(names.historySubject('*'), {
  callback: (_error, message) => {
    if (message.subject === names.historySubject(runId)) points.push(...pointsIn(message.data));
  },
});
connection.subscribe(names.journalSubject, {
  callback: (_error, message) => {
    const group = decodeGroup(message.data);
    for (const event of isForeign(group) ? [] : (shownEvents(group) as readonly Record<string, unknown>[]))
      if (event.kind === 'run.assigned' && event.runId === runId)
        gangs.push({
          atMs: event.atMs as number,
          members: (event.members as { workerId: string }[]).map((member) => member.workerId),
        });
  },
});

try {
  const measured: Kill[] = [];
  let stepsTotal = 0;
  const begin = async () => {
    points.length = 0;
    gangs.length = 0;
    runId = `run-${Number(runId.slice(4)) + 1}`;
    const { runIds } = await fleet.submit(spec(`bench-${runId}`));
    if (runIds[0] !== runId) throw new Error(`the run is ${runIds[0]} and not ${runId}`);
    stepsTotal = (await fleet.run(runId)).stepsTotal;
  };
  await begin();
  while (measured.length < kills) {
    await until('a gang of two makes steps', () => readyGang() !== undefined, WAIT_MS);
    const gang = readyGang()!;
    if (points.at(-1)!.step > stepsTotal - STEPS_LEFT) {
      await fleet.until(
        (s) => s.runs.some((run) => run.id === runId && run.state === 'done'),
        'the run ends',
        WAIT_MS,
      );
      await begin();
      continue;
    }
    const rank = measured.length % 2;
    measured.push(await killMember(gang, rank));
    await fleet.startWorker(gang.members[rank]!);
    if (measured.length % 10 === 0) say(`${measured.length} kills`);
  }
  report(measured);
} finally {
  await connection.close();
  await fleet.stop();
}

function readyGang(): Assigned | undefined {
  const gang = gangs.at(-1);
  if (gang?.members.length !== 2) return undefined;
  return points.filter((point) => point.atMs > gang.atMs).length >= STEPS_BEFORE ? gang : undefined;
}

async function killMember(gang: Assigned, rank: number): Promise<Kill> {
  const killedAt = Date.now();
  await fleet.killWorker(gang.members[rank]!, 'SIGKILL');
  // What was open when it died may still be committed by the old gang; the new one's first step is what
  // counts.
  const formed = await until('a new gang', () => gangs.find(({ atMs }) => atMs > killedAt), WAIT_MS);
  const first = await until('its first step', () => points.find(({ atMs }) => atMs > formed.atMs), WAIT_MS);
  return {
    rank,
    noticedMs: formed.atMs - killedAt,
    resumedMs: first.atMs - formed.atMs,
    totalMs: first.atMs - killedAt,
  };
}

function report(measured: readonly Kill[]): void {
  const seconds = (pick: (kill: Kill) => number, of = measured) => of.map((kill) => pick(kill) / 1000);
  const line = (name: string, values: readonly number[]) =>
    say(
      `${name.padEnd(34)} median ${median(values).toFixed(3)} s, worst ${Math.max(...values).toFixed(3)} s`,
    );
  line(
    'noticed, a new gang formed',
    seconds((kill) => kill.noticedMs),
  );
  line(
    'from there to its first step',
    seconds((kill) => kill.resumedMs),
  );
  for (const rank of [0, 1])
    line(
      `kill to next step, rank ${rank} killed`,
      seconds(
        (kill) => kill.totalMs,
        measured.filter((kill) => kill.rank === rank),
      ),
    );
  const total = seconds((kill) => kill.totalMs);
  line('kill to next step', total);
  tell(
    [
      atMost('kill to the next committed step, median', median(total), 1, 's'),
      atMost('kill to the next committed step, worst', Math.max(...total), 1, 's'),
    ],
    measured,
    json,
  );
}
