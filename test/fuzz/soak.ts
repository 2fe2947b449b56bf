// `npm run soak:fuzz`: mutated inputs to every decoder of foreign bytes for as long as is asked, with a seed of
// the hour unless POCKETFLEET_SEED gives one. Ends with 0 when each case gave a value or one sentence, within
// its time and memory; otherwise names the command that repeats each case that did not.

import { parseArgs } from 'node:util';
import { seedOf } from '../fault/seed.ts';
import { fuzz, repetition } from './run.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '300' },
    only: { type: 'string', multiple: true, default: [] },
    case: { type: 'string' },
  },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const seed = seedOf(Date.now() % 0x1_0000_0000);
say(`seed ${seed}`);
const { found, done } = await fuzz({
  seed,
  only: values.only,
  seconds: Number(values.seconds),
  single: values.case === undefined ? undefined : Number(values.case),
  onDone: ({ target, cases, valid, slowest, slowestMs, takenMax, milliseconds }) =>
    say(
      `  ${target}: ${cases} cases in ${(milliseconds / 1000).toFixed(1)} s, ${valid} of them valid; the slowest (${slowest}) ${slowestMs.toFixed(0)} ms, the largest ${(takenMax / 2 ** 20).toFixed(1)} MiB`,
    ),
});
for (const one of found) say(`${one.target}, case ${one.number}: ${one.fault}\n  ${repetition(seed, one)}`);
const cases = done.reduce((sum, one) => sum + one.cases, 0);
say(`${cases} cases of ${done.length} targets, ${found.length} wrong`);
if (found.length > 0) process.exitCode = 1;
