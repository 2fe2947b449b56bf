import assert from 'node:assert/strict';
import test from 'node:test';
import { CHANGE_INTERVAL_MS } from '../../../../coordinator/scheduling/board.ts';
import { OVERTAKE_MS } from '../../../../coordinator/scheduling/reservation.ts';
import { teacher, training } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';

const one = { min: 1, max: 1 };
const gangOf = (min: number) => ({ workers: { min, max: min } });
const epochs = (count: number) => ({ workers: one, training: { ...training, epochs: count } });
const LONG = 1_000;

/** Eight workers: one has a long run, and a gang of eight waits past its deadline beside seven idle ones. */
function waitingGang() {
  const fleet = handFleet(...Array.from({ length: 8 }, () => ({})));
  const long = fleet.submit(teacher(epochs(LONG)));
  fleet.pass(1);
  const gang = fleet.submit(teacher({ ...gangOf(8), training: { ...training, shards: 8 } }));
  fleet.pass(OVERTAKE_MS + 1);
  return { ...fleet, long, gangId: gang };
}

/** The run has stored where it stands, for whoever it gives its workers to. */
function paused({ report, run }: ReturnType<typeof handFleet>, id: string, step: number): void {
  const { generation, gang } = run(id);
  const stored = { bytes: 1, digest: 'd', weightsDigest: 'w', stateDigest: 's', ledgerDigest: 'l' };
  report(gang[0]!.workerId, { kind: 'paused', runId: id, generation, step, stored });
}

function finished({ report, run }: ReturnType<typeof handFleet>, id: string): void {
  const { generation, gang } = run(id);
  report(gang[0]!.workerId, { kind: 'finished', runId: id, generation, step: 4, weightsDigest: '' });
}

test('what a gang waits for is on loan, and comes back at the step it stands at as soon as the gang can start', () => {
  const fleet = handFleet({}, {}, {});
  const { submit, gang, pass, reason, run } = fleet;
  const long = submit(teacher(epochs(LONG)));
  const large = submit(teacher(gangOf(3)));
  const early = submit(teacher(epochs(LONG)));
  assert.equal(gang(early).length, 1, 'before the deadline too');
  pass(OVERTAKE_MS + 1);
  const late = submit(teacher(epochs(LONG)));
  assert.equal(gang(late).length, 1, 'nothing was measured, and nothing lies idle');
  assert.equal(run(late).reason, '1 of at least 1 workers free: w3; on loan until run-2 can start');
  assert.equal(
    reason(large),
    'queued: 0 of 3 workers: 3 without a free slot; free ones are kept for it since 1970-01-01T00:00:30Z; 2 on loan to run-3, run-4',
  );
  pass(CHANGE_INTERVAL_MS);
  assert.deepEqual([run(early).state, run(late).state], ['running', 'running'], 'it would not be whole');
  finished(fleet, long);
  assert.deepEqual([run(early).state, run(late).state], ['pausing', 'pausing']);
  assert.equal(run(late).reason, 'gives back what run-2 has lent it, which can start then');
  paused(fleet, late, 7);
  assert.deepEqual([gang(late), gang(large)], [[], []], 'what is back is kept');
  paused(fleet, early, 3);
  assert.deepEqual(gang(large), ['w1', 'w2', 'w3']);
  finished(fleet, large);
  assert.deepEqual([run(late).pausedStep?.step, gang(late).length, run(late).lentByRunId], [7, 1, undefined]);
});

test('before its deadline a gang has nobody pause', () => {
  const fleet = handFleet({}, {});
  const { submit, gang, pass, run } = fleet;
  const first = submit(teacher(epochs(LONG)));
  const large = submit(teacher(gangOf(2)));
  const borrower = submit(teacher(epochs(LONG)));
  pass(CHANGE_INTERVAL_MS);
  finished(fleet, first);
  assert.deepEqual([run(borrower).state, gang(large)], ['running', []]);
  pass(OVERTAKE_MS + 1);
  assert.equal(run(borrower).state, 'pausing');
});

test('what is lent and what elastic gangs can spare counts together', () => {
  const fleet = handFleet({}, {}, {}, {});
  const { submit, gang, pass, run } = fleet;
  const elastic = submit(teacher({ workers: { min: 1, max: 2 } }));
  pass(CHANGE_INTERVAL_MS);
  const long = submit(teacher(epochs(LONG)));
  const large = submit(teacher(gangOf(3)));
  const borrower = submit(teacher(epochs(LONG)));
  pass(OVERTAKE_MS + 1);
  finished(fleet, long);
  assert.deepEqual([gang(elastic).length, run(borrower).state], [2, 'pausing']);
  paused(fleet, borrower, 3);
  assert.deepEqual([gang(elastic).length, gang(large).length], [1, 3]);
});

test('a run that has just had to pause gets no loan, and its reason names the gang and the time', () => {
  const fleet = handFleet({}, {}, {});
  const { submit, gang, pass, reason, kind } = fleet;
  submit(teacher({ ...epochs(LONG), priority: 90 }));
  const victim = submit(teacher(epochs(LONG)));
  pass(CHANGE_INTERVAL_MS);
  const urgent = submit(teacher({ ...gangOf(2), priority: 80 }));
  paused(fleet, victim, 3);
  assert.equal(gang(urgent).length, 2);
  const large = submit(teacher({ ...gangOf(3), priority: 70 }));
  pass(OVERTAKE_MS + 1);
  finished(fleet, urgent);
  assert.deepEqual(gang(victim), []);
  assert.equal(kind(victim), 'reserved');
  assert.match(
    reason(victim),
    /^queued: 0 of 1 workers: 2 kept for run-4, which needs 3 and lacks 1 \(kept since 1970-01-01T00:00:31Z\), 1 without a free slot$/,
  );
  assert.match(
    reason(large),
    /^queued: 2 of 3 workers: 1 without a free slot; free ones are kept for it since 1970-01-01T00:00:31Z$/,
  );
  pass(OVERTAKE_MS);
  assert.equal(gang(victim).length, 1, 'a minute later it may');
});

test('shortly before the gang starts, by estimate, a run that ends before uses its workers; a longer one does not', () => {
  const { submit, gang, long, gangId, measure, progress, reason } = waitingGang();
  // 1,000 epochs of 64 images at 64 images/s: a thousand seconds, of which 9 are left.
  measure(long, 'w1', 64);
  progress(long, 4 * (LONG - 9));
  const longer = submit(teacher(epochs(12)));
  assert.deepEqual(gang(longer), []);
  assert.match(reason(longer), /7 kept for run-2, which needs 8 and lacks 1/);
  assert.match(reason(gangId), /by estimate it starts at 1970-01-01T00:00:39Z/);
  assert.equal(gang(submit(teacher(epochs(8)))).length, 1, '8 s before 9 s');
});

test('what is left over when the gang starts goes to runs of any length, and no more than that', () => {
  const { submit, gang, pass, measure, progress, run } = handFleet({}, {}, {}, {}, {}, {});
  const wide = submit(
    teacher({ ...gangOf(4), training: { ...training, epochs: LONG, batch: 16, shards: 4 } }),
  );
  // Four workers end together: with the two idle ones six, of which the gang needs five.
  const large = submit(teacher(gangOf(5)));
  pass(OVERTAKE_MS + 1);
  for (const id of gang(wide)) measure(wide, id, 64);
  progress(wide, 4 * (LONG - 20));
  const first = submit(teacher(epochs(9 * LONG)));
  assert.deepEqual([gang(first).length, run(first).lentByRunId], [1, undefined], 'one is left over');
  assert.deepEqual([gang(submit(teacher(epochs(9 * LONG)))), gang(large)], [[], []]);
});

test('an elastic gang grows into what is kept, and gives it back as soon as the gang can start', () => {
  const { submit, gang, pass, attach } = handFleet({}, {});
  submit(teacher(epochs(LONG)));
  const elastic = submit(teacher({ workers: { min: 1, max: 8 } }));
  const large = submit(teacher(gangOf(3)));
  attach({});
  pass(OVERTAKE_MS + 1);
  assert.deepEqual([gang(elastic), gang(large)], [['w2', 'w3'], []], 'nothing lies idle');
  attach({});
  pass(CHANGE_INTERVAL_MS);
  assert.deepEqual([gang(elastic), gang(large)], [['w2', 'w3', 'w4'], []]);
  attach({});
  pass(CHANGE_INTERVAL_MS);
  assert.deepEqual([gang(elastic).length, gang(large).length], [1, 3]);
});

test('what is lent to an elastic gang goes back to the gang that it is kept for, not to a run behind it', () => {
  const { submit, gang, pass } = handFleet({}, {}, {});
  submit(teacher(epochs(LONG)));
  const elastic = submit(teacher({ workers: { min: 1, max: 2 } }));
  pass(CHANGE_INTERVAL_MS);
  const large = submit(teacher(gangOf(2)));
  pass(OVERTAKE_MS + 1);
  const behind = submit(teacher(epochs(LONG)));
  pass(CHANGE_INTERVAL_MS);
  assert.deepEqual([gang(elastic).length, gang(large), gang(behind)], [2, [], []]);
});

test('a gang keeps workers from lower priorities and not from higher ones', () => {
  const { submit, gang } = waitingGang();
  assert.equal(gang(submit(teacher({ ...epochs(1), priority: 90 }))).length, 1);
});

test('a worker that holds a suspect alone has free slots, and a reason does not say otherwise', () => {
  const { submit, gang, reason, crash, pass } = handFleet({ slots: 3 });
  const bad = submit(teacher({ workers: one, name: 'bad' }));
  crash('w1');
  crash('w1');
  pass(CHANGE_INTERVAL_MS);
  assert.deepEqual(gang(bad), ['w1']);
  const good = submit(teacher({ workers: one }));
  assert.equal(
    reason(good),
    'queued: 0 of 1 workers: 1 that hold a run alone, which may be what killed other workers',
  );
});

test('an exact gang needs all of one class, and its reason says so', () => {
  const { submit, reason } = handFleet({ deviceClass: 'a' }, { deviceClass: 'b' });
  assert.match(
    reason(submit(teacher(gangOf(2)))),
    /^queued: 1 of 2 workers: all have to be of one device class, and 2 are free in 2 classes/,
  );
});
