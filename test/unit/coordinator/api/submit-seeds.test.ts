// What of a sweep over seeds is refused at submit, each with its field and the reason, and what a forecast says of one.

import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';
import { checkSubmission } from '../../../../coordinator/api/check-submission.ts';
import { forecastOf } from '../../../../coordinator/api/forecast.ts';
import { createSubmissionReader } from '../../../../coordinator/api/submission-reader.ts';
import { initialState } from '../../../../coordinator/model/state.ts';
import { inspectData } from '../../../../core/data/inspection/inspect.ts';
import { FleetError } from '../../../../core/errors.ts';
import { problemsIn } from '../../../../core/text/text-problems.ts';

const reader = createSubmissionReader();
after(() => reader.close());

const PARTS = `
space: { channels: 2, layers: 4, embedding: 16 }
strategy:
  kind: darts
  seeds: [1, 2, 3]
  supernet: { channels: 4, layers: 4 }
  search: { epochs: 2, batch: 16, shards: 4 }
evaluation: { training: { epochs: 1, batch: 16, shards: 4 }, verification: { pairs: 20 } }
`;
const DATA = 'data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }';
const SWEEP = `\nkind: sweep\nname: seeds\n${DATA}${PARTS}`;
const PLAN = `\nkind: plan\nname: planned\n${DATA}\nsearch:${PARTS.replaceAll('\n', '\n  ')}
students: [{ name: s, network: best, training: { epochs: 1, batch: 16, shards: 4 }, verification: { pairs: 20 } }]
`;

const check = (yaml: string, overrides: Record<string, string> = {}) =>
  checkSubmission({ yaml, baseDir: tmpdir(), overrides }, () => initialState, {
    reader,
    inspect: inspectData,
  });

/** `path: reason` of each problem. */
async function refusal(overrides: Record<string, string>, yaml = SWEEP): Promise<string> {
  try {
    await check(yaml, overrides);
  } catch (caught) {
    assert.ok(caught instanceof FleetError, String(caught));
    return problemsIn(caught)
      .map(({ path, reason }) => `${path}: ${reason}`)
      .join('\n');
  }
  return assert.fail(`${JSON.stringify(overrides)} was taken`);
}

const CASES: readonly (readonly [change: Record<string, string>, reason: RegExp])[] = [
  [{ 'strategy.seeds': '[1]' }, /^strategy\.seeds: a sweep has two seeds at least/],
  [{ 'strategy.seeds': '[1, 2, 1]' }, /^strategy\.seeds\.2: seed 1 stands there twice/],
  [{ 'strategy.search.seed': '4' }, /^strategy\.search\.seed: each entry of strategy\.seeds is the seed/],
  [{ 'strategy.search.strategy': 'uniform' }, /^strategy\.search\.strategy: strategy: uniform trains random/],
  [{ 'strategy.trials': '3' }, /^strategy\.trials: each entry of strategy\.seeds is one trial/],
  [{ 'strategy.seed': '3' }, /^strategy\.seed: strategy\.seeds has the seeds/],
  [{ 'strategy.lag': '3' }, /^strategy\.lag: unknown key/],
  [{ 'strategy.from': 'sweep-1' }, /^strategy\.from: unknown key/],
  [{ screening: '{ score: synflow }' }, /^screening: each search by gradient finds one candidate/],
  [{ 'constraints.mflopsMax': '9' }, /^constraints\.mflopsMax: a search by gradient does not count/],
  [{ 'space.ops': '[skip_connect]' }, /^space\.ops: a search by gradient chooses among all operations/],
  [{ 'data.holdout': '0' }, /held|holdout/],
  [
    { 'strategy.search.shards': '3' },
    /^strategy\.search\.shards: 3 is no power of two|is not a power of two/,
  ],
  [{ 'strategy.search.batch': '10' }, /^strategy\.search\.batch: batch 10 is not divisible by 4 shards/],
  [{ 'strategy.search.batch': '64' }, /^strategy\.search\.batch: 64 images of each half a step/],
  [{ 'strategy.search.warmUpEpochs': '2' }, /^strategy\.search\.warmUpEpochs: a warm-up of 2 epochs/],
  [{ 'strategy.search.order': 'second' }, /^strategy\.search\.batch: .*off by up to a third/],
  [{ 'strategy.search.variant': 'other' }, /^strategy\.search\.variant: unknown variant/],
  [{ 'strategy.supernet.layers': '3' }, /^strategy\.supernet\.layers: below 4 layers/],
  [{ 'strategy.supernet.channels': '3' }, /^strategy\.supernet\.channels: /],
  [{ 'strategy.workers': '{ max: 8 }' }, /^strategy\.workers\.max: 8 workers cannot share 4 shards/],
];

for (const [change, reason] of CASES)
  test(`refused: ${Object.entries(change).flat().join(' ')}`, async () => {
    assert.match(await refusal(change), reason);
  });

test('in a plan the same is refused with its path below search', async () => {
  const change = { 'search.strategy.search.batch': '64' };
  assert.match(await refusal(change, PLAN), /^search\.strategy\.search\.batch: 64 images of each half/);
});

test('a forecast counts the searches and what they find, in a sweep and in a plan', async () => {
  for (const [text, field] of [
    [SWEEP, ''],
    [PLAN, 'search'],
  ] as const) {
    const { parts } = await forecastOf(await check(text), {
      state: initialState,
      speedOf: () => undefined,
      observed: { secondsOf: () => undefined, imageRowsBytes: undefined } as never,
      now: () => 0,
      pools: () => [],
    });
    const [searches, trainings] = parts;
    assert.deepEqual([searches?.kind, searches?.field, searches?.runs?.likely], ['search', field, 3]);
    assert.match(searches?.note ?? '', /a search from each of the seeds 1, 2, 3/);
    // 64 images, half of them for weights: 2 steps of 16 an epoch.
    assert.equal(searches?.steps?.likely, 3 * 2 * 2);
    assert.deepEqual([trainings?.kind, trainings?.runs?.likely], ['candidate', 3]);
    assert.equal(trainings?.steps?.likely, 3 * 4);
    assert.match(trainings?.begins ?? '', /^each when its search has ended/);
  }
});
