// What `why` says of embeddings that are not kept by image: the count or the room that decided it, or what the worker has found.

import assert from 'node:assert/strict';
import test from 'node:test';
import { embeddingText } from '../../../../coordinator/api/embedding-text.ts';
import { createRowRefusals } from '../../../../coordinator/workers/row-refusals.ts';
import { student, teacher, training } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';
import { connections } from '../../../support/state.ts';

test('each batch is embedded by itself for a reason: no gain by count, no room, as asked, or what a worker has found', () => {
  const fleet = handFleet({}, {});
  const id = fleet.submit(teacher({ workers: { min: 1, max: 1 } }));
  const texts = (distillation: object, observed: object, kept?: number) => {
    const runId = fleet.submit(
      student(id, { workers: { min: 1, max: 1 }, distillation: { teacher: id, ...distillation } }),
    );
    const run = fleet.run(runId);
    assert.ok(run.gang.length > 0, `${runId} has a worker`);
    const text = embeddingText(fleet.state(), kept === undefined ? run : { ...run, imageRowsBytes: kept }, {
      now: 0,
      connected: connections(['w1', 'w2']),
      ...observed,
    });
    fleet.give({ kind: 'cancel', id: runId, reason: '' });
    return text?.split('; each ')[1] ?? text?.split('; w')[1] ?? text;
  };
  const { epochs } = training;
  const room = { imageRowsBytes: 2 ** 20 };
  assert.equal(
    texts({}, room),
    `batch is embedded by itself: by image it would be ${epochs} passes over the images, and it is ${epochs}`,
  );
  assert.match(
    texts({ schedule: new Array(epochs).fill(1) }, { imageRowsBytes: 1 })!,
    epochs > 2
      ? /passes over the images, which would be 2 by image, but the rows of a stage take .* and a worker keeps at most 1 B$/
      : /^batch is embedded by itself: by image it would be/,
  );
  assert.equal(texts({ embed: 'by-batch' }, room), 'batch is embedded by itself: as it asks');

  // One that may keep rows does, unless its worker says why it does not.
  const refusals = createRowRefusals();
  const observed = { ...room, rowsRefusedOf: refusals.of };
  assert.match(texts({}, observed, 2 ** 20)!, /its workers keep them by image/);
  const next = `run-${Number(fleet.state().numbers.run) + 1}`;
  refusals.heard('w2', [{ runId: next, rowsRefused: 'in a batch of 8 they differ' }]);
  assert.equal(texts({}, observed, 2 ** 20), '2 embeds each batch by itself: in a batch of 8 they differ');
  refusals.heard('w2', [{ runId: next, rowsRefused: undefined }]);
  assert.equal(refusals.of(next, 'w2'), undefined);
});
