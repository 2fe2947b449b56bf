// `npm run bench:evaluate`: embeddings a second of the graphs that verification and distillation run (batch
// norm folded into the convolutions): PocketNet S-128, and the teachers IResNet-50 and IResNet-100; against
// PyTorch in inference mode, eager and compiled with its weights frozen. As bench:train: one run, the same
// cores, ways in turns. Goals are only that ours is not the slower one.

import { atLeast, type Goal, say, tell } from '../goals.ts';
import { measureWork } from './contest.ts';
import { benchOptions } from './options.ts';
import { notMeasured } from './table.ts';
import { findTorch } from './torch.ts';
import { bestOf, CORES, type Speed } from './ways.ts';
import { embeddingWorks } from './work.ts';

const options = benchOptions(embeddingWorks);

const torch = await findTorch((line) => process.stderr.write(`${line}\n`));
say(torch.kind === 'found' ? `PyTorch ${torch.version}` : `PyTorch is not measured: ${torch.reason}`);
say(`${CORES} cores, ${options.batch} images a pass, ${options.rounds} rounds of ${options.milliseconds} ms`);
const speeds: Speed[] = [];
const goals: Goal[] = [];
for (const work of options.works) {
  const { torch: found } = await measureWork(work, { torch, plain: false, ...options });
  speeds.push(...found);
  const name = `${work.name}: embeddings against PyTorch's best`;
  goals.push(
    torch.kind === 'found'
      ? atLeast(name, bestOf(found, 'ours') / bestOf(found, 'PyTorch eager', 'PyTorch compile'), 1, 'times')
      : notMeasured(name, 1, 'times'),
  );
}
say('');
tell(goals, { speeds }, options.json);
