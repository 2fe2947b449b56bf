// How many workers a cluster should run: as many as the open runs can use, between the least and the most that
// the installation allows. Pure. It grows at once, because somebody waits, and shrinks when fewer were enough
// for a while. What goes is the end of the StatefulSet, the highest numbers, as Kubernetes takes them: these
// workers are drained first, so that their runs are elsewhere before their pods are ended, and are taken back while they are
// there when they are wanted again.

import type { WorkerState } from '../model/state.ts';

/** What an installation allows. */
export interface ScaleLimits {
  readonly min: number;
  readonly max: number;
  /** Fewer workers must have been enough for so long before any goes, milliseconds. */
  readonly downAfterMs: number;
}

/** What the scaler looks at. */
export interface ScaleView {
  /** Milliseconds on a clock that never goes back. */
  readonly nowMs: number;
  /** Workers that the open runs could use now. */
  readonly demand: number;
  /** Pods that the StatefulSet asks for. */
  readonly replicas: number;
  /** Name of the StatefulSet; worker `NAME-3` is its fourth pod. */
  readonly name: string;
  readonly workers: Iterable<Pick<WorkerState, 'id' | 'incarnation' | 'state' | 'reason' | 'runs'>>;
}

/** What the leader remembers between two looks; one that has just taken the lead begins anew and only waits longer. */
export interface ScaleMemory {
  /** Since when fewer workers are enough, and the most that were wanted since; absent while they are not. */
  readonly low?: { readonly sinceMs: number; readonly wanted: number };
}

/** A step that is to be taken now. */
export type ScaleStep =
  | { readonly kind: 'up' | 'down'; readonly replicas: number; readonly reason: string }
  | {
      /** `keep`: workers that drain get work again. */
      readonly kind: 'drain' | 'keep';
      readonly workers: readonly { readonly workerId: string; readonly incarnation: string }[];
      readonly reason: string;
    };

/** How the reason of a worker begins that is drained because its pod is going to be taken away. */
const GOES = 'the fleet needs fewer workers';

/** What to do now, if anything, and what to remember. */
export function scaleStep(
  memory: ScaleMemory,
  view: ScaleView,
  limits: ScaleLimits,
): { readonly memory: ScaleMemory; readonly step?: ScaleStep } {
  const { nowMs, demand, replicas } = view;
  const wanted = Math.min(limits.max, Math.max(limits.min, demand));
  const pods = podsOf(view);
  const going = pods.filter(({ worker }) => worker.state === 'draining' && worker.reason.startsWith(GOES));
  const kept = going.filter(({ place }) => place < wanted);
  if (kept.length > 0) {
    const reason = `the open runs can use ${demand} workers again, ${bounds(limits)}`;
    return { memory: {}, step: { kind: 'keep', workers: kept.map(workerOf), reason } };
  }
  if (going.length > 0)
    return { memory: {}, ...finished(view, pods, Math.min(...going.map(({ place }) => place))) };
  if (wanted > replicas)
    return {
      memory: {},
      step: {
        kind: 'up',
        replicas: wanted,
        reason: `the open runs can use ${demand} workers, ${bounds(limits)}`,
      },
    };
  if (wanted === replicas) return { memory: {} };
  const low = {
    sinceMs: memory.low?.sinceMs ?? nowMs,
    wanted: Math.max(wanted, memory.low?.wanted ?? 0),
  };
  if (nowMs - low.sinceMs < limits.downAfterMs) return { memory: { low } };
  const reason = `${GOES}: the open runs could use ${low.wanted} at most for ${Math.round((nowMs - low.sinceMs) / 1000)} s, ${bounds(limits)}`;
  const last = pods.filter(({ place }) => place >= low.wanted);
  if (last.length === 0) return { memory: {}, step: { kind: 'down', replicas: low.wanted, reason } };
  return { memory: { low }, step: { kind: 'drain', workers: last.map(workerOf), reason } };
}

/** The next step until the pods from this one on are gone: one that came meanwhile is drained too. */
function finished(
  { name }: ScaleView,
  pods: ReturnType<typeof podsOf>,
  first: number,
): { readonly step?: ScaleStep } {
  const last = pods.filter(({ place }) => place >= first);
  const late = last.filter(({ worker }) => worker.state === 'attached');
  if (late.length > 0) {
    const reason = `${GOES}: pods from ${name}-${first} on are to go`;
    return { step: { kind: 'drain', workers: late.map(workerOf), reason } };
  }
  if (last.some(({ worker }) => worker.runs.length > 0)) return {};
  return { step: { kind: 'down', replicas: first, reason: `workers from ${name}-${first} on are drained` } };
}

const workerOf = ({ worker: { id, incarnation } }: ReturnType<typeof podsOf>[number]) => ({
  ...{ workerId: id, incarnation },
});

const bounds = ({ min, max }: ScaleLimits): string => `between ${min} and ${max}`;

/** Workers that are there and belong to pods that the StatefulSet asks for, with the number of their pod. */
function podsOf({ name, workers, replicas }: ScaleView) {
  return [...workers].flatMap((worker) => {
    const place = placeOf(worker.id, name);
    return place === undefined || place >= replicas || worker.state === 'lost' ? [] : [{ place, worker }];
  });
}

/** Whether a worker is a pod of the StatefulSet of this name, by its id. */
export function isPodOf(name: string, workerId: string): boolean {
  return placeOf(workerId, name) !== undefined;
}

function placeOf(workerId: string, name: string): number | undefined {
  const digits = workerId.startsWith(`${name}-`) ? workerId.slice(name.length + 1) : '';
  return /^(0|[1-9]\d*)$/.test(digits) ? Number(digits) : undefined;
}
