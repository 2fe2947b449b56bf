// `npm run bench:data`: the share of its time that a worker waits for images, by the worker's own metrics, on
// the data of the demo and its search network (the smaller the network, the faster images must come). One
// worker with one thread trains; the first steps are left out, when the loader's threads begin together with
// the step.
//
// --seconds=N: how long it is watched.

import { setTimeout } from 'node:timers/promises';
import { startFleet } from '../test/support/fleet.ts';
import { atMost, optionsOf, say, tell } from './goals.ts';

const { json, seconds } = optionsOf({ seconds: 15 });
const STEPS_BEFORE = 10;
const WAIT_MS = 300_000;
/** A share below this is the cost of asking for a batch that is there. */
const SHARE_MAX = 0.01;

const SPEC = `
kind: candidate
name: data-wait
network: { kind: pocketnet, channels: 4, layers: 4, embedding: 32, genotype: casia }
data: { kind: synthetic, identities: 32, images: 20, holdout: 12, seed: 1, difficulty: 1 }
training: { epochs: 1000, batch: 32, shards: 4, seed: 1, optimizer: { learningRate: 0.001 } }
verification: { pairs: 20 }
`;

const fleet = await startFleet({ workers: ['w1'] });
try {
  const [id] = (await fleet.submit(SPEC)).runIds;
  const begun = (step: number) => step >= STEPS_BEFORE;
  await fleet.until(
    (s) => s.runs.some((run) => run.id === id && begun(run.step)),
    'the run has begun',
    WAIT_MS,
  );
  const from = await read();
  await setTimeout(seconds * 1000);
  const to = await read();
  const steps = to.steps - from.steps;
  const share = (to.waited - from.waited) / (to.total - from.total);
  say(
    `${steps} steps in ${(to.total - from.total).toFixed(1)} s, ${((steps * 32) / seconds).toFixed(0)} images/s`,
  );
  tell([atMost('share of time that steps wait for data', share, SHARE_MAX, 'of 1')], { from, to }, json);
} finally {
  await fleet.stop();
}

async function read() {
  const response = await fetch(`http://${fleet.workerMetricsEndpoint('w1')}/metrics`);
  const text = await response.text();
  const value = (name: string) => Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)$`, 'm').exec(text)?.[1]);
  return {
    steps: value('pocketfleet_train_steps_total'),
    /** Seconds of steps, and of those that nothing could be computed because no batch was there. */
    total: value('pocketfleet_train_step_duration_seconds_sum'),
    waited: value('pocketfleet_data_wait_seconds_total'),
  };
}
