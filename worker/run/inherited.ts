// A run that verifies a candidate with inherited weights and trains nothing: one member, no exchange, no checkpoint.
// Decides what it opens and what it reports. Nothing is kept of it: after a loss another worker begins again, and gets
// the same numbers where its device class is the same.

import type { Loader } from '../../core/data/loading/loader.ts';
import { resolveGenotype } from '../../core/nn/genotype.ts';
import { alphasOfGenotype } from '../../core/search/one-hot.ts';
import type { Inherits } from '../../core/spec/inherits.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { Assign } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { calibrate, statisticsGraph, supernetOf } from '../training/inherited.ts';
import { subNetworkEmbedder } from '../verification/evaluate.ts';
import { evaluateHeldOut } from './finish.ts';
import { aborted } from './generation.ts';
import type { Phases } from './phases.ts';
import { parseSpec } from './run-spec.ts';
import type { OwnServices } from './services.ts';
import { acquireData } from './session.ts';

/** What the verification of a candidate needs here, whichever generation it has. */
export interface InheritedSession {
  readonly spec: RunSpec;
  readonly inherits: Inherits;
  readonly alphas: Float32Array;
  readonly loader: Loader;
  close(): Promise<void>;
}

/** Opens the data and compiles both graphs, unless an earlier candidate has had them compiled. */
export async function openInherited(options: {
  readonly services: OwnServices;
  readonly assign: Assign;
  readonly inherits: Inherits;
}): Promise<InheritedSession> {
  const { services, assign, inherits } = options;
  const spec = parseSpec(assign.specJson);
  if (spec.network.kind !== 'pocketnet')
    throw new Error(`assertion: a ${spec.network.kind} inherits no weights of a search network`);
  const alphas = alphasOfGenotype(resolveGenotype(spec.network.genotype));
  const { loader, release } = await acquireData(services, spec, assign.dataDigest);
  try {
    const { classes } = loader.facts;
    await services.compute.compileGraph(statisticsGraph(inherits, classes));
    await services.compute.compileGraph(subNetworkEmbedder(supernetOf(inherits, classes), alphas).graph);
    return { spec, inherits, alphas, loader, close: release };
  } catch (caught) {
    await release();
    throw caught;
  }
}

/** Verifies in one generation and reports that; ends when the signal does, or with a failure. */
export async function verifyInherited(context: {
  readonly services: OwnServices;
  readonly session: InheritedSession;
  readonly assign: Assign;
  readonly phases: Phases;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { services, session, assign, phases, signal } = context;
  const { runId, generation } = assign;
  if (assign.pauses === true) {
    phases.enter({ kind: 'pausing', generation, step: 0 });
    // Nothing has to be stored: it begins again.
    services.report({ $case: 'paused', value: { runId, generation, step: 0, stored: undefined } });
    services.time.rest('paused');
    return aborted(signal);
  }
  phases.enter({ kind: 'evaluating' });
  const { spec, inherits, alphas, loader } = session;
  const { checkpoints } = await services.broker;
  const { weights, weightsDigest } = await services.supernets.of(checkpoints, inherits, signal);
  const { compute } = services;
  const running = await calibrate({ inherits, alphas, weights, compute, loader, signal });
  const { evaluation } = await evaluateHeldOut({
    ...{ services, spec, loader, signal },
    embedder: subNetworkEmbedder(supernetOf(inherits, loader.facts.classes), alphas),
    backboneCount: weights.length,
    trained: { weights, running },
    untrained: undefined,
  });
  services.report({ $case: 'finished', value: { runId, generation, step: 0, weightsDigest, evaluation } });
  phases.enter({ kind: 'holding', step: 0 });
  await aborted(signal);
}
