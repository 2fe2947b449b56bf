// `npm run bench:supernet`: what a differentiable search costs beside its passes. Three questions, each with its goal:
// what an image costs when four workers share a search instead of one, in processor time of workers and broker; what
// a second-order step takes beside its four passes alone; and how many bytes a step sends, against the vectors of its
// rounds (docs/darts.md). With --json the last line has the goals and the rows; --small rehearses it with fewer
// images, whose figures say less.

import { createCompute } from '../../worker/compute/client.ts';
import { argumentsOf, say, tell } from '../goals.ts';
import { measureScaling } from './scaling.ts';
import { measureStep } from './step.ts';
import { measureWire } from './wire.ts';

const { values } = argumentsOf(
  { options: { json: { type: 'boolean' }, small: { type: 'boolean' } } },
  '--json --small',
);
const isSmall = values.small === true;
const startedAt = performance.now();
// A process may load TensorFlow once.
const compute = createCompute({ cacheDir: '' });
const wire = await measureWire(compute);
const step = await measureStep(compute, isSmall ? { shards: 1, rounds: 2 } : { shards: 4, rounds: 4 });
await compute.close();
const scaling = await measureScaling(
  isSmall ? { batch: 16, steps: 1, rounds: 1 } : { batch: 64, steps: 2, rounds: 2 },
);
say(`${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
const parts = [scaling, step, wire];
tell(
  parts.flatMap(({ goals }) => goals),
  { scaling: scaling.rows, step: step.rows, wire: wire.rows },
  values.json === true,
);
