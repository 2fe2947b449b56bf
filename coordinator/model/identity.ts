// What a run computes, as a key: runs of equal keys give the same result, whoever submitted them and whatever
// they are called. Decides what belongs to the key: the network, with its cells in canonical form; all that the
// spec says of training and verification; which data, wherever they lie; the seed; and of a student how it learns
// from a teacher, which counts by its own key and not by its id. The code that computes is a part of the key of
// a result (coordinator/model/results.ts). Name, kind, workers, priority, weight, requirements and retention
// decide nothing about the bits and are no part of it.

import { sha256Hex } from '../../core/digest.ts';
import { resolveGenotype } from '../../core/nn/genotype.ts';
import { genotypeKey } from '../../core/nn/genotype-code.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { seenOf } from '../../core/spec/data-key.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { orderOf } from '../../core/spec/training.ts';
import { type Fidelity, spaceAt } from '../strategies/fidelity.ts';
import { jobAt } from './spec-of.ts';
import {
  type DataFacts,
  type EndedRun,
  type RunState,
  type State,
  type SweepState,
  sweepOf,
  trialOf,
  wholeRunWith,
} from './state.ts';

/** What a run computes. The candidates of a sweep share the protocol, which is made once for all of them. */
export interface Identity {
  /** Protocol, epochs and seed. */
  readonly group: string;
  /** The canonical genotype; `-` for a network that has none. */
  readonly member: string;
}

/** Hexadecimal digits of the digest of a protocol. */
const DIGITS = 24;

/** The identity as one text. */
export const identityText = ({ group, member }: Identity): string => `${group}/${member}`;

/** What of a run its identity follows from. */
export type Identified =
  | Pick<
      RunState,
      'job' | 'facts' | 'sweepId' | 'trialId' | 'attempt' | 'teacherRunId' | 'haltStage' | 'fidelity'
    >
  | EndedRun;

/** What a run computes; undefined where its data were never digested, as in journals of earlier releases. */
export function identityOf(state: State, run: Identified): Identity | undefined {
  if (!('job' in run)) return identityOfCandidate(state, run, run.halted?.stage ?? run.fidelity?.epochs);
  // It trains nothing.
  if (run.job.kind === 'embedding') return undefined;
  const { job, facts, trialId, sweepId, attempt, teacherRunId, haltStage, fidelity } = run;
  if (trialId !== undefined && sweepId !== undefined)
    return identityOfCandidate(
      state,
      { trialId, sweepId, attempt, fidelity },
      haltStage ?? job.training.epochs,
    );
  return identityOfSpec(job as RunSpec, facts, identityOfTeacher(state, teacherRunId));
}

function identityOfCandidate(
  state: State,
  {
    trialId,
    sweepId,
    attempt,
    fidelity,
  }: Pick<EndedRun, 'trialId' | 'sweepId' | 'attempt'> & { readonly fidelity?: Fidelity | undefined },
  epochs?: number,
): Identity | undefined {
  const sweep = sweepOf(state, sweepId);
  const { job } = sweep;
  if (fidelity?.inherited !== undefined)
    return identityOfInherited(sweep, trialOf(state, trialId).genotypeKey);
  const protocol = protocolAt(sweep, fidelity, () => identityOfTeacher(state, sweep.teacherRunId));
  if (protocol === '') return undefined;
  return identityOfGenotype(protocol, job, { attempt, epochs, key: trialOf(state, trialId).genotypeKey });
}

/**
 * What a candidate has with inherited weights: the digest of the search network and how statistics come about stand in
 * the place of a training, and no seed has a part in it.
 */
export function identityOfInherited(
  { spec, facts: { digest } }: Pick<SweepState, 'spec' | 'facts'>,
  key: string,
): Identity | undefined {
  const { strategy, data, evaluation } = spec;
  const inherits = strategy.kind === 'one-shot' ? strategy.inherits : undefined;
  if (digest === undefined || inherits === undefined) return undefined;
  // What the search network is called decides nothing about the bits.
  const { run: _run, stage: _stage, ...how } = inherits;
  const { latency: _measured, ...verification } = evaluation.verification;
  const text = canonicalJson({ inherits: how, verification, data: { ...seenOf(data), digest } });
  return { group: groupOf(sha256Hex(text).slice(0, DIGITS), 0, 0), member: key };
}

/** What an attempt at a candidate computes, by the key of its genotype; `epochs`: all where there are none. */
export function identityOfGenotype(
  protocol: string,
  { training }: Pick<SweepSpec['evaluation'], 'training'>,
  {
    attempt = 1,
    epochs = training.epochs,
    key,
  }: { attempt?: number; epochs?: number | undefined; key: string },
): Identity {
  // Another attempt has another seed (coordinator/model/spec-of.ts).
  const seed = (training.seed + attempt - 1) >>> 0;
  return { group: groupOf(protocol, epochs, seed), member: key };
}

/** What a run of this spec computes, a student with this teacher; undefined where that is not known. */
export function identityOfSpec(spec: RunSpec, facts: DataFacts, teacher?: Identity): Identity | undefined {
  const { network, training, verification, distillation, data, imported } = spec;
  // A search has stages of its own kind, which nobody else computes.
  if (spec.search !== undefined) return undefined;
  if (imported !== undefined) return { group: `files.${imported.digest}`, member: '-' };
  if (distillation !== undefined && teacher === undefined) return undefined;
  const learns = learnsOf(distillation, teacher);
  const protocol = protocolOf({ network, training, verification, data, learns }, facts);
  if (protocol === '') return undefined;
  return { group: groupOf(protocol, training.epochs, training.seed), member: memberOf(network) };
}

/**
 * What all candidates of a sweep have in common, with this teacher where they have one; empty where its data or its
 * teacher's were never digested.
 */
export function protocolOfSweep(
  { space, evaluation, data }: SweepSpec,
  facts: DataFacts,
  teacher?: Identity,
): string {
  const { training, verification, distillation } = evaluation;
  if (distillation !== undefined && teacher === undefined) return '';
  const { channels, layers, embedding } = space;
  const network = { kind: 'pocketnet' as const, channels, layers, embedding, genotype: 'casia' as const };
  // As specOf has it: every attempt of every candidate sees the images in one order.
  const ordered = distillation === undefined ? training : { ...training, order: orderOf(training) };
  const learns = learnsOf(distillation, teacher);
  return protocolOf({ network, training: ordered, verification, data, learns }, facts);
}

/** What a teacher computes; undefined for none, or where that is not known. */
export function identityOfTeacher(state: State, teacherRunId: string | undefined): Identity | undefined {
  const teacher = teacherRunId === undefined ? undefined : wholeRunWith(state, teacherRunId);
  return teacher && identityOf(state, teacher);
}

/** With whom it shares embeddings and how they are computed changes no bit, and the size of the teacher's follows from the teacher. */
function learnsOf(distillation: RunSpec['distillation'], teacher: Identity | undefined) {
  const { share: _share, embed: _embed, teacherEmbedding: _size, ...how } = distillation ?? {};
  return teacher && { ...how, teacher: identityText(teacher) };
}

/** By spec, protocol of the full evaluation, and fidelity. */
const protocols = new WeakMap<SweepSpec, Map<string, string>>();

/** The protocol of candidates that have a part of the images or of the channels. */
export function protocolAt(
  { spec, protocol, facts, job }: Pick<SweepState, 'spec' | 'protocol' | 'facts' | 'job'>,
  fidelity: Fidelity = {},
  teacher: () => Identity | undefined,
): string {
  const { images, width } = fidelity;
  if (protocol === '' || (images === undefined && width === undefined)) return protocol;
  const known = protocols.get(spec) ?? new Map<string, string>();
  protocols.set(spec, known);
  // Sweeps of one spec may have other data, or another teacher: their protocols differ.
  const key = `${protocol} ${images} ${width}`;
  const { training } = jobAt(job, fidelity);
  const found =
    known.get(key) ??
    protocolOfSweep(
      { ...spec, space: spaceAt(spec, fidelity), evaluation: { ...spec.evaluation, training } },
      facts,
      teacher(),
    );
  known.set(key, found);
  return found;
}

function protocolOf(
  of: Pick<RunSpec, 'training' | 'verification' | 'network' | 'data'> & { readonly learns?: unknown },
  { digest }: DataFacts,
): string {
  if (digest === undefined) return '';
  // Recomputed activations are the same bits.
  const { epochs: _epochs, seed: _seed, recompute: _recompute, ...training } = of.training;
  const network = of.network.kind === 'pocketnet' ? { ...of.network, genotype: undefined } : of.network;
  const { learns } = of;
  // A measurement is no part of what is computed (coordinator/decisions/reuse.ts).
  const { latency: _measured, ...verification } = of.verification;
  const text = canonicalJson({
    network,
    training,
    verification,
    learns,
    data: { ...seenOf(of.data), digest },
  });
  return sha256Hex(text).slice(0, DIGITS);
}

/** Whether it is that of so many epochs. */
export const isOfEpochs = ({ group }: Identity, epochs: number): boolean =>
  group.split('.')[1] === String(epochs);

const groupOf = (protocol: string, epochs: number, seed: number): string =>
  `${protocol}.${epochs}.${seed.toString(36)}`;

const memberOf = (network: NetworkSpec): string =>
  network.kind === 'pocketnet' ? genotypeKey(resolveGenotype(network.genotype)) : '-';
