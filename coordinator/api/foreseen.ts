// Which results a text would take, before it is submitted: by the rules of coordinator/decisions/reuse.ts, of what its runs
// and candidates would compute.

import { genotypeOfKey } from '../../core/nn/genotype-code.ts';
import { candidateNetwork } from '../../core/nn/space.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { type Fleet, type Needs, originText, resultOfIdentity } from '../decisions/reuse.ts';
import {
  type Identity,
  identityOfGenotype,
  identityOfInherited,
  identityOfSpec,
  protocolAt,
  protocolOfSweep,
} from '../model/identity.ts';
import { originOf } from '../model/results.ts';
import { candidateJob, jobAt } from '../model/spec-of.ts';
import type { DataFacts } from '../model/state.ts';
import { type Fidelity, spaceAt } from '../strategies/fidelity.ts';
import type { KnownResult } from '../strategies/rehearsal.ts';

/** A run that would be made. */
export interface ForeseenRun {
  readonly spec: RunSpec;
  readonly facts: DataFacts;
  /** What the teacher of a student computes. */
  readonly teacher?: Identity | undefined;
  /** What students need of a teacher. */
  readonly needs?: readonly Needs[];
}

/** The run whose result it would take, as `run-7 of plan-1`; undefined where it is computed. */
export function foreseenRun(
  fleet: Fleet,
  { spec, facts, teacher, needs = [] }: ForeseenRun,
): string | undefined {
  const identity = identityOfSpec(spec, facts, teacher);
  if (identity === undefined) return undefined;
  const asking = { job: spec, facts, attempt: 1, studentRunIds: [] };
  const found = resultOfIdentity(fleet, asking, identity, { needs });
  return found && originText(fleet.state, originOf(fleet.state, found.from.id));
}

/** The results that candidates of a sweep would take, by genotype key and fidelity; `teacher`: what theirs computes. */
export function foreseenCandidates(
  fleet: Fleet,
  spec: SweepSpec,
  facts: DataFacts,
  teacher?: Identity,
): (key: string, fidelity?: Fidelity) => KnownResult | undefined {
  const protocol = protocolOfSweep(spec, facts, teacher);
  if (protocol === '' || spec.reuse === 'none') return () => undefined;
  const job = candidateJob(spec);
  const seen = new Map<string, KnownResult | undefined>();
  const lookedUp = (key: string, fidelity: Fidelity | undefined): KnownResult | undefined => {
    const network = candidateNetwork({ space: spaceAt(spec, fidelity) }, genotypeOfKey(key));
    const asking = { job: { ...jobAt(job, fidelity), network }, facts, attempt: 1, studentRunIds: [] };
    const at = protocolAt({ spec, protocol, facts, job }, fidelity, () => teacher);
    const identity =
      fidelity?.inherited === undefined
        ? identityOfGenotype(at, spec.evaluation, { epochs: fidelity?.epochs, key })
        : identityOfInherited({ spec, facts }, key);
    if (identity === undefined) return undefined;
    const found = resultOfIdentity(fleet, asking, identity, { isCandidate: true });
    if (found?.accuracy === undefined) return undefined;
    const { accuracy, latency } = found;
    return { accuracy, ...(latency === undefined ? {} : { latency: latency.milliseconds }) };
  };
  return (key, fidelity) => {
    const place = `${key} ${JSON.stringify(fidelity)}`;
    if (!seen.has(place)) seen.set(place, lookedUp(key, fidelity));
    return seen.get(place);
  };
}
