// `npm run bench:train`: images a second of the training step (forward, backward, clip, SGD) of PocketNet
// S-128 and M-128 and of a small candidate, 112x112, ArcFace with 1,000 classes: ours against PyTorch and
// against TensorFlow.js as its users write it, on the same cores in the same minutes. Each with one process
// on all cores and with one single-threaded process a core; the faster form of each counts. Compiling comes
// before the clock starts. Decides the goals; how ways take turns is ways.ts'.

import { atLeast, type Goal, say, tell } from '../goals.ts';
import { type Contest, measureWork } from './contest.ts';
import { benchOptions } from './options.ts';
import { measureReady } from './ready.ts';
import { notMeasured } from './table.ts';
import { findTorch } from './torch.ts';
import { bestOf, CORES, type Speed } from './ways.ts';
import { trainingWorks } from './work.ts';

const options = benchOptions(trainingWorks);
const OVER_TORCH = 1.5;
const OVER_PLAIN = 6;

const torch = await findTorch((line) => process.stderr.write(`${line}\n`));
say(torch.kind === 'found' ? `PyTorch ${torch.version}` : `PyTorch is not measured: ${torch.reason}`);
say(`${CORES} cores, ${options.batch} images a step, ${options.rounds} rounds of ${options.milliseconds} ms`);
const speeds: Speed[] = [];
const goals: Goal[] = [];
for (const work of options.works) {
  const found = await measureWork(work, { torch, plain: true, ...options });
  speeds.push(...found.torch, ...found.plain);
  goals.push(...goalsOf(work.name, found));
}
say('');
say('Ready');
const ready = await measureReady(options.works);
say('');
goals.push(...ready.goals);
tell(goals, { speeds, ready: ready.rows }, options.json);

function goalsOf(name: string, { torch: turns, plain }: Contest): Goal[] {
  const overTorch = `${name}: training step against PyTorch's best`;
  const overPlain = `${name}: training step against plain TensorFlow.js`;
  return [
    torch.kind === 'found'
      ? atLeast(
          overTorch,
          bestOf(turns, 'ours') / bestOf(turns, 'PyTorch eager', 'PyTorch compile'),
          OVER_TORCH,
          'times',
        )
      : notMeasured(overTorch, OVER_TORCH, 'times'),
    atLeast(overPlain, bestOf(plain, 'ours') / bestOf(plain, 'tfjs eager'), OVER_PLAIN, 'times'),
  ];
}
