// What a proposal of the strategy costs: in the space of PocketNet-S, without constraints and with one that a
// hundredth of the draws meets.

import { searchOf } from '../../coordinator/strategies/strategies.ts';
import { sweep } from '../../test/sim/specs.ts';
import { atMost, type Goal, say } from '../goals.ts';
import { cpuMs } from './processor.ts';

const SPACE = { channels: 16, layers: 18, embedding: 128 };
/** Parameters that some 1 % of this space's draws have at most. */
const PARAMETERS_MAX = 794_000;
const PROPOSALS = 3_000;
const WARM_UP = 200;
const DRAWS = 1_000;

/** Milliseconds a proposal, and the share of draws that became one. */
function measure(constraints: { readonly parametersMax?: number }) {
  const spec = sweep({ space: SPACE, constraints, strategy: { trials: 1_000_000 } });
  const search = searchOf(spec);
  const known = new Map<string, number>();
  let state = search.begin(1);
  let skipped = 0;
  let start = 0;
  for (let number = 1; number <= WARM_UP + PROPOSALS; ) {
    if (number === WARM_UP) start = cpuMs();
    const answer = search.ask(state, {
      ...{ draws: DRAWS, mayBegin: true, known: (key) => known.get(key), keyOf: () => '' },
    });
    if (answer.kind === 'wait' || answer.kind === 'done') throw new Error(answer.reason);
    if (answer.kind === 'later') {
      state = { ...state, cursor: answer.cursor };
      continue;
    }
    skipped += answer.skipped.count;
    known.set(answer.move.key, number);
    state = search.made(state, { ...answer.move, cursor: answer.cursor });
    number += 1;
  }
  const proposals = WARM_UP + PROPOSALS;
  return { ms: (cpuMs() - start) / PROPOSALS, accepted: proposals / (proposals + skipped) };
}

/** Both spaces. */
export function benchProposals(): { goals: Goal[]; rows: unknown } {
  const free = measure({});
  const tight = measure({ parametersMax: PARAMETERS_MAX });
  say(
    `a proposal: ${free.ms.toFixed(4)} ms; with ${(100 * tight.accepted).toFixed(1)} % of the draws accepted ${tight.ms.toFixed(3)} ms`,
  );
  return {
    goals: [
      atMost('propose: a proposal', free.ms, 0.1, 'ms'),
      atMost('propose: a proposal that one draw in a hundred meets', tight.ms, 2, 'ms'),
    ],
    rows: { free, tight },
  };
}
