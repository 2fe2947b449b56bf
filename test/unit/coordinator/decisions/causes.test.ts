// What follows from the cause of a failure: for a run, and for the trial that it is an attempt of.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentenceOf } from '../../../../coordinator/journal/why.ts';
import { specOf } from '../../../../coordinator/model/spec-of.ts';
import { runOf, trialOf } from '../../../../coordinator/model/state.ts';
import { sweep, teacher, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { handFleet } from '../../../support/hand-fleet.ts';
import { core } from './core.ts';

const device = (gb: number) => ({ name: 'device', memoryBytes: gb * 1e9 });

/** A sweep of two attempts a trial on one worker. */
function searching(trials = 2) {
  const fleet = core(1);
  const spec = sweep({ strategy: { trials }, attemptsMax: 2, parallelism: 1 });
  fleet.submit({ kind: 'sweep', spec, facts: FACTS });
  return fleet;
}

test('numbers that are not finite fail the trial at once, with step and tensor in the journal', () => {
  const fleet = searching();
  const { generation, gang } = runOf(fleet.state, 'run-1');
  fleet.give({
    kind: 'reported',
    ...{ workerId: gang[0]!.workerId, incarnation: 'i', sequence: 1 },
    report: {
      ...{ kind: 'failed', runId: 'run-1', generation, cause: 'numeric', step: 6 },
      ...{ message: 'the loss is NaN in step 6', tensor: 'the loss', value: 'NaN' },
    },
  });
  const failed = fleet.events.find(({ kind }) => kind === 'run.failed');
  assert.ok(failed?.kind === 'run.failed');
  assert.deepEqual([failed.step, failed.tensor, failed.value], [6, 'the loss', 'NaN']);
  const trial = trialOf(fleet.state, 'trial-1');
  assert.deepEqual(
    [trial.state, trial.reason, trial.runIds],
    ['failed', 'the loss is NaN in step 6', ['run-1']],
  );
  assert.equal(runOf(fleet.state, 'run-2').trialId, 'trial-2');
});

test('a run that infrastructure failed too often has another attempt of the same seed, and then none', () => {
  const fleet = searching(1);
  const failTenTimes = (id: string) => {
    for (let n = 1; n <= 10; n++) {
      fleet.give({ kind: 'tick' });
      while (runOf(fleet.state, id).state === 'queued') fleet.give({ kind: 'tick' });
      fleet.fail(id, 'infrastructure');
    }
  };
  const seedOf = (id: string) => specOf(fleet.state, runOf(fleet.state, id)).training.seed;
  failTenTimes('run-1');
  assert.equal(seedOf('run-2'), seedOf('run-1'));
  assert.match(runOf(fleet.state, 'run-2').reason, /^attempt 2 of 2, after: bad|free/);
  failTenTimes('run-2');
  const trial = trialOf(fleet.state, 'trial-1');
  assert.deepEqual([trial.state, trial.runIds.length], ['failed', 2]);
  assert.match(trial.reason, /\(attempt 2 of 2\)$/);
});

/** A fleet of workers with so many GB each, and a run that reports too little memory where it is. */
function short(...gigabytes: number[]) {
  const fleet = handFleet(...gigabytes.map((gb) => ({ slots: 2, device: device(gb) })));
  const failShort = (id: string) => {
    const { generation, gang } = fleet.run(id);
    const { workerId } = gang[0]!;
    const report = { kind: 'failed', runId: id, generation, cause: 'out_of_memory', step: 0 } as const;
    return fleet.report(workerId, { ...report, message: 'no room', bytesWanted: 3 * 2 ** 30 });
  };
  return { ...fleet, failShort };
}

test('a run that finds too little memory gets a device to itself, a larger one, fewer activations, and then fails', () => {
  const fleet = short(16);
  const spec = teacher({ workers: { min: 1, max: 1 } });
  const other = fleet.submit(spec);
  const run = fleet.submit({ ...spec, name: 'large' });
  assert.deepEqual([fleet.gang(other), fleet.gang(run)], [['w1'], ['w1']]);
  const [troubled] = fleet.failShort(run).events;
  assert.ok(troubled?.kind === 'run.troubled');
  assert.deepEqual([troubled.memory, troubled.bytesWanted], [{ rung: 'alone' }, 3 * 2 ** 30]);
  assert.equal(
    sentenceOf(troubled, fleet.state()),
    'run-2: there is no memory for 3.0 GiB at once on w1 (16 GB) beside 1 other run; next it gets a device to itself; the worker said: no room',
  );
  assert.match(fleet.reason(run), /^queued: 0 of 1 workers: .*w1/);
  // Another device; of another class too, because nothing was stored yet.
  fleet.attach({ slots: 2, device: device(16), deviceClass: 'other' });
  assert.deepEqual(fleet.gang(run), ['w2']);
  const third = fleet.submit({ ...spec, name: 'third' });
  assert.deepEqual(fleet.gang(third), ['w1'], 'nobody comes beside it');
  fleet.attach({ device: device(40), deviceClass: 'large' });
  fleet.attach({ device: device(16), deviceClass: 'other' });
  fleet.failShort(run);
  assert.deepEqual(fleet.run(run).memory, { rung: 'larger-device', aboveGb: 16 });
  assert.deepEqual([fleet.gang(run), fleet.run(run).deviceClass], [['w3'], 'large']);
  const { effects } = fleet.failShort(run);
  assert.deepEqual(fleet.run(run).memory, { rung: 'recompute', aboveGb: 16 });
  const assigned = effects.flatMap((effect) =>
    effect.kind === 'send' && effect.command.kind === 'assign' ? [effect.command.spec.training] : [],
  );
  assert.deepEqual(
    assigned.map(({ recompute }) => recompute),
    [true],
  );
  assert.equal(fleet.run(run).job.training.recompute, undefined, 'it is no part of what the run is');
  fleet.failShort(run);
  assert.equal(fleet.run(run).state, 'failed');
  assert.equal(fleet.run(run).failureCause, 'out_of_memory');
  assert.match(
    fleet.run(run).reason,
    /no memory for 3\.0 GiB at once on w3 \(40 GB\) .* activations computed again; it needs a device with more memory, or fewer images a shard than \d+ \(training\.batch \d+ over \d+ shards\)/,
  );
});

test('a device to itself is no step for a run that has one, nor recomputation for one that asks for it', () => {
  const fleet = short(16);
  const run = fleet.submit(teacher({ workers: { min: 1, max: 1 } }));
  fleet.failShort(run);
  assert.deepEqual(fleet.run(run).memory, { rung: 'recompute' });
  assert.deepEqual(fleet.gang(run), ['w1']);
  const again = short(16);
  const spec = teacher({ training: { ...training, recompute: true } });
  const second = again.submit(spec);
  again.failShort(second);
  assert.equal(again.run(second).state, 'failed');
  // Somebody has given the machine more memory.
  again.give({ kind: 'resume', id: second, reason: '' });
  assert.deepEqual([again.run(second).state, again.run(second).memory], ['running', undefined]);
});

test('a run whose larger device has gone says how large the largest is, and keeps its class once it has stored', async () => {
  const fleet = short(16, 40);
  const run = fleet.submit(teacher({ workers: { min: 1, max: 1 }, require: { memoryMin: 10 } }));
  fleet.failShort(run);
  assert.deepEqual(fleet.gang(run), ['w2']);
  fleet.report('w2', {
    ...{ kind: 'checkpointStored', runId: run, stage: 1, step: 4, bytes: 1, digest: 'd' },
  });
  fleet.give({ kind: 'lost', cause: 'silent', workerId: 'w2', incarnation: 'i', reason: 'test' });
  assert.match(
    fleet.reason(run),
    /1 with too little memory \(it was short on a device of 16 GB, and the largest that is there has 16 GB\)/,
  );
  assert.match(
    (await fleet.why({ id: 'w1' })).at(-1)!,
    /slots free: run-1 was short of memory on a device of 16 GB$/,
  );
  assert.equal(fleet.kind(run), 'model_mismatch');
  assert.equal(fleet.run(run).deviceClass, 'cpu');
});

test('a shortage of memory is charged to no trial, and its end is no further attempt', () => {
  const fleet = searching(2);
  fleet.fail('run-1', 'out_of_memory');
  assert.equal(trialOf(fleet.state, 'trial-1').runIds.length, 1);
  fleet.fail('run-1', 'out_of_memory');
  const { state, runIds } = trialOf(fleet.state, 'trial-1');
  assert.deepEqual([state, runIds.length], ['failed', 1]);
});
