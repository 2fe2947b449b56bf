// What runs require of a worker, in words: whether any worker that is there is it, and whether any can be. What the
// fleet can have is what is there and what its configuration names; without that it can have any.

import { FleetError } from '../../core/errors.ts';
import type { Requirement } from '../../core/spec/common.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { nearest } from '../../core/text/nearest.ts';
import type { WorkerKind } from '../../core/worker-kinds.ts';
import { valuesOf } from '../model/persistent-map.ts';
import type { State } from '../model/state.ts';
import { traitsOf } from './board.ts';
import { meets } from './fit.ts';

type Spec = PlanSpec | SweepSpec | RunSpec;

/** `label gpu=a100, 40 GB of memory, device kind cuda`. */
export function requirementText({ labels = {}, memoryMin, deviceKind }: Requirement = {}): string {
  return [
    ...Object.entries(labels).map(([name, value]) => `label ${name}=${value}`),
    ...(memoryMin === undefined ? [] : [`${memoryMin} GB of memory`]),
    ...(deviceKind === undefined ? [] : [`device kind ${deviceKind}`]),
  ].join(', ');
}

/** That no worker is what a part of a document requires, as notes to whoever submits it; none: one is. */
export function requirementNotes(state: State, spec: Spec): string[] {
  const workers = [...valuesOf(state.workers)];
  return partsOf(spec).flatMap(({ name, require }) => {
    if (workers.some((one) => one.state === 'attached' && meets(require, traitsOf(one)))) return [];
    const largest = Math.max(0, ...workers.map((one) => traitsOf(one).memoryGb));
    const memory =
      largest > 0 && (require.memoryMin ?? 0) > largest
        ? `; the largest device that it has had is of ${largest} GB`
        : '';
    return [
      `${name}: no worker of this fleet has what it requires (${requirementText(require)}); it waits until one comes${memory}`,
    ];
  });
}

/** What a document requires and no worker of the fleet can ever be. */
export interface RequirementFault {
  /** Dotted, `students.0.require.labels.gpu`. */
  readonly field: string;
  readonly reason: string;
}

/** Those of a document; none where the fleet can have any worker. */
export function requirementFaults(state: State, spec: Spec): RequirementFault[] {
  if (state.workerKinds.length === 0) return [];
  const kinds = [...state.workerKinds, ...presentKinds(state)];
  return partsOf(spec).flatMap(({ field, require }) => {
    if (kinds.some((kind) => canBe(require, kind))) return [];
    return [faultOf(kinds, require)].map((fault) => ({ ...fault, field: `${field}${fault.field}` }));
  });
}

/** Throws the first reason why a document could never run; `details.field` is where. */
export function assertPossible(state: State, spec: Spec): void {
  const [first] = requirementFaults(state, spec);
  if (first === undefined) return;
  const { field, reason } = first;
  throw new FleetError('failedPrecondition', `${field}: ${reason}`, { details: { field } });
}

/** What the parts of a document require, of those that require something. */
function partsOf(spec: Spec) {
  const parts =
    spec.kind === 'plan'
      ? [
          { field: 'search.require', name: 'search', require: spec.search?.require },
          { field: 'teacher.require', name: spec.teacher?.name ?? '', require: spec.teacher?.require },
          ...spec.students.map((student, at) => ({ field: `students.${at}.require`, ...student })),
        ]
      : [{ field: 'require', ...spec }];
  return parts.flatMap(({ field, name, require }) =>
    require === undefined ? [] : [{ field, name, require }],
  );
}

/** What the workers are that are there. */
function presentKinds(state: State): WorkerKind[] {
  return [...valuesOf(state.workers)]
    .filter((worker) => worker.state !== 'lost')
    .map((worker) => {
      const { deviceKind, memoryGb, labels } = traitsOf(worker);
      return { deviceKind: deviceKind as WorkerKind['deviceKind'], memoryGb, labels: { ...labels } };
    });
}

function canBe({ labels = {}, memoryMin = 0, deviceKind }: Requirement, kind: WorkerKind): boolean {
  if (deviceKind !== undefined && deviceKind !== kind.deviceKind) return false;
  if (Math.floor(kind.memoryGb ?? Number.POSITIVE_INFINITY) < memoryMin) return false;
  return Object.entries(labels).every(([name, value]) => [value, '*'].includes(kind.labels[name] ?? ''));
}

/** The first thing that no kind has, or that none has all of it. */
function faultOf(kinds: readonly WorkerKind[], require: Requirement): RequirementFault {
  const { labels = {}, memoryMin, deviceKind } = require;
  const known = [...new Set(kinds.flatMap((kind) => Object.keys(kind.labels)))].sort();
  for (const [name, value] of Object.entries(labels)) {
    const field = `.labels.${name}`;
    if (!known.includes(name)) {
      const near = nearest(name, known);
      const hint =
        near === undefined ? `its labels are ${known.join(', ') || 'none'}` : `did you mean ${near}?`;
      return { field, reason: `no worker of this fleet can have a label ${name}; ${hint}` };
    }
    if (kinds.some((kind) => canBe({ labels: { [name]: value } }, kind))) continue;
    const values = [...new Set(kinds.flatMap((kind) => kind.labels[name] ?? []))].sort().join(', ');
    return { field, reason: `no worker of this fleet can have ${name}=${value}; its values are ${values}` };
  }
  if (deviceKind !== undefined && !kinds.some((kind) => canBe({ deviceKind }, kind)))
    return { field: '.deviceKind', reason: `no worker of this fleet can be of kind ${deviceKind}` };
  if (memoryMin !== undefined && !kinds.some((kind) => canBe({ memoryMin }, kind))) {
    const largest = Math.max(...kinds.map(({ memoryGb = 0 }) => memoryGb));
    const reason = `no worker of this fleet can have ${memoryMin} GB; its largest device has ${largest} GB`;
    return { field: '.memoryMin', reason };
  }
  const reason = `no worker of this fleet can have all of it (${requirementText(require)}), though each by itself`;
  return { field: '', reason };
}
