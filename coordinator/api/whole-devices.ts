// What a run that shares its devices with nobody keeps from others while it trains, and when there are such devices by
// what their runs still take, as a note to a forecast. What waits before it is left out.

import type { RunSpec } from '../../core/spec/run.ts';
import { emptyMap, valuesOf } from '../model/persistent-map.ts';
import { isWhole, type RunState, runWith, type WorkerState } from '../model/state.ts';
import { traitsOf } from '../scheduling/board.ts';
import { deviceOf } from '../scheduling/devices.ts';
import { endOf, paceOf } from '../scheduling/estimates.ts';
import { meets } from '../scheduling/fit.ts';
import type { ForecastContext } from './forecast-amounts.ts';

/**
 * `has its device to itself, so that 2 other workers of it get nothing; a device is empty in about 5 min, when ...`;
 * empty for a run that shares.
 */
export function wholeDevicesNote(
  { require, workers }: Pick<RunSpec, 'require' | 'workers'>,
  context: Pick<ForecastContext, 'state' | 'speedOf'>,
): string {
  if (require?.device !== 'exclusive') return '';
  const onDevice = new Map<string, WorkerState[]>();
  for (const worker of valuesOf(context.state.workers)) {
    if (worker.state !== 'attached' || !meets(require, traitsOf(worker))) continue;
    const id = deviceOf(worker);
    onDevice.set(id, [...(onDevice.get(id) ?? []), worker]);
  }
  const devices = [...onDevice.values()];
  const most = devices.map(({ length }) => length).sort((a, b) => b - a);
  const kept = most.slice(0, workers.min).reduce((sum, count) => sum + count - 1, 0);
  const [own, them] = workers.min === 1 ? ['its device', 'it'] : [`its ${workers.min} devices`, 'them'];
  const start = devices.length < workers.min ? '' : startText(devices, workers.min, context);
  return `has ${own} to itself${kept === 0 ? '' : `, so that ${kept} other workers of ${them} get nothing`}${start}`;
}

/** When so many devices are empty; nothing where they are now. */
function startText(
  devices: readonly (readonly WorkerState[])[],
  needed: number,
  { state, speedOf }: Pick<ForecastContext, 'state' | 'speedOf'>,
): string {
  const observed = { now: 0, connected: emptyMap<true>(), speedOf };
  const runsOn = devices.map((workers) => [...new Set(workers.flatMap(({ runs }) => runs))]);
  const known = new Map<number, RunState>();
  for (const number of new Set(runsOn.flat())) {
    const run = runWith(state, `run-${number}`);
    if (run !== undefined && isWhole(run)) known.set(number, run);
  }
  const pace = paceOf([...known.values()], observed);
  const emptyAt = runsOn.map((numbers) =>
    numbers.reduce((latest, number) => {
      const run = known.get(number);
      return Math.max(latest, (run && endOf(run, pace, observed)) ?? Number.POSITIVE_INFINITY);
    }, 0),
  );
  const atMs = emptyAt.sort((a, b) => a - b)[needed - 1]!;
  if (atMs === 0) return '';
  const [who, is] = needed === 1 ? ['a device', 'is'] : [`${needed} devices`, 'are'];
  if (!Number.isFinite(atMs))
    return `; when ${who} ${is} empty is not known, since the speed of a run there was not measured yet`;
  return `; ${who} ${is} empty in about ${Math.max(1, Math.round(atMs / 60_000))} min, when the runs there have ended`;
}
