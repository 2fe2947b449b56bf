import assert from 'node:assert/strict';
import test from 'node:test';
import { createDeviceTime } from '../../../../coordinator/metrics/device-time.ts';
import { createSweepFleet, ofSeveralDevices } from '../../../support/sweep-fleet.ts';

/** Each worker has four slots, so that a run on one of them counts for a quarter. */
test('device time is the sum over runs of what they held, at whatever times it is looked at', () => {
  const fleet = createSweepFleet(2);
  let seconds = 0;
  const time = createDeviceTime((labels, more) => {
    assert.deepEqual(labels, { sweep: 'sweep-1', role: 'candidate', device: 'cpu' });
    seconds += more;
  });
  time.begin(fleet.state, 0);
  const [first, second] = [fleet.propose(), fleet.propose()];
  fleet.assign(first, 'w1');
  time.changed(fleet.state, `run-${first}`, 1_000);
  time.collect(3_000);
  assert.equal(seconds, 0.5);
  fleet.assign(second, 'w2');
  time.changed(fleet.state, `run-${second}`, 4_000);
  assert.equal(seconds, 0.5, 'what w1 does goes on');
  fleet.finish(first, 0.5);
  time.changed(fleet.state, `run-${first}`, 5_000);
  assert.equal(seconds, 1);
  time.collect(6_000);
  assert.equal(seconds, 1.5);
  time.collect(5_500);
  assert.equal(seconds, 1.5, 'a clock that steps back counts nothing twice');
  time.leave();
  time.collect(60_000);
  assert.equal(seconds, 1.5, 'another coordinator counts from here on');
});

test('a run holds all devices of a worker that computes on several', () => {
  const fleet = createSweepFleet(0);
  fleet.add(ofSeveralDevices('wide', 4));
  let seconds = 0;
  const time = createDeviceTime(({ device }, more) => {
    assert.equal(device, 'gpu');
    seconds += more;
  });
  time.begin(fleet.state, 0);
  const number = fleet.propose();
  fleet.assign(number, 'wide');
  time.changed(fleet.state, `run-${number}`, 1_000);
  time.collect(2_000);
  assert.equal(seconds, 1, 'one of four slots, four devices, one second');
});
