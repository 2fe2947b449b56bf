// What a run that shares its devices with nobody keeps from others while it trains, as a note to a forecast.

import type { RunSpec } from '../../core/spec/run.ts';
import { valuesOf } from '../model/persistent-map.ts';
import type { State } from '../model/state.ts';
import { meets, traitsOf } from '../scheduling/board.ts';
import { deviceOf } from '../scheduling/devices.ts';

/** `has its device to itself, so that 2 other workers of it get nothing`; empty for a run that shares. */
export function wholeDevicesNote(
  { require, workers }: Pick<RunSpec, 'require' | 'workers'>,
  state: State,
): string {
  if (require?.device !== 'exclusive') return '';
  const onDevice = new Map<string, number>();
  for (const worker of valuesOf(state.workers)) {
    if (worker.state !== 'attached' || !meets(require, traitsOf(worker))) continue;
    const id = deviceOf(worker);
    onDevice.set(id, (onDevice.get(id) ?? 0) + 1);
  }
  const most = [...onDevice.values()].sort((a, b) => b - a).slice(0, workers.min);
  const kept = most.reduce((sum, count) => sum + count - 1, 0);
  const [devices, them] = workers.min === 1 ? ['its device', 'it'] : [`its ${workers.min} devices`, 'them'];
  return `has ${devices} to itself${kept === 0 ? '' : `, so that ${kept} other workers of ${them} get nothing`}`;
}
