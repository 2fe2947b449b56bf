// The shapes of the events of the present format, one for each kind.

import { z } from 'zod';
import type { Event } from '../model/events.ts';
import { eventChecker } from './formats/event-checker.ts';

const text = z.string();
const number = z.number();
const texts = z.array(text);
const reason = { reason: text };
const ending = { state: z.enum(['done', 'failed', 'cancelled']), reason: text };
const facts = z.object({ trainingImages: number, classes: number });
const costs = z.object({ parameters: number, mflops: number, multiplyAdds: number });
const members = z.array(z.object({ workerId: text, shardFirst: number, shardCount: number }));
const caller = z.object({ name: text, role: text, fingerprint: text });
const ids = z.strictObject({ plan: number, sweep: number, trial: number, run: number });

const SHAPES: Readonly<Record<Event['kind'], Readonly<Record<string, z.ZodType>>>> = {
  'coordinator.started': { epoch: number, version: text },
  'input.refused': { input: text, ...reason },
  'spec.recorded': { digest: text, spec: z.object({ kind: text, name: text }) },
  'submission.taken': { requestId: text, digest: text, planIds: texts, sweepIds: texts, runIds: texts },
  'journal.truncated': { after: number, ids, ...reason },
  'plan.submitted': { planId: text, spec: text, yaml: text, facts },
  'plan.ended': { planId: text, ...ending },
  'sweep.submitted': { sweepId: text, spec: text, facts },
  'sweep.exhausted': { sweepId: text, trialsTotal: number, ...reason },
  'sweep.ended': { sweepId: text, ...ending },
  'candidates.drawn': {
    sweepId: text,
    candidates: z.array(z.object({ genotype: text, costs })),
    cursor: z.object({ draws: number }),
    isDrawn: z.boolean(),
  },
  'candidates.scored': {
    sweepId: text,
    group: number,
    workerId: text,
    scores: z.array(z.object({ place: number, scores: z.array(z.object({ name: text, value: number })) })),
  },
  'trial.proposed': {
    trialId: text,
    sweepId: text,
    number,
    genotype: text,
    costs,
  },
  'trial.found': { trialId: text, runId: text, genotype: text, costs, ...reason },
  'trial.attempted': { trialId: text, runId: text, ...reason },
  'trial.promoted': { trialId: text, cursor: z.object({ draws: number }), ...reason },
  'trial.stopped': { trialId: text, cursor: z.object({ draws: number }), ...reason },
  'trial.ended': { trialId: text, ...ending },
  'run.created': { runId: text, spec: text, facts, costs, ...reason },
  'embedding.ended': { runId: text, ...reason },
  'run.assigned': { runId: text, generation: number, members, deviceClass: text, ...reason },
  'run.requeued': { runId: text, generation: number, ...reason },
  'run.pausing': { runId: text, ...reason },
  'run.paused': { runId: text, step: number, isHeld: z.boolean(), ...reason },
  'step.dropped': { runId: text, step: number, ...reason },
  'run.troubled': { runId: text, workerId: text, avoidUntilMs: number, ...reason },
  'run.blamed': { runId: text, workerId: text, blame: z.object({}), ...reason },
  'run.checkpointed': { runId: text, stage: number, step: number, bytes: number, digest: text },
  'stage.dropped': { runId: text, parts: z.enum(['state', 'all']), ...reason },
  'stage.kept': { runId: text, stage: number, ...reason },
  'stage.released': { runId: text, stage: number, ...reason },
  'stage.damaged': { runId: text, stage: number, workerId: text, ...reason },
  'stage.mended': { runId: text, stage: number, ...reason },
  'stage.lost': { runId: text, stage: number, ...reason },
  'work.removed': { id: text, ...reason },
  'run.exported': { runId: text, stage: number, format: text },
  'token.created': { token: caller, createdBy: text },
  'token.revoked': { token: caller },
  'calls.refused': {
    refusals: z.array(z.object({ method: text, reason: text, count: number })),
    others: number,
  },
  'clock.jumped': { ms: number, ...reason },
  'scheduling.configured': { usageHalfLifeMs: number, quotas: z.record(text, z.object({})) },
  'store.collected': { manifests: number, chunks: number, bytes: number },
  'run.finished': { runId: text, generation: number, workerId: text, step: number, weightsDigest: text },
  'run.halted': { runId: text, workerId: text, stage: number, step: number, weightsDigest: text },
  'run.continued': { runId: text, ...reason },
  'run.reused': { runId: text, fromRunId: text, code: text, step: number, weightsDigest: text, ...reason },
  'run.twinned': { runId: text, ...reason },
  'result.conflicted': {
    ...{ runId: text, otherRunId: text, weightsDigest: text, otherWeightsDigest: text, ...reason },
  },
  'run.failed': { runId: text, cause: text, ...reason },
  'run.cancelled': { runId: text, ...reason },
  'work.resumed': reason,
  'work.paused': reason,
  'work.prioritised': { priority: number, ...reason },
  'worker.attached': {
    workerId: text,
    incarnation: text,
    deviceKind: text,
    deviceName: text,
    deviceClass: text,
    slots: number,
    host: text,
    pid: number,
    version: text,
    ...reason,
  },
  'worker.draining': { workerId: text, ...reason },
  'worker.undrained': { workerId: text, ...reason },
  'worker.lost': { workerId: text, incarnation: text, ...reason },
  'worker.spent': {
    workerId: text,
    incarnation: text,
    until: number,
    entries: z.array(z.object({ seconds: z.object({}) })),
  },
};

/** Why these events are none of the present, as a phrase that goes on after "the message"; undefined: they are. */
export const refusalOfEvents = eventChecker(SHAPES);
