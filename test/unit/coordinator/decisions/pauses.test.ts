// What somebody pauses, resumes, prioritises and drains: what is refused with which sentence, what is shown, and what
// becomes of students whose teacher pauses.

import assert from 'node:assert/strict';
import test from 'node:test';
import { shownState } from '../../../../coordinator/model/holds.ts';
import { planOf, sweepOf, trialOf } from '../../../../coordinator/model/state.ts';
import { TEACHER_WAIT_MS } from '../../../../coordinator/scheduling/preemption.ts';
import { plan, student, sweep, teacher, training } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';

const one = { min: 1, max: 1 };
type Fleet = ReturnType<typeof handFleet>;

const pause = (fleet: Fleet, id: string) => fleet.give({ kind: 'pause', id, reason: '' });
const resume = (fleet: Fleet, id: string) => fleet.give({ kind: 'resume', id, reason: '' });

/** The input is refused with this sentence, and nothing changes. */
function refused(
  fleet: Fleet,
  input: Parameters<Fleet['give']>[0],
  message: RegExp,
  code = 'failedPrecondition',
) {
  const before = fleet.state();
  assert.throws(() => fleet.give(input), { code, message });
  assert.equal(fleet.state(), before);
}

const DIGESTS = { digest: 'd', weightsDigest: 'd', stateDigest: 'd', ledgerDigest: 'd' };
const STORED = { bytes: 1, ...DIGESTS };

/** The gang of a run stores this step. */
function stores(fleet: Fleet, id: string, step: number) {
  const { generation, gang } = fleet.run(id);
  fleet.report(gang[0]!.workerId, { kind: 'paused', runId: id, generation, step, stored: STORED });
}

test('what has ended, does not exist or waits with something else is not paused, resumed, prioritised or drained', () => {
  const fleet = handFleet({}, {});
  const run = fleet.submit(teacher({ workers: one }));
  const search = fleet.submit(sweep({ parallelism: 1 }));
  fleet.give({ kind: 'cancel', id: run, reason: 'enough' });
  const asked = { id: run, reason: '' };
  refused(fleet, { kind: 'pause', ...asked }, /^run-1 was cancelled: there is nothing to pause$/);
  refused(
    fleet,
    { kind: 'prioritise', ...asked, priority: 1 },
    /^run-1 was cancelled: it is placed no more$/,
  );
  for (const priority of [-1, 101, 0.5, Number.NaN])
    refused(
      fleet,
      { kind: 'prioritise', id: search, priority, reason: '' },
      /^priority: expected a whole number from 0 to 100, found (-1|101|0.5|NaN)$/,
      'invalidArgument',
    );
  for (const kind of ['pause', 'resume'] as const)
    refused(fleet, { kind, id: 'run-99', reason: '' }, /run-99/, 'notFound');
  refused(
    fleet,
    { kind: 'resume', id: search, reason: '' },
    /^sweep-1 is running: there is nothing to resume$/,
  );
  pause(fleet, search);
  for (const id of ['trial-1', 'run-2'])
    refused(
      fleet,
      { kind: 'resume', id, reason: '' },
      new RegExp(`^${id} is paused with sweep-1: resume sweep-1, and ${id} goes on with it$`),
    );
  const before = fleet.state();
  pause(fleet, search);
  assert.equal(fleet.state(), before, 'once more changes nothing');
  const drain = { kind: 'drain', undo: false, reason: '' } as const;
  refused(fleet, { ...drain, workerId: 'w9' }, /^w9 is no worker that is there/, 'notFound');
  fleet.report('w2', { kind: 'draining' });
  refused(fleet, { ...drain, undo: true, workerId: 'w2' }, /^w2 drains because its process ends/);
});

test('what a paused plan has is shown as paused with it, and is resumed with it alone', () => {
  const fleet = handFleet({});
  const id = fleet.submit(plan());
  const shown = () => {
    const state = fleet.state();
    const { sweepId = '' } = planOf(state, id);
    return [sweepOf(state, sweepId), trialOf(state, 'trial-1')].map((part) => {
      const { state: as, reason } = shownState(state, part);
      return as === 'paused' ? reason : as;
    });
  };
  assert.deepEqual(shown(), ['running', 'running']);
  pause(fleet, id);
  assert.deepEqual(shown(), ['paused with plan-1', 'paused with plan-1']);
  refused(
    fleet,
    { kind: 'resume', id: 'sweep-1', reason: '' },
    /^sweep-1 is paused with plan-1: resume plan-1/,
  );
  pause(fleet, 'trial-1');
  resume(fleet, id);
  assert.deepEqual(shown(), ['running', 'by request']);
});

test('a student pauses with its teacher where it needs more of it, goes on with it, and begins only then', () => {
  const fleet = handFleet({}, {}, {});
  const stage = (id: string, number: number) => {
    const { generation, gang } = fleet.run(id);
    const stored = {
      runId: id,
      generation,
      stage: number,
      step: 4 * number,
      bytes: 1,
      digest: `${id} ${number}`,
    };
    fleet.report(gang[0]!.workerId, { kind: 'checkpointStored', ...stored });
  };
  const id = fleet.submit(teacher({ workers: one, training: { ...training, epochs: 4 } }));
  stage(id, 1);
  const spec = (epochs: number) =>
    student(id, {
      workers: one,
      training: { ...training, epochs },
      distillation: { teacher: id, schedule: 'multi-step' },
    });
  const long = fleet.submit(spec(4));
  const short = fleet.submit(spec(4));
  for (const run of [long, short]) assert.equal(fleet.run(run).state, 'running');
  fleet.give({ kind: 'pause', id: short, reason: '' });
  stores(fleet, short, 0);
  pause(fleet, id);
  assert.deepEqual(
    [fleet.run(id).state, fleet.run(long).state],
    ['pausing', 'running'],
    'it may not need to wait',
  );
  stores(fleet, id, 5);
  assert.deepEqual(
    [fleet.run(id).state, fleet.run(long).state],
    ['paused', 'running'],
    'it has the first stage',
  );
  stage(long, 1);
  assert.equal(fleet.run(long).state, 'pausing');
  stores(fleet, long, 4);
  resume(fleet, short);
  fleet.pass(1_000);
  assert.equal(fleet.kind(long), 'teacher_paused');
  assert.equal(fleet.reason(long), `queued: its teacher ${id} is paused`);
  assert.deepEqual(fleet.gang(long), []);
  resume(fleet, id);
  assert.deepEqual([fleet.run(id).state, fleet.run(long).state], ['running', 'running']);
});

test('students that wait for their teacher give their workers to whoever can use them, and go on when the stage is there', () => {
  const fleet = handFleet({}, {}, {});
  const stage = (id: string, number: number) => {
    const { generation, gang } = fleet.run(id);
    const stored = { runId: id, generation, stage: number, step: 4 * number, bytes: 1, digest: `${number}` };
    fleet.report(gang[0]!.workerId, { kind: 'checkpointStored', ...stored });
  };
  const id = fleet.submit(teacher({ workers: one, training: { ...training, epochs: 4 } }));
  const spec = { workers: one, training: { ...training, epochs: 4 }, priority: 90 };
  const [first, second] = [1, 2].map(() => fleet.submit(student(id, spec)));
  const urgent = fleet.submit(teacher({ workers: one, priority: 10 }));
  assert.deepEqual(
    [first!, second!, urgent].map(fleet.gang),
    [['w2'], ['w3'], []],
    'nothing is known to last',
  );
  fleet.pass(TEACHER_WAIT_MS - 10);
  assert.equal(fleet.run(first!).state, 'running');
  fleet.pass(11);
  assert.deepEqual(
    [first!, second!].map((one) => fleet.run(one).state),
    ['pausing', 'running'],
    'no more of them than needed',
  );
  assert.equal(
    fleet.run(first!).reason,
    `waits for stage 1 of ${id}, and gives its workers to ${urgent} meanwhile`,
  );
  stores(fleet, first!, 0);
  assert.deepEqual(fleet.gang(urgent), ['w2']);
  fleet.attach({});
  assert.deepEqual(fleet.gang(first!), [], 'it would only wait there');
  assert.equal(fleet.kind(first!), 'teacher_stage');
  assert.equal(fleet.reason(first!), `queued: its teacher ${id} has not stored stage 1 yet`);
  stage(id, 1);
  assert.deepEqual(fleet.gang(first!), ['w4']);
  // One that has its stage keeps its workers, however long it takes.
  const late = fleet.submit(teacher({ workers: one, priority: 10 }));
  fleet.pass(3 * TEACHER_WAIT_MS);
  assert.deepEqual(
    [first!, second!, late].map((one) => fleet.run(one).state),
    ['running', 'running', 'queued'],
  );
  stage(second!, 1);
  fleet.pass(TEACHER_WAIT_MS);
  assert.equal(fleet.run(second!).state, 'pausing', 'it waits for the next');
});

test('a gang has two rounds of its own beside two minutes to store where it stands', () => {
  const outer = { kind: 'outer', every: 100 };
  for (const [sync, speed, allowed] of [
    [undefined, undefined, 120_000],
    [undefined, 16, 122_000],
    // 100 steps of 16 images at 2 images/s.
    [outer, 2, 120_000 + 2 * 800_000],
  ] as const) {
    const fleet = handFleet({});
    const spec = { ...training, epochs: 100, ...(sync === undefined ? {} : { sync }) };
    const id = fleet.submit(teacher({ workers: one, training: spec }));
    if (speed !== undefined) fleet.measure(id, 'w1', speed);
    pause(fleet, id);
    fleet.pass(allowed - 2);
    assert.equal(fleet.run(id).state, 'pausing');
    fleet.pass(2);
    assert.equal(fleet.run(id).state, 'paused');
    assert.match(fleet.run(id).reason, new RegExp(`within ${allowed / 1000} s, and the steps since`));
  }
});

test('a run that had to pause keeps its workers until it has got further, however long that takes', () => {
  const fleet = handFleet({});
  const low = fleet.submit(teacher({ workers: one, priority: 1, training: { ...training, epochs: 100 } }));
  fleet.pass(2_000);
  const urgent = fleet.submit(teacher({ workers: one, priority: 90 }));
  stores(fleet, low, 3);
  assert.deepEqual(fleet.gang(urgent), ['w1']);
  fleet.give({ kind: 'cancel', id: urgent, reason: '' });
  const next = fleet.submit(teacher({ workers: one, priority: 90 }));
  fleet.progress(low, 3);
  fleet.pass(600_000);
  assert.equal(fleet.run(low).state, 'running', 'a step takes as long as it takes');
  fleet.progress(low, 4);
  fleet.pass(1_000);
  assert.deepEqual([fleet.run(low).state, fleet.run(low).pausing?.forRunId], ['pausing', next]);
});
