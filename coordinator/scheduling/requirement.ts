// What a run requires of a worker, in words, and whether any worker that is there is it.

import type { Requirement } from '../../core/spec/common.ts';
import { valuesOf } from '../model/persistent-map.ts';
import type { State } from '../model/state.ts';
import { meets, traitsOf } from './board.ts';

/** `label gpu=a100, 40 GB of memory, device kind cuda`. */
export function requirementText({ labels = {}, memoryMin, deviceKind }: Requirement = {}): string {
  return [
    ...Object.entries(labels).map(([name, value]) => `label ${name}=${value}`),
    ...(memoryMin === undefined ? [] : [`${memoryMin} GB of memory`]),
    ...(deviceKind === undefined ? [] : [`device kind ${deviceKind}`]),
  ].join(', ');
}

/** That no worker is what is required, as a note to whoever submits; undefined: one is. */
export function requirementNote(
  state: State,
  name: string,
  require: Requirement | undefined,
): string | undefined {
  if (require === undefined) return undefined;
  for (const worker of valuesOf(state.workers))
    if (worker.state === 'attached' && meets(require, traitsOf(worker))) return undefined;
  return `${name}: no worker of this fleet has what it requires (${requirementText(require)}); it waits until one comes`;
}
