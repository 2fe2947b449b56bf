import assert from 'node:assert/strict';
import test from 'node:test';
import { openSearches } from '../../../../coordinator/model/state.ts';
import { prepareSpaces } from '../../../../coordinator/strategies/spaces.ts';
import { cellCosts } from '../../../../core/nn/cell-costs.ts';
import type { SweepSpec } from '../../../../core/spec/sweep.ts';
import { sweep } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, recorded } from '../../../support/state.ts';

const search = (embedding: number): SweepSpec =>
  sweep({ name: `s${embedding}`, space: { channels: 2, layers: 4, embedding, ops: ['skip_connect'] } });

test('whoever takes the lead prepares the spaces of the searches that are open, and of no other', async () => {
  const [open, cancelled] = [search(321), search(322)];
  const state = folded(
    [open, cancelled].flatMap((spec, at) => {
      const { event, digest } = recorded(spec);
      const submitted = {
        kind: 'sweep.submitted',
        sweepId: `sweep-${at + 1}`,
        spec: digest,
        facts: FACTS,
      } as const;
      return [
        { ...event, atMs: at },
        { ...submitted, atMs: at },
      ];
    }),
  );
  const ended = folded(
    [{ kind: 'sweep.ended', sweepId: 'sweep-2', state: 'cancelled', reason: 'not needed', atMs: 5 }],
    state,
  );
  assert.deepEqual(openSearches(ended), [open]);
  await prepareSpaces(openSearches(ended));
  assert.deepEqual(
    [open, cancelled].map(({ space }) => cellCosts.has(space)),
    [true, false],
  );
});
