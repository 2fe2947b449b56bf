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

test('a reservation keeps free workers after its deadline alone, and the reason names the gang and the time', () => {
  const { submit, gang, pass, reason, kind } = handFleet({}, {}, {});
  submit(teacher(epochs(LONG)));
  const large = submit(teacher(gangOf(3)));
  const early = submit(teacher(epochs(LONG)));
  assert.equal(gang(early).length, 1, 'before the deadline a free worker is anybody’s');
  pass(OVERTAKE_MS + 1);
  const late = submit(teacher(epochs(LONG)));
  assert.deepEqual(gang(late), []);
  assert.equal(kind(late), 'reserved');
  assert.match(
    reason(late),
    /^queued: 0 of 1 workers: 1 kept for run-2, which needs 3 and lacks 2 \(kept since 1970-01-01T00:00:30Z\), 2 without a free slot$/,
  );
  assert.equal(kind(large), 'insufficient_workers');
  assert.match(
    reason(large),
    /^queued: 1 of 3 workers: 2 without a free slot; free ones are kept for it since 1970-01-01T00:00:30Z$/,
  );
});

test('a run that ends, by estimate, before the gang could start uses its workers; a longer one does not', () => {
  const { submit, gang, long, gangId, measure, reason } = waitingGang();
  // 1,000 epochs of 64 images at 64 images/s: a thousand seconds.
  measure(long, 'w1', 64);
  const short = submit(teacher(epochs(900)));
  assert.equal(gang(short).length, 1, '900 s before 1,000 s');
  const longer = submit(teacher(epochs(LONG + 300)));
  assert.deepEqual(gang(longer), []);
  assert.match(reason(longer), /6 kept for run-2, which needs 8 and lacks 2/);
  assert.match(reason(gangId), /by estimate it starts at 1970-01-01T00:17:1\dZ/);
});

test('without a measurement nobody but elastic gangs uses what is kept', () => {
  const { submit, gang } = waitingGang();
  assert.deepEqual(gang(submit(teacher(epochs(1)))), []);
});

test('what is left over when the gang starts goes to runs of any length, and no more than that', () => {
  const { submit, gang, pass, measure } = handFleet({}, {}, {}, {}, {}, {});
  const wide = submit(
    teacher({ ...gangOf(4), training: { ...training, epochs: LONG, batch: 16, shards: 4 } }),
  );
  // Four workers end together: with the two idle ones six, of which the gang needs five.
  const large = submit(teacher(gangOf(5)));
  pass(OVERTAKE_MS + 1);
  for (const id of gang(wide)) measure(wide, id, 64);
  const first = submit(teacher(epochs(9 * LONG)));
  assert.equal(gang(first).length, 1, 'one is left over');
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
