// The thread that decodes. It notes each case in shared memory before it begins, so that whoever watches knows
// which one hangs or takes all memory.

import { parentPort, workerData } from 'node:worker_threads';
import { inputOf, judged } from './case.ts';
import type { Done, Found, Order } from './orders.ts';
import { targets } from './targets.ts';

/** Cases of a target that names no other number, in the short run. */
const CASES = 25;
/** Faults of one target after which the next one is begun. */
const FAULTS_MAX = 4;

const { seed, watch, only, from, msEach, single } = workerData as Order;
const state = new Float64Array(watch);

for (const [index, target] of targets.entries()) {
  if (index < from.target || (only.length > 0 && !only.includes(target.name))) continue;
  const corpus = await target.corpus();
  const beganAt = performance.now();
  const first = single ?? (index === from.target ? from.number : 0);
  const isOver = (number: number): boolean => {
    if (single !== undefined) return number > single;
    if (msEach !== undefined) return number >= corpus.length && performance.now() - beganAt >= msEach;
    return number >= Math.max(corpus.length, target.cases ?? CASES);
  };
  let [cases, valid, slowest, slowestMs, takenMax, faults] = [0, 0, 0, 0, 0, 0];
  for (let number = first; !isOver(number) && faults < FAULTS_MAX; number++) {
    state.set([index, number, performance.timeOrigin + performance.now()]);
    const isOwn = number < corpus.length;
    const outcome = await judged(target, inputOf(target, corpus, seed, number), isOwn);
    cases += 1;
    if (outcome.isValid) valid += 1;
    if (outcome.milliseconds > slowestMs) [slowest, slowestMs] = [number, outcome.milliseconds];
    takenMax = Math.max(takenMax, outcome.taken);
    if (outcome.fault === undefined) continue;
    faults += 1;
    parentPort!.postMessage({
      kind: 'found',
      target: target.name,
      number,
      fault: outcome.fault,
    } satisfies Found);
  }
  const milliseconds = performance.now() - beganAt;
  const { name } = target;
  parentPort!.postMessage({
    ...{ kind: 'done', target: name, cases, valid, slowest, slowestMs, takenMax, milliseconds },
  } satisfies Done);
}
