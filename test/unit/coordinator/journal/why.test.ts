// Which events `why` shows for an id: those that name it, whatever their kind.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idsOf, sentenceOf } from '../../../../coordinator/journal/why.ts';
import type { Event, EventOf } from '../../../../coordinator/model/events.ts';
import { NO_BLAME } from '../../../../coordinator/model/state.ts';
import { plan, sweep, teacher } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { drawn, folded, recorded } from '../../../support/state.ts';

const at = { atMs: 1 };
const reason = 'a test';
const SPECS = { plan: recorded(plan()), sweep: recorded(sweep()), run: recorded(teacher()) };
const STATE = folded(Object.values(SPECS).map(({ event }) => ({ ...event, atMs: 0 }) as Event));
const costs = { parameters: 1, mflops: 1, multiplyAdds: 1 };
const worker = {
  ...{ workerId: 'w1', incarnation: 'i', deviceKind: 'cpu', deviceName: 'cpu', deviceClass: 'c', slots: 1 },
  ...{ host: 'h', pid: 1, version: '1', metricsEndpoint: '', podUid: '' },
};
const parents = { planId: 'plan-1', sweepId: 'sweep-1', trialId: 'trial-1' };
const members = ['w1', 'w2'].map((workerId, i) => ({ workerId, shardFirst: 4 * i, shardCount: 4 }));

const CI = { name: 'ci', role: 'submit', fingerprint: '1a2b3c4d5e6f' };

/** One event of each kind, with every id that it may have: a kind that is missing here does not compile. */
const EVENTS: { readonly [K in Event['kind']]: Omit<EventOf<K>, 'kind' | 'atMs'> } = {
  'input.refused': { input: 'reported', workerId: 'w1', runId: 'run-1', reason },
  'spec.recorded': { digest: SPECS.run.digest, spec: teacher() },
  'submission.taken': {
    ...{ requestId: 'r', digest: 'd', planIds: ['plan-1'], sweepIds: ['sweep-1'], runIds: ['run-1'] },
  },
  'coordinator.started': { epoch: 1, version: '1' },
  'journal.truncated': { after: 1, ids: { plan: 1, sweep: 1, trial: 1, run: 1 }, reason },
  'plan.submitted': { planId: 'plan-1', spec: SPECS.plan.digest, yaml: '', facts: FACTS },
  'plan.ended': { planId: 'plan-1', state: 'done', reason, winnerRunId: 'run-9' },
  'sweep.submitted': { sweepId: 'sweep-1', planId: 'plan-1', spec: SPECS.sweep.digest, facts: FACTS },
  'sweep.exhausted': { sweepId: 'sweep-1', trialsTotal: 1, reason },
  'sweep.ended': { sweepId: 'sweep-1', state: 'done', reason },
  'candidates.drawn': {
    ...{ sweepId: 'sweep-1', candidates: [{ genotype: 'k', costs }], cursor: drawn(1), isDrawn: true },
  },
  'candidates.scored': {
    ...{ sweepId: 'sweep-1', group: 1, workerId: 'w1' },
    scores: [{ place: 0, scores: [{ name: 'synflow', value: 1 }] }],
  },
  'trial.proposed': {
    ...{ trialId: 'trial-1', sweepId: 'sweep-1', number: 1, costs, genotype: 'k', cursor: drawn(1) },
    skipped: { count: 2, firstReason: 'too large' },
  },
  'trial.promoted': { trialId: 'trial-1', fidelity: { epochs: 3 }, cursor: drawn(1), reason },
  'trial.stopped': { trialId: 'trial-1', cursor: drawn(1), reason },
  'trial.found': { trialId: 'trial-1', runId: 'run-1', genotype: 'k', costs, reason },
  'trial.attempted': { trialId: 'trial-1', runId: 'run-1', attempt: 1, reason },
  'trial.ended': { trialId: 'trial-1', state: 'done', reason, objectives: { accuracy: 1 } },
  'run.created': {
    planId: 'plan-1',
    runId: 'run-1',
    teacherRunId: 'run-8',
    trialId: 'trial-1',
    spec: SPECS.run.digest,
    facts: FACTS,
    costs,
    reason,
  },
  'run.assigned': { runId: 'run-1', generation: 1, members, deviceClass: 'c', lentByRunId: 'run-2', reason },
  'run.requeued': { runId: 'run-1', generation: 1, reason },
  'run.reused': {
    ...{ runId: 'run-1', fromRunId: 'run-2', code: 'c', step: 8, weightsDigest: 'w', accuracy: 0.5, reason },
  },
  'run.twinned': { runId: 'run-1', twinRunId: 'run-2', reason },
  'result.conflicted': {
    ...{ runId: 'run-1', otherRunId: 'run-2', weightsDigest: 'w', otherWeightsDigest: 'v', reason },
  },
  'run.pausing': { runId: 'run-1', forRunId: 'run-2', reason },
  'run.paused': {
    ...{ runId: 'run-1', step: 5, isHeld: true, reason, workerId: 'w1' },
    stored: { bytes: 1, digest: 'd', weightsDigest: 'w', stateDigest: 's', ledgerDigest: 'l' },
  },
  'step.dropped': { runId: 'run-1', step: 5, reason },
  'run.troubled': { runId: 'run-1', workerId: 'w1', avoidUntilMs: 1, reason },
  'run.blamed': { runId: 'run-1', workerId: 'w1', blame: NO_BLAME, reason },
  'run.checkpointed': { runId: 'run-1', workerId: 'w1', stage: 1, step: 1, bytes: 1, digest: 'd' },
  'stage.dropped': { runId: 'run-1', stages: [1, 2, 3, 5], parts: 'state', reason },
  'stage.kept': { runId: 'run-1', stage: 1, reason },
  'stage.released': { runId: 'run-1', stage: 1, reason },
  'stage.damaged': { runId: 'run-1', stage: 1, workerId: 'w1', reason },
  'stage.mended': { runId: 'run-1', stage: 1, reason },
  'stage.lost': { runId: 'run-1', stage: 1, reason },
  'work.removed': { id: 'run-1', reason },
  'run.exported': { runId: 'run-1', stage: 1, format: 'onnx' },
  'token.created': { token: CI, createdBy: 'mia', expires: '2027-01-01T00:00:00Z' },
  'token.revoked': { token: CI, revokedBy: 'mia' },
  'calls.refused': {
    refusals: [
      { token: CI, method: 'Attach', reason: 'role', count: 2 },
      { method: 'Submit', reason: 'unknown', count: 1 },
    ],
    others: 3,
  },
  'clock.jumped': { ms: 3_600_000, reason },
  'scheduling.configured': { usageHalfLifeMs: 1, quotas: {} },
  'store.collected': { manifests: 1, chunks: 2, bytes: 3 },
  'run.finished': { runId: 'run-1', generation: 1, workerId: 'w1', step: 1, weightsDigest: 'd' },
  'run.halted': {
    ...{ runId: 'run-1', generation: 1, workerId: 'w1', stage: 1, step: 1, weightsDigest: 'd' },
  },
  'run.continued': { runId: 'run-1', haltStage: 2, reason },
  'run.failed': { runId: 'run-1', workerId: 'w1', cause: 'user', reason },
  'run.cancelled': { runId: 'run-1', reason },
  'embedding.ended': { runId: 'run-1', reason },
  'work.resumed': { ...parents, runId: 'run-1', reason },
  'work.paused': { ...parents, runId: 'run-1', reason },
  'work.prioritised': { ...parents, runId: 'run-1', priority: 60, reason },
  'worker.attached': { ...worker, reason },
  'worker.draining': { workerId: 'w1', reason },
  'worker.undrained': { workerId: 'w1', reason },
  'worker.lost': { workerId: 'w1', incarnation: 'i', reason },
  'worker.spent': { workerId: 'w1', incarnation: 'i', until: 10, entries: [{ seconds: { idle: 10 } }] },
};
/** Named by an event that is about something else. */
const NOT_ABOUT: ReadonlySet<string> = new Set(['winnerRunId', 'teacherRunId', 'requestId']);

test('an event is about every id that it names, and about no other', () => {
  for (const [kind, fields] of Object.entries(EVENTS)) {
    const event = { kind, ...fields, ...at } as Event;
    const named = Object.entries({ ...fields })
      .filter(([key]) => /^id$|Ids?$/.test(key) && !NOT_ABOUT.has(key))
      .flatMap(([, value]) => value as string | string[]);
    // Where the time of a worker went is a sum, and no decision about it.
    const told = kind === 'worker.spent' ? [] : named;
    const expected = kind === 'run.assigned' ? [...told, 'w1', 'w2'] : told;
    assert.deepEqual([...idsOf(event)].sort(), expected.sort(), kind);
    assert.ok(sentenceOf(event, STATE).length > 0);
  }
});

test('a sentence names whose call decided it, and whose was refused', () => {
  const told = <K extends Event['kind']>(kind: K, more: object = {}) =>
    sentenceOf({ kind, ...EVENTS[kind], ...more, ...at } as unknown as Event, STATE);
  assert.equal(
    told('run.cancelled', { by: CI }),
    'run-1 was cancelled: a test; by ci (submit, 1a2b3c4d5e6f)',
  );
  assert.equal(told('run.cancelled'), 'run-1 was cancelled: a test');
  assert.equal(
    told('calls.refused'),
    'calls were refused: Attach 2 times (ci (submit, 1a2b3c4d5e6f), the role does not take it), Submit once (with an unknown token), 3 others',
  );
  assert.equal(
    told('token.revoked'),
    'the token ci (submit, 1a2b3c4d5e6f) is refused from now on: revoked by mia',
  );
});
