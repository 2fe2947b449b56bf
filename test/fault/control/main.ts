// `npm run soak:control-faults`: 10,000 trials over real processes while leader, standby, both, the broker and
// processes of workers are killed, stopped and cut off, one after the other, with a seed of the hour unless
// POCKETFLEET_SEED gives one; then 1,000 streams live through a submit that fills them all. Ends with 0 when
// nothing was lost or doubled and every takeover was in time.

import { parseArgs } from 'node:util';
import { unary } from '../../../core/net/grpc-client.ts';
import type { FleetServiceClient } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { chanceOf } from '../../sim/chance.ts';
import { until } from '../../support/processes.ts';
import { seedOf } from '../seed.ts';
import { auditJournal, takeoversOf } from './books.ts';
import { startControlFleet } from './control-fleet.ts';
import { type Done, FAULTS, type FaultKind, perform } from './faults.ts';

const { values } = parseArgs({
  options: { trials: { type: 'string', default: '10000' }, streams: { type: 'string', default: '1000' } },
});
const TRIALS = Number(values.trials);
const STREAMS = Number(values.streams);
/** The fleet must go on within this after each fault, milliseconds. */
const GOES_ON_MS = 60_000;
const STREAMS_WATCHED_MS = 20_000;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const sweepText = (trials: number, parallelism: number) => `
kind: sweep
name: faults
space: { channels: 2, layers: 4, embedding: 16 }
strategy: { trials: ${trials} }
evaluation: { training: { epochs: 2, batch: 16, shards: 8 }, verification: { pairs: 40 } }
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
parallelism: ${parallelism}
`;

function submit(client: FleetServiceClient, yaml: string) {
  const request = { yaml, baseDir: '', dryRun: false, overrides: {} };
  return unary(client, client.submit, request, { deadlineMs: 60_000 });
}

/** All kinds, each as often as it is to come, in a random order. */
function deckOf(chance: () => number): FaultKind[] {
  const kinds = Object.keys(FAULTS) as FaultKind[];
  const deck = kinds.flatMap((kind) => Array.from({ length: FAULTS[kind] }, () => kind));
  for (let i = deck.length - 1; i > 0; i--) {
    const j = Math.floor(chance() * (i + 1));
    [deck[i], deck[j]] = [deck[j]!, deck[i]!];
  }
  return deck;
}

async function sweepThroughFaults(seed: number): Promise<void> {
  const chance = chanceOf(seed);
  const fleet = await startControlFleet({ coordinators: 2, workers: [10, 10, 10, 10], paceMs: [20, 600] });
  const startedAt = performance.now();
  try {
    const { sweepIds } = await fleet.ask((client) => submit(client, sweepText(TRIALS, 0)));
    const sweep = async () => {
      const { sweeps } = await fleet.ask((client) => unary(client, client.listSweeps, {}));
      return sweeps.find(({ id }) => id === sweepIds[0])!;
    };
    const done: Done[] = [];
    for (let deck = deckOf(chance); ; ) {
      if (deck.length === 0) deck = deckOf(chance);
      const kind = deck.pop()!;
      const before = (await sweep()).trialsDone;
      if (before >= TRIALS) break;
      done.push(await perform(kind, fleet, chance));
      const { trialsDone } = await until(
        `the sweep goes on after ${kind}`,
        async () => {
          const now = await sweep();
          return now.trialsDone > before || now.state !== 'running' ? now : undefined;
        },
        GOES_ON_MS,
      );
      say(`${done.length} ${kind}: ${trialsDone} trials done`);
    }
    await until('the sweep ends', async () => (await sweep()).state === 'done', GOES_ON_MS);
    // The last fault may have come with the last trials.
    await fleet.leaderWithStandbys();
    const books = await auditJournal(fleet.nats.url, 'faults', TRIALS);
    const minutes = (performance.now() - startedAt) / 60_000;
    say(
      `${TRIALS} trials, 0 lost, 0 doubled, through ${done.length} faults in ${minutes.toFixed(1)} minutes; ${books.events} events, ${JSON.stringify(books.ends)}`,
    );
    const takeovers = takeoversOf(done, books);
    for (const kind of new Set(takeovers.map((one) => one.kind))) {
      const of = takeovers.filter((one) => one.kind === kind);
      const ms = of.map((one) => one.ms).sort((x, y) => x - y);
      say(
        `takeover after ${kind}: ${ms.length} times, median ${ms[ms.length >> 1]} ms, longest ${ms.at(-1)} ms, at most ${of[0]!.atMost} promised`,
      );
    }
    const late = takeovers.filter(({ ms, atMost }) => ms > atMost);
    if (late.length > 0)
      throw new Error(
        `takeovers came late: ${late.map(({ number, kind, ms }) => `${number} ${kind} ${ms} ms`).join(', ')}`,
      );
  } catch (caught) {
    throw new Error(`${(caught as Error).message}\n${fleet.tails()}`, { cause: caught });
  } finally {
    await fleet.stop();
  }
}

/** All workers are idle, and one submit gives each of them a run. */
async function streamsThroughSubmit(): Promise<void> {
  const fleet = await startControlFleet({ coordinators: 1, workers: [STREAMS], paceMs: [60_000, 90_000] });
  try {
    const [workers] = fleet.workers;
    await until(
      `${STREAMS} workers attach`,
      async () => (await workers!.count()).attached === STREAMS,
      GOES_ON_MS,
    );
    const startedAt = performance.now();
    await fleet.ask((client) => submit(client, sweepText(2 * STREAMS, STREAMS)));
    const answeredMs = performance.now() - startedAt;
    let dials = 0;
    const end = performance.now() + STREAMS_WATCHED_MS;
    let attached = 0;
    while (performance.now() < end) {
      const counts = await workers!.count();
      dials += counts.dials;
      attached = counts.attached;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const { runs } = await fleet.ask((client) => unary(client, client.listRuns, { planId: '', sweepId: '' }));
    const running = runs.filter(({ state }) => state === 'running').length;
    say(
      `${STREAMS} streams and a submit with parallelism ${STREAMS}: answered after ${answeredMs.toFixed(0)} ms, ${running} runs, ${dials} streams dialled again, ${attached} attached`,
    );
    if (dials > 0 || attached !== STREAMS || running !== STREAMS)
      throw new Error('streams ended, or workers are without a run');
  } finally {
    await fleet.stop();
  }
}

const seed = seedOf(Date.now() % 0x1_0000_0000);
say(`seed ${seed}`);
try {
  await sweepThroughFaults(seed);
  if (STREAMS > 0) await streamsThroughSubmit();
} catch (caught) {
  say(
    `${(caught as Error).stack}\nPOCKETFLEET_SEED=${seed} npm run soak:control-faults repeats these faults`,
  );
  process.exitCode = 1;
}
