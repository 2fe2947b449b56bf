import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goodputText } from '../../../../coordinator/cli/screen/goodput.ts';
import { PhaseSeconds } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';

const common = { id: '', name: '', pruned: undefined, wallSeconds: 0 };

test('a row a phase, whose shares are of the whole, and the whole beside the time of the workers', () => {
  const seconds = PhaseSeconds.fromPartial({ compute: 5400, idle: 1800 });
  const lines = goodputText({ ...common, kind: 'fleet', seconds, wallSeconds: 7210 }).split('\n');
  assert.equal(
    lines[0],
    'fleet: 2 h 00 min of workers; they were there for 2 h 00 min, 99.86 % of it is known',
  );
  assert.match(lines.find((line) => line.startsWith('compute'))!, /^compute +1 h 30 min +75\.0 % +#{18}$/);
  assert.match(lines.find((line) => line.startsWith('lost'))!, /^lost +0 s +0\.0 %$/);
  assert.equal(lines.length, 3 + 11);
});

test('pruned work is a row of its own, and nothing at all divides by nothing', () => {
  const seconds = PhaseSeconds.fromPartial({});
  const pruned = PhaseSeconds.fromPartial({ compute: 30, idle: 10 });
  const sweep = { ...common, kind: 'sweep', id: 'sweep-1', name: 'many' };
  const text = goodputText({ ...sweep, seconds, pruned });
  assert.match(text, /^sweep sweep-1 many: 40 s of workers\n/);
  assert.match(text, /^pruned +40 s +100\.0 %/m);
  assert.match(goodputText({ ...sweep, seconds }), /^idle +0 s +0\.0 %$/m);
});
