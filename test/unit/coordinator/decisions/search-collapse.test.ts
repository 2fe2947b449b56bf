// When a search ends before its last epoch, and how it looks afterwards.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentenceOf } from '../../../../coordinator/journal/why.ts';
import { runOf } from '../../../../coordinator/model/state.ts';
import { GENOTYPES } from '../../../../core/nn/genotype.ts';
import { codeOf, keyOfCode } from '../../../../core/nn/genotype-code.ts';
import { documentOf, documentSchema } from '../../../../core/spec/document.ts';
import { FACTS } from '../../../sim/world.ts';
import { core } from './core.ts';

const EPOCHS = 8;

/** A genotype whose normal cell has so many skips. */
function withSkips(skips: number): string {
  const normal = GENOTYPES.casia.normal.map((pair, node) =>
    pair.map(([op, input], place) => {
      const skip = 2 * node + place < skips;
      return [skip ? 'skip_connect' : op === 'skip_connect' ? 'dw_conv_3x3' : op, input];
    }),
  );
  return keyOfCode(codeOf({ ...GENOTYPES.casia, normal } as typeof GENOTYPES.casia));
}

function searching(stop: object | undefined) {
  const fleet = core(2);
  const spec = documentOf(
    documentSchema.parse({
      kind: 'search',
      name: 'cells',
      data: { kind: 'synthetic', identities: 8, images: 8, holdout: 2 },
      search: { epochs: EPOCHS, batch: 16, shards: 2, ...(stop === undefined ? {} : { stop }) },
      workers: { max: 2 },
    }),
  );
  fleet.submit({ kind: 'run', spec, facts: FACTS } as never);
  const store = (stage: number, skips: number) =>
    fleet.report('run-1', {
      ...{ kind: 'checkpointStored', stage, step: 2 * stage, bytes: 1, digest: `d${stage}` },
      ...{ weightsDigest: `w${stage}`, search: { genotype: withSkips(skips), trainingLoss: 1 } },
    });
  return { ...fleet, store, run: () => runOf(fleet.state, 'run-1') };
}

test('a search that has collapsed is done with the stage that was stored, and its workers are free', () => {
  const search = searching({ skipsMax: 2, for: 2 });
  // Many skips early on are no collapse, and neither are falling ones.
  for (const [stage, skips] of [6, 6, 6, 5, 4, 3].entries()) {
    search.store(stage + 1, skips);
    assert.equal(search.run().state, 'running', `stage ${stage + 1}`);
  }
  const { effects } = search.store(7, 3);
  const run = search.run();
  assert.deepEqual([run.state, run.gang, run.finalStep, run.weightsDigest], ['done', [], 14, 'w7']);
  assert.match(run.reason, /^the normal cell has 3 skip connections after epoch 7, for 2 epochs in a row/);
  const sentences = search.events.map((event) => sentenceOf(event, search.state));
  assert.match(
    sentences.findLast((text) => text.startsWith('run-1 finished'))!,
    /it ended early: the normal/,
  );
  const released = effects.flatMap((effect) =>
    effect.kind === 'send' && effect.command.kind === 'release' ? [effect.workerId] : [],
  );
  assert.deepEqual(released, ['w1', 'w2']);
});

test('without a rule, and at its last stage, a search goes on to its own end', () => {
  for (const stop of [undefined, { skipsMax: 2, after: 7, for: 1 }]) {
    const search = searching(stop);
    for (let stage = 1; stage <= EPOCHS; stage++) search.store(stage, 8);
    assert.equal(search.run().state, 'running');
  }
});

test('a stage that was never reported is no stage with too many skips', () => {
  const search = searching({ skipsMax: 2, after: 0, for: 3 });
  search.store(1, 5);
  search.store(3, 5);
  search.store(4, 5);
  assert.equal(search.run().state, 'running');
  search.store(5, 5);
  assert.equal(search.run().state, 'done');
});
