// What becomes of stored stages: what is let go as runs get on, what is kept by request, what is mended, and
// what leaves the lists.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { step } from '../../../../coordinator/decisions/decide.ts';
import type { CheckedDocument, Input } from '../../../../coordinator/decisions/inputs.ts';
import { stageToRead } from '../../../../coordinator/decisions/stages.ts';
import { sentenceOf } from '../../../../coordinator/journal/why.ts';
import type { Event } from '../../../../coordinator/model/events.ts';
import { restoreRun } from '../../../../coordinator/model/restore.ts';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import {
  type EndedRun,
  initialState,
  runOf,
  runWith,
  type State,
  sweepOf,
  trialOf,
} from '../../../../coordinator/model/state.ts';
import { createBoard } from '../../../../coordinator/scheduling/board.ts';
import { waitsOf } from '../../../../coordinator/scheduling/waits.ts';
import { heldOfRun } from '../../../../coordinator/store/held.ts';
import { student, sweep, teacher } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { connections, plainOf } from '../../../support/state.ts';

/** The core with so many workers of one slot; every input one second after the last. */
function core(workers: number) {
  let state: State = initialState;
  let now = 0;
  const events: Event[] = [];
  const ids = Array.from({ length: workers }, (_, i) => `w${i + 1}`);
  const observed = () => ({ now, connected: connections(ids) });
  const give = (input: Input) => {
    now += 1_000;
    const decision = step(state, input, observed());
    // The same state comes back from a snapshot.
    assert.deepEqual(plainOf(decodeState(encodeState(decision.state))), plainOf(decision.state));
    state = decision.state;
    events.push(...decision.events);
    return decision.events.filter(
      (event) =>
        /^(stage|work|store|run\.(failed|requeued))/.test(event.kind) ||
        (event.kind === 'run.checkpointed' && event.isOnlyStage),
    );
  };
  const told = (input: Input) => give(input).map((event) => sentenceOf(event, state));
  for (const workerId of ids)
    give({
      kind: 'attached',
      hello: {
        ...{
          workerId,
          incarnation: 'i',
          version: '',
          host: '',
          pid: 1,
          deviceKind: 'cpu',
          deviceName: 'cpu',
        },
        ...{ deviceClass: 'cpu', slots: 1, leases: [], metricsEndpoint: '', podUid: '' },
      },
    });
  const reported = (id: string, said: object): Input => {
    const run = runOf(state, id);
    const [member] = run.gang;
    assert.ok(member, `${id} is ${run.state}: ${run.reason}`);
    const report = { runId: id, generation: run.generation, step: 8, ...said } as never;
    return { kind: 'reported', workerId: member.workerId, incarnation: 'i', sequence: 1, report };
  };
  return {
    get state() {
      return state;
    },
    events,
    run: (id: string) => runOf(state, id),
    told,
    submit: (...documents: CheckedDocument[]) => give({ kind: 'submit', documents }),
    stored: (id: string, stage: number) =>
      told(reported(id, { kind: 'checkpointStored', stage, step: stage * 4, bytes: 1, digest: `d${stage}` })),
    finished: (id: string, accuracy = 0.5) => {
      const evaluation = { accuracy, accuracyStd: 0, auc: 0, eer: 0, tarAtFar: 0, pairs: 20 };
      return told(reported(id, { kind: 'finished', weightsDigest: 'w', evaluation }));
    },
    failed: (id: string, said: object) =>
      told(reported(id, { kind: 'failed', cause: 'infrastructure', message: 'bad', ...said })),
    missing: (id: string, newest: number, generation = runOf(state, id).generation) =>
      told(reported(id, { kind: 'stagesMissing', newest, generation })),
    refused(input: Input): string {
      try {
        give(input);
      } catch (caught) {
        return (caught as Error).message;
      }
      return assert.fail('it was taken');
    },
    waitOf(id: string) {
      const board = createBoard();
      board.follow(state, observed());
      return waitsOf(board).of(id);
    },
  };
}

const run = (spec: ReturnType<typeof teacher>): CheckedDocument => ({ kind: 'run', spec, facts: FACTS });
const trained = { training: { epochs: 4, batch: 16, shards: 8 }, workers: { min: 1, max: 1 } };
const pair = () => {
  const fleet = core(2);
  fleet.submit(run(teacher(trained)), run(student('teacher', trained)));
  return fleet;
};

test('as teacher and student get on, states go after two stages and networks once the student has passed them', () => {
  const fleet = pair();
  assert.deepEqual(fleet.stored('run-1', 1), []);
  assert.deepEqual(fleet.stored('run-1', 2), []);
  assert.deepEqual(fleet.stored('run-1', 3), [
    'optimiser state and head of stage 1 of run-1 is not kept any more: only the last two stages keep their optimiser state and head',
  ]);
  assert.deepEqual(fleet.stored('run-2', 1), [
    'stage 1 of run-1 is not kept any more: every student has passed it (run-2)',
  ]);
  assert.deepEqual(fleet.stored('run-2', 2), [], 'the last two of the teacher stay whole');
  assert.deepEqual(
    [1, 2, 3].map((stage) => heldOfRun(fleet.state, 'run-1').of(stage)),
    ['nothing', 'all', 'all'],
  );
  assert.deepEqual(fleet.stored('run-2', 3), [
    'stage 1 of run-2 is not kept any more: a run keeps its last two stages',
  ]);
  // A later student of the same teacher finds its first stage gone.
  assert.equal(
    fleet.refused({
      kind: 'submit',
      documents: [run(student('run-1', { ...trained, name: 'late' }))],
    }),
    'distillation.teacher: stage 1 of run-1 is not kept any more (checkpoints.keep decides that), and a multi-step student learns from it',
  );
  const single = student('run-1', {
    ...trained,
    ...{ name: 'late', distillation: { teacher: 'run-1', schedule: 'single-step' } },
  });
  fleet.submit(run(single));
  assert.equal(fleet.run('run-3').teacherRunId, 'run-1');
});

test('a stage that somebody asked to keep stays until it is released, and what is gone cannot be kept', () => {
  const fleet = core(1);
  fleet.submit(run(teacher({ ...trained, kind: 'student', name: 's' })));
  fleet.stored('run-1', 1);
  const keep = (stage: number, keepIt = true): Input => ({
    kind: 'keep',
    ...{ runId: 'run-1', stage, keep: keepIt, reason: 'for the paper' },
  });
  assert.deepEqual(fleet.told(keep(1)), ['stage 1 of run-1 is kept: for the paper']);
  assert.deepEqual(fleet.told(keep(1)), [], 'asking again changes nothing');
  for (const stage of [2, 3]) assert.deepEqual(fleet.stored('run-1', stage), []);
  assert.deepEqual(fleet.stored('run-1', 4), [
    'stage 2 of run-1 is not kept any more: a run keeps its last two stages',
  ]);
  assert.equal(fleet.refused(keep(2)), 'stage 2 of run-1 is not kept any more; run-1 has stages 1, 3, 4');
  assert.equal(fleet.refused(keep(9)), 'stage 9 of run-1 is not stored yet; run-1 has stages 1, 3, 4');
  assert.throws(() => stageToRead(fleet.run('run-1'), 2), {
    code: 'notFound',
    message:
      'stage 2 of run-1 is not kept any more (checkpoints.keep decides that); run-1 has stages 1, 3, 4',
  });
  assert.equal(stageToRead(fleet.run('run-1'), 0), 4);
  assert.deepEqual(fleet.told(keep(1, false)), [
    'stage 1 of run-1 is kept no longer than its policy says: for the paper',
    'stage 1 of run-1 is not kept any more: a run keeps its last two stages',
  ]);
});

test('a candidate keeps nothing once its result is known, and the best so far makes room for a better one', () => {
  const fleet = core(1);
  fleet.submit({ kind: 'sweep', spec: sweep({ strategy: { trials: 3 } }), facts: FACTS });
  fleet.stored('run-1', 1);
  assert.deepEqual(fleet.stored('run-1', 2), [
    'run-1 stored checkpoint 2 (step 8, 1 bytes) by w1; what it stored before is not kept any more: a candidate keeps its newest stage alone',
  ]);
  assert.deepEqual(heldOfRun(fleet.state, 'run-1').of(1), 'nothing');
  assert.deepEqual(fleet.finished('run-1', 0.6), [], 'the first is the best');
  assert.deepEqual(heldOfRun(fleet.state, 'run-1').of(2), 'all');
  fleet.stored('run-2', 1);
  const known = 'not kept any more: its result is known, and it is not the best of its sweep';
  assert.deepEqual(fleet.finished('run-2', 0.5), [`all stages of run-2 are ${known}`]);
  assert.deepEqual(heldOfRun(fleet.state, 'run-2').of(1), 'nothing');
  fleet.stored('run-3', 1);
  assert.deepEqual(fleet.finished('run-3', 0.7), [`all stages of run-1 are ${known}`]);
  assert.equal(sweepOf(fleet.state, 'sweep-1').bestTrialId, 'trial-3');
  assert.deepEqual(
    ['run-1', 'run-2', 'run-3'].map((id) => heldOfRun(fleet.state, id).evaluation),
    [false, false, true],
  );
});

test('with several objectives the front of a sweep keeps its stages, and what is dominated gives them up', () => {
  const fleet = core(3);
  const objectives = [{ name: 'accuracy' }, { name: 'parameters', direction: 'minimise' }];
  fleet.submit({ kind: 'sweep', spec: sweep({ strategy: { trials: 3 }, objectives }), facts: FACTS });
  const bySize = ['trial-1', 'trial-2', 'trial-3']
    .map((id) => trialOf(fleet.state, id))
    .sort((a, b) => a.costs.parameters - b.costs.parameters)
    .map(({ id, costs, runIds }) => ({ id, parameters: costs.parameters, run: runIds[0]! }));
  const [small, middle, large] = bySize;
  assert.ok(small!.parameters < middle!.parameters && middle!.parameters < large!.parameters);
  for (const { run } of bySize) fleet.stored(run, 1);
  const held = () => bySize.map(({ run }) => heldOfRun(fleet.state, run).of(1));
  assert.deepEqual(fleet.finished(large!.run, 0.7), []);
  assert.deepEqual(fleet.finished(middle!.run, 0.6), [], 'smaller, if worse');
  assert.deepEqual(held(), ['all', 'all', 'all']);
  assert.equal(sweepOf(fleet.state, 'sweep-1').bestTrialId, large!.id);
  assert.deepEqual(fleet.finished(small!.run, 0.65), [
    `all stages of ${middle!.run} are not kept any more: its result is known, and it is not on the front of its sweep`,
  ]);
  assert.deepEqual(held(), ['all', 'nothing', 'all']);
  assert.deepEqual(sweepOf(fleet.state, 'sweep-1').frontTrialIds, [large!.id, small!.id]);
});

test('a stage of a candidate that is kept by request stays when the next one takes the place of the others', () => {
  const fleet = core(1);
  fleet.submit({ kind: 'sweep', spec: sweep({ strategy: { trials: 1 } }), facts: FACTS });
  for (const stage of [1, 2]) fleet.stored('run-1', stage);
  fleet.told({ kind: 'keep', runId: 'run-1', stage: 2, keep: true, reason: 'to look at' });
  assert.deepEqual(fleet.stored('run-1', 3), [], 'nothing has to go');
  assert.deepEqual(fleet.stored('run-1', 4), [
    'run-1 stored checkpoint 4 (step 16, 1 bytes) by w1; what it stored before is not kept any more: a candidate keeps its newest stage alone',
  ]);
  const held = heldOfRun(fleet.state, 'run-1');
  assert.deepEqual([1, 2, 3, 4].map(held.of), ['nothing', 'all', 'nothing', 'all']);
});

test('stages that the store has lost count anew, once', () => {
  const fleet = pair();
  for (const stage of [1, 2, 3]) fleet.stored('run-1', stage);
  const { generation } = fleet.run('run-1');
  assert.deepEqual(fleet.missing('run-1', 3), [], 'nothing is missing');
  assert.deepEqual(fleet.missing('run-1', 0, generation - 1), [], 'of an old generation');
  assert.deepEqual(fleet.missing('run-1', 2), [
    'stage 3 of run-1 is not in the store and computed again: w1 begins from stage 2',
  ]);
  assert.deepEqual(fleet.missing('run-1', 0), [
    'stages 1, 2 of run-1 are not in the store and computed again: w1 begins from the seed',
  ]);
  assert.deepEqual(fleet.missing('run-1', 0), [], 'told again');
  assert.deepEqual(fleet.run('run-1').checkpoints, []);
  // What is computed again is journalled, and retention decides about it.
  for (const stage of [1, 2]) fleet.stored('run-1', stage);
  assert.deepEqual(
    fleet.run('run-1').checkpoints.map(({ stage }) => stage),
    [1, 2],
  );
  assert.deepEqual(fleet.stored('run-1', 3), [
    'optimiser state and head of stage 1 of run-1 is not kept any more: only the last two stages keep their optimiser state and head',
  ]);
});

test('a student that meets a damaged stage waits until it is mended, and fails at once when it is lost', () => {
  const fleet = pair();
  fleet.stored('run-1', 1);
  const damaged = {
    damaged: { runId: 'run-1', stage: 1 },
    message: "chunk 0 of part backbone of run-1's stage 1 is damaged",
  };
  const reason = `waits until stage 1 of run-1 is computed again: ${damaged.message}`;
  assert.deepEqual(fleet.failed('run-2', damaged), [
    `w2 could not read stage 1 of run-1, which is computed again: ${damaged.message}`,
    `run-2 went back to the queue after generation 1: ${reason}`,
  ]);
  assert.equal(fleet.run('run-2').infrastructureFailures, 0);
  assert.deepEqual(fleet.told({ kind: 'tick' }), []);
  assert.equal(fleet.run('run-2').state, 'queued', 'a free worker is no use');
  assert.deepEqual(fleet.waitOf('run-2'), { kind: 'stage_damaged', reason });
  assert.throws(
    () => stageToRead(fleet.run('run-1'), 1),
    /cannot be read: chunk 0 .*; it is computed again, try later$/,
  );
  const verdict = (ok: boolean): Input => ({ kind: 'mended', runId: 'run-1', stage: 1, ok, reason: 'why' });
  assert.deepEqual(fleet.told(verdict(true)), ['stage 1 of run-1 is whole again: why']);
  assert.equal(fleet.run('run-2').state, 'running');
  assert.deepEqual(fleet.told(verdict(false)), [], 'a verdict that comes late is void');
  fleet.failed('run-2', damaged);
  const lost = `${damaged.message}; it cannot be computed again: why`;
  assert.deepEqual(fleet.told(verdict(false)), [
    `stage 1 of run-1 is lost: ${lost}`,
    `run-2 failed (infrastructure): ${lost}`,
  ]);
  assert.equal(fleet.run('run-1').state, 'running', 'its teacher goes on');
});

test('what somebody asks to delete goes unless it is needed, and says who needs it', () => {
  const fleet = pair();
  for (const stage of [1, 2, 3, 4]) fleet.stored('run-1', stage);
  const drop = (stage?: number): Input => ({
    kind: 'drop',
    runId: 'run-1',
    ...(stage === undefined ? {} : { stage }),
    reason: '',
  });
  assert.equal(fleet.refused(drop()), 'run-1 is running and needs its checkpoints; cancel it first');
  fleet.finished('run-1');
  assert.equal(fleet.refused(drop(3)), 'stage 3 of run-1 is needed by run-2');
  fleet.stored('run-2', 1);
  assert.equal(
    fleet.refused(drop(1)),
    'stage 1 of run-1 is not stored; run-1 has stages 3, 4 and the networks of stage 2',
  );
  for (const stage of [2, 3, 4]) fleet.stored('run-2', stage);
  fleet.finished('run-2');
  assert.deepEqual(fleet.told(drop(3)), ['stage 3 of run-1 is not kept any more: by request']);
  assert.deepEqual(fleet.told(drop()), ['all stages of run-1 are not kept any more: by request']);
});

test('the newest stage of the best candidate is kept by request, and stays when a better one comes', () => {
  const fleet = core(1);
  fleet.submit({ kind: 'sweep', spec: sweep({ strategy: { trials: 3 } }), facts: FACTS });
  for (const stage of [1, 2]) fleet.stored('run-1', stage);
  fleet.finished('run-1', 0.5);
  const keep = (runId: string, stage: number, keepIt = true): Input => ({
    ...{ kind: 'keep', runId, stage, keep: keepIt, reason: 'for the paper' },
  });
  const held = () => [1, 2].map(heldOfRun(fleet.state, 'run-1').of);
  assert.equal(
    fleet.refused(keep('run-1', 1)),
    'stage 1 of run-1 is not stored: its result is known, and of such a candidate stays what was kept while it trained, and the newest of the best of a sweep; run-1 has stage 2',
  );
  assert.deepEqual(fleet.told(keep('run-1', 2, false)), [], 'nobody has asked to keep it');
  assert.deepEqual(fleet.told(keep('run-1', 2)), ['stage 2 of run-1 is kept: for the paper']);
  assert.deepEqual(fleet.told(keep('run-1', 2)), [], 'asking again changes nothing');
  fleet.stored('run-2', 1);
  fleet.finished('run-2', 0.6);
  assert.equal(sweepOf(fleet.state, 'sweep-1').bestTrialId, 'trial-2');
  assert.deepEqual(held(), ['nothing', 'all']);
  assert.equal(
    fleet.refused({ kind: 'drop', runId: 'run-1', reason: '' }),
    'stage 2 of run-1 is kept (for the paper); release it first: `checkpoints keep run-1 2 --release`',
  );
  const restored = restoreRun(
    fleet.state,
    runWith(fleet.state, 'run-1') as EndedRun,
    fleet.events.filter((event) => 'runId' in event && event.runId === 'run-1'),
  );
  fleet.told(keep('run-1', 2, false));
  assert.deepEqual(held(), ['nothing', 'nothing']);
  assert.match(fleet.refused(keep('run-1', 2)), /run-1 has none$/);
  return restored.then(({ checkpoints }) => assert.equal(checkpoints.at(-1)?.kept, 'for the paper'));
});

test('of a candidate with a known result goes what somebody deletes, once, and stays what somebody has asked to keep', () => {
  const fleet = core(1);
  fleet.submit({ kind: 'sweep', spec: sweep({ strategy: { trials: 2 } }), facts: FACTS });
  const held = (id: string) => [1, 2, 3].map(heldOfRun(fleet.state, id).of);
  const drop = (runId: string, stage?: number): Input => ({
    ...{ kind: 'drop', runId, reason: '' },
    ...(stage === undefined ? {} : { stage }),
  });
  const keep = (keepIt: boolean): Input => ({
    ...{ kind: 'keep', runId: 'run-2', stage: 1, keep: keepIt, reason: 'for the paper' },
  });
  for (const stage of [1, 2, 3]) fleet.stored('run-1', stage);
  fleet.finished('run-1', 0.6);
  assert.deepEqual(held('run-1'), ['nothing', 'nothing', 'all'], 'it is the best');
  assert.equal(fleet.refused(drop('run-1', 2)), 'stage 2 of run-1 is not stored; run-1 has stage 3');
  assert.deepEqual(fleet.told(drop('run-1', 3)), ['stage 3 of run-1 is not kept any more: by request']);
  assert.deepEqual(held('run-1'), ['nothing', 'nothing', 'nothing']);
  assert.equal(fleet.refused(drop('run-1', 3)), 'stage 3 of run-1 is not stored; run-1 has none');
  assert.deepEqual(fleet.told(drop('run-1')), [], 'nothing is left to go');

  fleet.stored('run-2', 1);
  assert.deepEqual(fleet.told(keep(true)), ['stage 1 of run-2 is kept: for the paper']);
  for (const stage of [2, 3]) fleet.stored('run-2', stage);
  const known = 'not kept any more: its result is known, and it is not the best of its sweep';
  assert.deepEqual(fleet.finished('run-2', 0.5), [`stages 2, 3 of run-2 are ${known}`]);
  assert.deepEqual(held('run-2'), ['all', 'nothing', 'nothing']);
  assert.equal(
    fleet.refused(drop('run-2')),
    'stage 1 of run-2 is kept (for the paper); release it first: `checkpoints keep run-2 1 --release`',
  );
  assert.deepEqual(fleet.told(keep(true)), [], 'it is kept');
  assert.equal(
    fleet.refused({ kind: 'remove', id: 'sweep-1', reason: '' }),
    'stage 1 of run-2 is kept (for the paper); release it first: `checkpoints keep run-2 1 --release`',
  );
  assert.deepEqual(fleet.told(keep(false)), [
    'stage 1 of run-2 is kept no longer than its policy says: for the paper',
    `all stages of run-2 are ${known}`,
  ]);
  assert.deepEqual(held('run-2'), ['nothing', 'nothing', 'nothing']);
});

test('a run whose stages were deleted begins again when it is resumed, and its stages count anew', () => {
  const fleet = core(1);
  fleet.submit(run(teacher({ ...trained, kind: 'student', name: 's' })));
  for (const stage of [1, 2, 3]) fleet.stored('run-1', stage);
  fleet.told({ kind: 'cancel', id: 'run-1', reason: '' });
  const drop = (stage: number): Input => ({ kind: 'drop', runId: 'run-1', stage, reason: '' });
  fleet.told(drop(3));
  fleet.told({ kind: 'resume', id: 'run-1', reason: '' });
  assert.deepEqual(
    fleet.run('run-1').checkpoints.map(({ stage }) => stage),
    [1, 2],
    'it goes on from what is left',
  );
  fleet.told({ kind: 'cancel', id: 'run-1', reason: '' });
  fleet.told({ kind: 'drop', runId: 'run-1', reason: '' });
  fleet.told({ kind: 'resume', id: 'run-1', reason: '' });
  for (const stage of [1, 2]) fleet.stored('run-1', stage);
  assert.deepEqual([1, 2].map(heldOfRun(fleet.state, 'run-1').of), ['all', 'all']);
  assert.deepEqual(fleet.stored('run-1', 3), [
    'stage 1 of run-1 is not kept any more: a run keeps its last two stages',
  ]);
});

test('what has ended leaves the lists with all that belongs to it, and its ids are never given out again', () => {
  const fleet = pair();
  const remove = (id: string): Input => ({ kind: 'remove', id, reason: '' });
  assert.equal(fleet.refused(remove('run-1')), 'run-1 is running; cancel it first');
  for (const id of ['run-1', 'run-2']) fleet.finished(id);
  assert.equal(fleet.refused(remove('run-1')), 'run-2 learned from run-1; remove it first');
  for (const id of ['run-2', 'run-1'])
    assert.deepEqual(fleet.told(remove(id)), [`${id} was removed: by request`]);
  assert.equal(fleet.state.runs.size, 0);
  assert.equal(heldOfRun(fleet.state, 'run-1').of(1), 'nothing');
  fleet.submit({ kind: 'sweep', spec: sweep({ strategy: { trials: 1 } }), facts: FACTS });
  fleet.finished('run-3');
  assert.equal(fleet.refused(remove('run-3')), 'run-3 belongs to sweep-1; remove that');
  assert.equal(fleet.refused(remove('trial-1')), 'trial-1 is a trial; remove its sweep, sweep-1');
  assert.deepEqual(fleet.told(remove('sweep-1')), ['sweep-1 was removed: by request']);
  const { runs, trials, sweeps, numbers, counts, names } = fleet.state;
  assert.deepEqual([runs.size, trials.size, sweeps.size, names.size], [0, 0, 0, 0]);
  assert.equal(numbers.run, 3);
  assert.deepEqual(
    Object.entries(counts).filter(([key, count]) => count !== 0 && !key.startsWith('worker')),
    [],
  );
  fleet.submit(run(teacher(trained)));
  assert.equal(runWith(fleet.state, 'run-4')?.state, 'running');
});
