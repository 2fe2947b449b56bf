import assert from 'node:assert/strict';
import test from 'node:test';
import { CHANGE_INTERVAL_MS } from '../../../../coordinator/scheduling/board.ts';
import { student, teacher, training } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';

const one = { min: 1, max: 1 };
const WAIT = CHANGE_INTERVAL_MS + 1;

test('an elastic run takes idle workers, one change a second at most, and gives them back to a run that waits', () => {
  const { submit, gang, attach, pass } = handFleet({});
  const elastic = submit(teacher({ workers: { min: 1, max: 3 } }));
  assert.deepEqual(gang(elastic), ['w1']);
  attach({});
  attach({});
  assert.deepEqual(gang(elastic), ['w1'], 'not within a second of its last change');
  pass(WAIT);
  assert.deepEqual(gang(elastic), ['w1', 'w2', 'w3'], 'both join in one change');
  const waiting = submit(teacher({ workers: one }));
  assert.deepEqual(gang(waiting), []);
  pass(WAIT);
  assert.deepEqual([gang(elastic), gang(waiting)], [['w1', 'w2'], ['w3']]);
  pass(WAIT);
  assert.deepEqual(gang(elastic), ['w1', 'w2'], 'nothing goes back and forth');
});

test('higher priorities go first, then the older; a lower one never takes workers from a higher', () => {
  const { submit, gang, pass } = handFleet({}, {});
  const high = submit(teacher({ workers: { min: 1, max: 2 }, priority: 90 }));
  pass(WAIT);
  assert.equal(gang(high).length, 2);
  const low = submit(teacher({ workers: one, priority: 10 }));
  pass(WAIT);
  assert.deepEqual([gang(high).length, gang(low)], [2, []]);
  const even = submit(teacher({ workers: one, priority: 90 }));
  pass(WAIT);
  assert.deepEqual([gang(high).length, gang(even).length, gang(low).length], [1, 1, 0]);
});

test('a gang is placed whole or not at all, and its reason says how many are missing', () => {
  const { submit, gang, reason, attach } = handFleet({}, {});
  const large = submit(teacher({ workers: { min: 3, max: 3 } }));
  assert.deepEqual(gang(large), []);
  assert.match(reason(large), /queued: 2 of 3 workers: 2 connected, more are needed/);
  attach({});
  assert.deepEqual(gang(large), ['w1', 'w2', 'w3']);
});

test('slots let one worker hold several runs, spread over the least loaded', () => {
  const { submit, gang, reason } = handFleet({ slots: 2 }, { slots: 2 });
  const ids = Array.from({ length: 5 }, () => submit(teacher({ workers: one })));
  assert.deepEqual(ids.map(gang), [['w1'], ['w2'], ['w1'], ['w2'], []]);
  assert.match(reason(ids[4]!), /queued: 0 of 1 workers: 2 without a free slot/);
});

test('an exact run takes no worker of another device class and says so; an inexact one does', () => {
  const exact = handFleet({ deviceClass: 'cpu/avx512' }, { deviceClass: 'cpu/avx2' });
  const id = exact.submit(teacher({ workers: { min: 1, max: 2 } }));
  exact.pass(WAIT);
  assert.deepEqual(exact.gang(id), ['w1']);
  exact.give({ kind: 'lost', cause: 'silent', workerId: 'w1', incarnation: 'i', reason: 'test' });
  exact.pass(WAIT);
  assert.equal(exact.run(id).state, 'queued');
  assert.match(exact.reason(id), /queued: 0 of 1 workers: 1 of another device class than cpu\/avx512/);
  assert.equal(exact.kind(id), 'model_mismatch');
  const loose = handFleet({ deviceClass: 'a' }, { deviceClass: 'b' });
  const mixed = loose.submit(
    teacher({ workers: { min: 2, max: 2 }, training: { ...training, exact: false } }),
  );
  assert.deepEqual(loose.gang(mixed), ['w1', 'w2']);
});

test('an exact run takes no GPU that gives other bits each time and says what to do; an inexact one does', () => {
  const random = 'cuda/NVIDIA-H200/sm_90/sms=132/tf=2.21.0/tf32=0/deterministic=0';
  const steady = random.replace('deterministic=0', 'deterministic=1');
  const only = handFleet({ deviceClass: random });
  const waits = only.submit(teacher({ workers: { min: 1, max: 1 } }));
  only.pass(WAIT);
  assert.equal(only.run(waits).state, 'queued');
  assert.match(
    only.reason(waits),
    /1 whose GPU gives other bits each time .*TF_DETERMINISTIC_OPS=1.*exact: false/,
  );
  const loose = only.submit(
    teacher({ workers: { min: 1, max: 1 }, training: { ...training, exact: false } }),
  );
  assert.deepEqual(only.gang(loose), ['w1']);
  const both = handFleet({ deviceClass: random }, { deviceClass: steady });
  assert.deepEqual(both.gang(both.submit(teacher({ workers: { min: 1, max: 2 } }))), ['w2']);
});

test('a run whose products are of another precision takes workers that have it, and waits where none has', () => {
  const tensorflow = 'cpu/avx512/32K+1M+32M/threads=1/tf=2.21.0/onednn=1';
  const pjrt = 'cpu/avx512/cores=2/engine=pjrt/plugin=xla-cpu-pjrt-0.0.1/interface=0.81';
  for (const exact of [true, false])
    for (const precision of ['bf16', 'tf32'] as const) {
      const coarse = { workers: { min: 1, max: 3 }, training: { ...training, exact, precision } };
      const alone = handFleet({ deviceClass: tensorflow });
      const waits = alone.submit(teacher(coarse));
      const other = alone.submit(teacher({ workers: one }));
      alone.pass(WAIT);
      assert.equal(alone.run(waits).state, 'queued');
      const said = `1 that compute by TensorFlow, in float32 alone, where training\\.precision is ${precision}`;
      assert.match(alone.reason(waits), new RegExp(said));
      assert.equal(alone.kind(waits), 'model_mismatch');
      assert.deepEqual(alone.gang(other), ['w1'], 'it holds up nobody');
      const both = handFleet({ deviceClass: tensorflow }, { deviceClass: tensorflow }, { deviceClass: pjrt });
      const id = both.submit(teacher(coarse));
      both.pass(WAIT);
      assert.deepEqual(both.gang(id), ['w3']);
      const float32 = { ...coarse, training: { ...training, exact: false, precision: 'float32' as const } };
      const loose = handFleet({ deviceClass: tensorflow }, { deviceClass: pjrt });
      assert.deepEqual(loose.gang(loose.submit(teacher(float32))), ['w1', 'w2']);
    }
});

test('what a run waits for has a kind of its own, whatever words a worker puts into the reason', () => {
  const { submit, gang, report, reason, kind } = handFleet({});
  const id = submit(teacher({ workers: one }));
  const message = "EIO: i/o error, of another device class than its teacher's disk";
  const failed = { kind: 'failed', cause: 'infrastructure', ofPlace: true, message, step: 0 } as const;
  report(gang(id)[0]!, { ...failed, runId: id, generation: 1 });
  assert.match(reason(id), /queued: 0 of 1 workers: .*device class than its teacher/);
  assert.equal(kind(id), 'insufficient_workers');
});

test('a student starts after its teacher has, runs beside it, and makes room when the teacher has nowhere to go', () => {
  const { submit, gang, run, reason, kind, give } = handFleet({ slots: 1 }, { slots: 1 });
  const first = submit(teacher({ workers: one }));
  const blocker = submit(teacher({ workers: one }));
  const late = submit(teacher({ workers: one }));
  const follower = submit(student(late, { workers: one }));
  assert.match(reason(follower), /its teacher run-3 has not started/);
  assert.equal(kind(follower), 'teacher_not_started');
  give({ kind: 'cancel', id: first, reason: '' });
  assert.deepEqual([gang(late), gang(follower)], [['w1'], []]);
  give({ kind: 'cancel', id: blocker, reason: '' });
  assert.deepEqual([gang(late), gang(follower)], [['w1'], ['w2']]);
  give({ kind: 'lost', cause: 'silent', workerId: 'w1', incarnation: 'i', reason: 'test' });
  assert.deepEqual([gang(late), gang(follower)], [['w2'], []]);
  assert.match(run(follower).reason, /its teacher run-3 needs w2/);
});

test('an infrastructure failure is tried elsewhere without charge, ten in a row without a checkpoint end the run', () => {
  const { submit, gang, run, report, pass } = handFleet({}, {});
  const id = submit(teacher({ workers: one }));
  const fail = () =>
    report(gang(id)[0]!, {
      kind: 'failed',
      runId: id,
      generation: run(id).generation,
      cause: 'infrastructure',
      message: 'broker away',
      step: 3,
    });
  fail();
  assert.deepEqual(gang(id), ['w2'], 'elsewhere');
  report('w2', { kind: 'checkpointStored', runId: id, stage: 1, step: 4, bytes: 1, digest: 'd' });
  for (let i = 0; i < 9; i++) {
    assert.equal(run(id).state, 'running');
    fail();
    pass(60_000);
  }
  assert.equal(run(id).state, 'running', 'the checkpoint began the count anew');
  fail();
  assert.equal(run(id).state, 'failed');
  assert.match(run(id).reason, /broker away .*10 failures in a row/);
});

test('a place that fails a run is left alone for growing pauses, and costs the run nothing however often', () => {
  const { submit, gang, run, report, pass, reason } = handFleet({}, {});
  const id = submit(teacher({ workers: one }));
  const fail = (workerId: string) =>
    report(workerId, {
      kind: 'failed',
      runId: id,
      generation: run(id).generation,
      cause: 'infrastructure',
      ofPlace: true,
      message: `EACCES: permission denied, mkdir '/cache'`,
      step: 0,
    });
  fail('w1');
  assert.deepEqual(gang(id), ['w2'], 'elsewhere');
  fail('w2');
  assert.deepEqual([run(id).state, gang(id)], ['queued', []], 'both are left alone');
  assert.match(
    reason(id),
    /w1, w2 could not go on with it and will be tried again \(w[12]: infrastructure: EACCES/,
  );
  // The pauses of a worker: 1 s, 2 s, 4 s, ... and never more than 5 minutes.
  const pauses: number[] = [];
  for (let i = 0; i < 14; i++) {
    let waited = 0;
    while (gang(id).length === 0) {
      pass(500);
      waited += 500;
      assert.ok(waited <= 300_500, 'within the longest pause');
    }
    pauses.push(waited);
    for (const workerId of gang(id)) fail(workerId);
  }
  // Both come back in the same moment and fail one after the other.
  assert.deepEqual(
    pauses.filter((ms) => ms > 0),
    [1, 2, 4, 8, 16, 32, 64].map((seconds) => seconds * 1_000),
  );
  assert.equal(run(id).state, 'queued');
  assert.match(reason(id), /w1 \d times, w2 \d times/);
  while (gang(id).length === 0) pass(1_000);
  const [healed] = gang(id);
  report(healed!, { kind: 'checkpointStored', runId: id, stage: 1, step: 4, bytes: 1, digest: 'd' });
  assert.ok(!run(id).avoided.some(({ workerId }) => workerId === healed), 'what works is trusted again');
});

test('reports of an older generation change nothing, except a stored checkpoint, and all are acknowledged', () => {
  const { submit, run, report, give } = handFleet({}, {});
  const id = submit(teacher({ workers: { min: 2, max: 2 } }));
  const old = run(id).generation;
  give({ kind: 'lost', cause: 'silent', workerId: 'w2', incarnation: 'i', reason: 'test' });
  assert.equal(run(id).state, 'running');
  assert.ok(run(id).generation > old);
  const finished = report('w1', {
    kind: 'finished',
    runId: id,
    generation: old,
    step: 8,
    weightsDigest: 'd',
  });
  assert.deepEqual(finished.events, []);
  assert.deepEqual(finished.effects, [
    { kind: 'send', workerId: 'w1', command: { kind: 'acknowledge', sequence: 1 } },
  ]);
  const stored = { kind: 'checkpointStored', runId: id, stage: 1, step: 4, bytes: 1, digest: 'd' } as const;
  assert.deepEqual(
    report('w1', stored).events.map((event) => event.kind),
    ['run.checkpointed'],
  );
  assert.deepEqual(report('w1', stored).events, [], 'once');
});

test('a gang that falls below the minimum goes on with those left, who have more in memory than any checkpoint, and grows again', () => {
  const { submit, gang, run, give, attach, pass } = handFleet({}, {}, {});
  const id = submit(teacher({ workers: { min: 3, max: 3 } }));
  assert.deepEqual(gang(id), ['w1', 'w2', 'w3']);
  for (const workerId of ['w1', 'w3'])
    give({ kind: 'lost', cause: 'silent', workerId, incarnation: 'i', reason: 'test' });
  assert.deepEqual(gang(id), ['w2']);
  assert.match(run(id).reason, /w3 was lost: test; 1 go on/);
  attach({ workerId: 'w4' });
  pass(CHANGE_INTERVAL_MS);
  assert.deepEqual(gang(id), ['w2', 'w4']);
  give({ kind: 'lost', cause: 'silent', workerId: 'w2', incarnation: 'i', reason: 'test' });
  give({ kind: 'lost', cause: 'silent', workerId: 'w4', incarnation: 'i', reason: 'test' });
  assert.equal(run(id).state, 'queued');
  assert.match(run(id).reason, /nobody is left/);
  attach({ workerId: 'w5' });
  assert.equal(run(id).state, 'queued', 'it starts with its minimum, as at first');
});

test('a worker whose pod is taken away leaves its gangs at once and gets nothing new; a verdict on an earlier process is void', () => {
  const { submit, gang, run, give } = handFleet({}, {});
  const id = submit(teacher({ workers: { min: 1, max: 2 } }));
  assert.deepEqual(gang(id), ['w1', 'w2']);
  give({ kind: 'leaving', workerId: 'w2', incarnation: 'an earlier one', reason: 'its pod is evicted' });
  assert.deepEqual(gang(id), ['w1', 'w2']);
  give({ kind: 'leaving', workerId: 'w2', incarnation: 'i', reason: 'its pod is evicted' });
  assert.deepEqual(gang(id), ['w1']);
  assert.match(run(id).reason, /w2 drains/);
  give({ kind: 'lost', cause: 'silent', workerId: 'w1', incarnation: 'i', reason: 'test' });
  assert.equal(run(id).state, 'queued', 'the one that leaves is no replacement');
});

test('a student fails with its teacher, with the reason', () => {
  const { submit, run, report } = handFleet({ slots: 2 });
  const id = submit(teacher({ workers: one }));
  const follower = submit(student(id, { workers: one }));
  report('w1', {
    kind: 'failed',
    runId: id,
    generation: 1,
    cause: 'numeric',
    message: 'step 3: loss is not finite',
    step: 3,
  });
  assert.equal(run(id).state, 'failed');
  assert.equal(run(follower).state, 'failed');
  assert.match(run(follower).reason, /its teacher run-1 failed: step 3: loss is not finite/);
});

test('a run over which five workers are lost without a new step fails with that reason, wherever it was', () => {
  const { submit, gang, run, crash, pass } = handFleet({}, {});
  const id = submit(teacher({ workers: one }));
  for (let i = 0; i < 4; i++) crash(gang(id)[0]!);
  assert.equal(run(id).state, 'running');
  pass(60_000);
  crash(gang(id)[0]!);
  assert.equal(run(id).state, 'failed');
  assert.equal(run(id).failureCause, 'crash');
  assert.match(
    run(id).reason,
    /5 workers in a row were lost holding it and nothing else, and it never got beyond step 0/,
  );
});

test('workers that are lost while a run gets further, or all at once, do not count against it', () => {
  const { submit, gang, run, crash, progress, give, attach } = handFleet({}, {}, {}, {}, {}, {}, {}, {});
  const id = submit(teacher({ workers: { min: 1, max: 8 } }));
  for (let i = 1; i <= 20; i++) {
    progress(id, i);
    crash(gang(id)[0]!);
  }
  assert.equal(run(id).state, 'running');
  assert.equal(run(id).blame.losses, 0);
  // The power fails: all streams end in the same moment, and the losses are declared one by one.
  for (let outage = 0; outage < 4; outage++) {
    const goneAtMs = run(id).changedAtMs + 1;
    for (let i = 1; i <= 8; i++)
      give({ kind: 'lost', cause: 'silent', workerId: `w${i}`, incarnation: 'x', reason: 'power', goneAtMs });
    for (let i = 1; i <= 8; i++) attach({ workerId: `w${i}`, incarnation: 'x' });
  }
  assert.equal(run(id).state, 'running');
});

test('one that shared its worker is placed alone until it is clear who is to blame; the innocent finish', () => {
  const { submit, gang, run, held, crash, progress, pass } = handFleet({ slots: 3 }, { slots: 3 });
  const bad = submit(teacher({ workers: one, name: 'bad' }));
  const good = [submit(teacher({ workers: one })), submit(teacher({ workers: one }))];
  for (let round = 0; round < 30 && run(bad).state !== 'failed'; round++) {
    const [at] = gang(bad);
    // A good run on another worker than the bad one gets further.
    for (const id of good) if (gang(id)[0] !== undefined && gang(id)[0] !== at) progress(id, round + 1);
    if (at !== undefined) crash(at);
    pass(WAIT);
    if (run(bad).blame.shared + run(bad).blame.losses >= 2 && gang(bad)[0] !== undefined)
      assert.deepEqual(held(gang(bad)[0]!), [bad], 'alone');
  }
  assert.equal(run(bad).state, 'failed', run(bad).reason);
  assert.deepEqual(
    good.map((id) => run(id).state),
    ['running', 'running'],
  );
});

test('a suspect teacher takes a whole worker from its own students instead of waiting for it for ever', () => {
  const { submit, gang, crash, pass } = handFleet({ slots: 3 }, { slots: 3 });
  const late = submit(teacher({ workers: one }));
  const students = [1, 2].map(() => submit(student(late, { workers: one })));
  crash(gang(late)[0]!);
  crash(gang(late)[0]!);
  pass(WAIT);
  assert.equal(gang(late).length, 1, 'the teacher is placed');
  assert.ok(
    students.every((id) => gang(id)[0] !== gang(late)[0]),
    'alone',
  );
});
