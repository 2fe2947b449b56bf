// `npm run soak`: a thousand faults over runs that sum after every step and after rounds of steps by turns;
// `npm run soak -- search`: a hundred over searches of first and second order. A seed of the hour unless POCKETFLEET_SEED
// gives one. Ends with 0 when all runs ended with the same bytes and ledgers that hold; otherwise
// says the seed that repeats it.

import { fight } from './battle.ts';
import { searching, training } from './disturbed.ts';
import { seedOf } from './seed.ts';

const SOAKS = {
  training: {
    faults: 1000,
    kinds: [training('{ kind: every-step }'), training('{ kind: outer, every: 3 }')],
  },
  search: { faults: 100, kinds: [searching('first', 'noleak'), searching('second', 'darts')] },
};

const seed = seedOf(Date.now() % 0x1_0000_0000);
const [name = 'training'] = process.argv.slice(2);
if (!Object.hasOwn(SOAKS, name)) {
  console.error(`${name}: give one of ${Object.keys(SOAKS).join(', ')}`);
  process.exit(2);
}
const say = (line: string) => process.stdout.write(`${line}\n`);
say(`seed ${seed}`);
try {
  const outcome = await fight({ seed, ...SOAKS[name as keyof typeof SOAKS], log: say });
  say(
    `${outcome.total} faults in ${outcome.seconds.toFixed(0)} s: ${outcome.runs} runs, ${outcome.steps} steps and ${outcome.generations} generations, every run with the same bytes and a ledger that holds`,
  );
  say(JSON.stringify(outcome.faults));
} catch (caught) {
  say(`${(caught as Error).stack}\nPOCKETFLEET_SEED=${seed} npm run soak -- ${name} repeats this schedule`);
  process.exitCode = 1;
}
