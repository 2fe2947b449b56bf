// Which workers a run can have at all, by what they are and not by what they do now. Pure.

import type { Requirement } from '../../core/spec/common.ts';
import { hasPrecision } from '../../core/system/device-class.ts';
import type { RunState } from '../model/state.ts';
import { hasMemoryFor } from './memory.ts';
import type { Kind, Traits } from './pools.ts';

/**
 * Why a run takes no worker of a kind: it is not what the run requires, has too little memory, does not compute in its
 * precision; and of an exact run, which takes workers of one device class: it gives other bits each time, or is of
 * another class than the one on which the run began.
 */
export type Unfit = 'requirement' | 'memory' | 'precision' | 'random' | 'class';

/** What a run asks for that decides it. */
type Asked = Pick<RunState['job'], 'require'> & {
  readonly training: Pick<RunState['job']['training'], 'exact' | 'precision'>;
};

/** The first of these reasons; undefined where the run takes such workers. */
export function whyUnfit(
  run: { readonly job: Asked } & Pick<RunState, 'memory' | 'deviceClass'>,
  kind: Kind,
): Unfit | undefined {
  const { job, deviceClass } = run;
  if (!meets(job.require, kind.traits)) return 'requirement';
  if (!hasMemoryFor(run, kind.traits.memoryGb)) return 'memory';
  if (!hasPrecision(kind.deviceClass, job.training.precision)) return 'precision';
  if (!job.training.exact) return undefined;
  if (!kind.isDeterministic) return 'random';
  return deviceClass === undefined || deviceClass === kind.deviceClass ? undefined : 'class';
}

/** Whether a run takes workers of a kind. */
export const fitsClass = (run: RunState, kind: Kind): boolean => whyUnfit(run, kind) === undefined;

/** A worker is what a run requires. */
export function meets(require: Requirement | undefined, { deviceKind, memoryGb, labels }: Traits): boolean {
  if (require === undefined) return true;
  if (require.deviceKind !== undefined && require.deviceKind !== deviceKind) return false;
  if (require.memoryMin !== undefined && memoryGb < require.memoryMin) return false;
  return Object.entries(require.labels ?? {}).every(([name, value]) => labels[name] === value);
}
