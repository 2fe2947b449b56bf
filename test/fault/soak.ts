// `npm run soak`: a thousand faults over runs that sum after every step and after rounds of steps by turns, with a seed of the hour
// unless POCKETFLEET_SEED gives one. Ends with 0 when all runs ended with the same bytes and ledgers that hold; otherwise
// says the seed that repeats it.

import { fight } from './battle.ts';
import { seedOf } from './seed.ts';

const FAULTS = 1000;

const seed = seedOf(Date.now() % 0x1_0000_0000);
const say = (line: string) => process.stdout.write(`${line}\n`);
say(`seed ${seed}`);
try {
  const outcome = await fight({
    seed,
    faults: FAULTS,
    syncs: ['{ kind: every-step }', '{ kind: outer, every: 3 }'],
    log: say,
  });
  say(
    `${outcome.total} faults in ${outcome.seconds.toFixed(0)} s: ${outcome.runs} runs, ${outcome.steps} steps and ${outcome.generations} generations, every run with the same bytes and a ledger that holds`,
  );
  say(JSON.stringify(outcome.faults));
} catch (caught) {
  say(`${(caught as Error).stack}\nPOCKETFLEET_SEED=${seed} npm run soak repeats this schedule`);
  process.exitCode = 1;
}
