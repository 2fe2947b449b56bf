import assert from 'node:assert/strict';
import test from 'node:test';
import { proveLedger } from '../../../../coordinator/cli/proof/ledger-proof.ts';
import { specDifferences } from '../../../../coordinator/cli/proof/spec-differences.ts';
import { skippedImages } from '../../../../core/data/inspection/skipped.ts';
import {
  emptyLedger,
  ledgerAfter,
  stageSteps,
  stepImages,
  stepTag,
} from '../../../../core/data/loading/sample-ledger.ts';
import { firstLedger, samplingsOf, stepSamples } from '../../../../core/data/loading/samplings.ts';
import { GENOTYPES } from '../../../../core/nn/genotype.ts';
import { codeOf, keyOfCode } from '../../../../core/nn/genotype-code.ts';
import { canonicalJson } from '../../../../core/spec/canonical-json.ts';
import { documentOf, documentSchema } from '../../../../core/spec/document.ts';
import type { RunSpec } from '../../../../core/spec/run.ts';
import { scheduleOf } from '../../../../core/spec/schedule.ts';
import type { Ledger } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import { teacher } from '../../../sim/specs.ts';

const whole = teacher({ training: { epochs: 3, batch: 16, shards: 8, seed: 5 } });
/** 2.3 steps an epoch: every epoch but the first begins within a step. */
const IMAGES = 37;

/** As an undisturbed run leaves it in the journal. */
function ledgerOf(change: Partial<Ledger> = {}, spec: RunSpec = whole): Ledger {
  const sampling = { schedule: scheduleOf(spec.training, IMAGES), seed: spec.training.seed };
  let chain = emptyLedger(sampling);
  const entries = [1, 2, 3].map((stage) => {
    const { first, end } = stageSteps(sampling.schedule, stage);
    const steps = Array.from({ length: end - first }, (_, i) => first + i);
    chain = ledgerAfter(
      chain,
      stage,
      steps.map((step) => stepTag(sampling, step, stepImages(sampling, step))),
    );
    return {
      sequence: 10 + stage,
      stage,
      step: end,
      digest: 'd',
      weightsDigest: `w${stage}`,
      stateDigest: `s${stage}`,
      ledgerDigest: chain,
      workerId: 'w1',
      atMs: 0,
      genotype: '',
    };
  });
  return {
    runId: 'run-1',
    name: 't',
    state: 'done',
    specJson: canonicalJson(spec),
    trainingImages: IMAGES,
    classes: 8,
    deviceClass: 'cpu',
    entries,
    finalStep: entries.at(-1)!.step,
    weightsDigest: 'w3',
    generations: 2,
    teacherRunId: '',
    nextPageToken: '',
    ...change,
  };
}

/** What a pause at this step has stored, by the spec. */
function pauseAt(step: number, change: object = {}) {
  const sampling = { schedule: scheduleOf(whole.training, IMAGES), seed: whole.training.seed };
  const { entries } = ledgerOf();
  const before = entries.findLast((entry) => entry.step < step);
  const {
    stage,
    step: first,
    ledgerDigest,
  } = before ?? { stage: 0, step: 0, ledgerDigest: emptyLedger(sampling) };
  const tags = Array.from({ length: step - first }, (_, i) =>
    stepTag(sampling, first + i, stepImages(sampling, first + i)),
  );
  const ledger = ledgerAfter(ledgerDigest, stage + 1, tags);
  return { ...entries[0]!, sequence: 30, stage: 0, step, ledgerDigest: ledger, ...change };
}

test('a step that a pause has stored is proved too: within stages that are over, and in the one that is open', async () => {
  const whole = ledgerOf();
  const between = ledgerOf({ entries: [pauseAt(2), ...whole.entries, pauseAt(2)] });
  const { pauses, epochs } = await proveLedger(between);
  assert.equal(epochs.length, 3);
  assert.deepEqual(
    pauses.map(({ step, stage }) => [step, stage]),
    [
      [2, 1],
      [2, 1],
    ],
  );
  const open = (entries: Ledger['entries']) =>
    ledgerOf({ state: 'paused', finalStep: 0, weightsDigest: '', entries });
  assert.deepEqual(
    (await proveLedger(open([whole.entries[0]!, pauseAt(4)]))).pauses.map(({ stage }) => stage),
    [2],
  );
  assert.deepEqual(
    (await proveLedger(open([pauseAt(1)]))).pauses.map(({ stage }) => stage),
    [1],
  );
  await assert.rejects(
    proveLedger(open([whole.entries[0]!, pauseAt(4, { ledgerDigest: 'e5' })])),
    /does not hold: step 4, where it was paused in stage 2: w1 reported ledger e5 \(journal event 30\), the spec gives [0-9a-f]{64}$/,
  );
  await assert.rejects(
    proveLedger(open([whole.entries[0]!, { ...pauseAt(4), step: 99 }])),
    /it was paused at step 99 \(journal event 30, stored by w1\), which lies within no stage that was begun$/,
  );
});

test('of a part of the images each epoch has the same ones, once', async () => {
  const part = { ...whole, training: { ...whole.training, fraction: 0.5 } };
  const proof = await proveLedger(ledgerOf({}, part));
  // Half of 37, rounded.
  assert.deepEqual(
    proof.epochs.map(({ images }) => images),
    [19, 19, 19],
  );
  assert.equal(new Set(proof.epochs.map(({ digest }) => digest)).size, 3);
  const other = { ...whole, training: { ...whole.training, fraction: 0.55 } };
  await assert.rejects(
    proveLedger({ ...ledgerOf({}, part), specJson: canonicalJson(other) }),
    /the ledger of run-1/,
  );
});

test('an honest journal is proved: every epoch once, and what the last step took along is told', async () => {
  const proof = await proveLedger(ledgerOf());
  assert.deepEqual(
    proof.epochs.map(({ epoch, firstStep, endStep, images }) => [epoch, firstStep, endStep, images]),
    [
      [1, 0, 3, 37],
      [2, 3, 5, 37],
      [3, 5, 7, 37],
    ],
  );
  assert.equal(
    new Set(proof.epochs.map(({ digest }) => digest)).size,
    3,
    'each epoch has an order of its own',
  );
  assert.deepEqual([proof.steps, proof.images, proof.ahead], [7, 112, 1]);
  const running = ledgerOf({
    state: 'running',
    entries: ledgerOf().entries.slice(0, 2),
    finalStep: 0,
    weightsDigest: '',
  });
  assert.equal((await proveLedger(running)).epochs.length, 2);
});

const first = ledgerOf();
const entriesWith = (stage: number, change: Partial<Ledger['entries'][number]>) =>
  first.entries.map((entry) => (entry.stage === stage ? { ...entry, ...change } : entry));
const FAULTS: readonly (readonly [string, Partial<Ledger>, RegExp])[] = [
  [
    'other samples in stage 2',
    { entries: entriesWith(2, { ledgerDigest: 'f'.repeat(64), workerId: 'w9' }) },
    /stage 2, steps 4 to 5: w9 reported ledger f{64} \(journal event 12\), the spec gives [0-9a-f]{64}/,
  ],
  [
    'no ledger',
    { entries: entriesWith(1, { ledgerDigest: '' }) },
    /stage 1, steps 1 to 3: w1 reported ledger \(none\)/,
  ],
  [
    'a data set of another size',
    { trainingImages: IMAGES - 1 },
    /stage 3 has 7 committed steps instead of|stage \d/,
  ],
  [
    'a stage that is missing',
    { entries: first.entries.filter(({ stage }) => stage !== 2) },
    /stage 2 is missing before stage 3/,
  ],
  [
    'a stage committed twice',
    { entries: [...first.entries, first.entries[1]!] },
    /stage 2 was committed twice/,
  ],
  ['a step too many', { entries: entriesWith(3, { step: 8 }) }, /stage 3 has 8 committed steps instead of 7/],
  ['an end without its last stage', { entries: first.entries.slice(0, 2) }, /done with 2 of 3 stages/],
  ['an end after another step', { finalStep: 6 }, /ended after 6 steps, and its last stage has 7/],
  [
    'an end with other weights',
    { weightsDigest: 'x' },
    /ended with weights x, and its last stage was stored with w3/,
  ],
  [
    'another seed than the workers used',
    { specJson: canonicalJson({ ...whole, training: { ...whole.training, seed: 6 } }) },
    /stage 1, steps 1 to 3: w1 reported/,
  ],
];
for (const [what, change, sentence] of FAULTS)
  test(`refused, by name: ${what}`, async () => {
    await assert.rejects(proveLedger(ledgerOf(change)), (error: Error) => {
      assert.match(error.message, /^the ledger of run-1 does not hold: /);
      assert.match(error.message, sentence);
      return true;
    });
  });

test('specs differ by the fields that weights depend on, each by its path', () => {
  const other = teacher({
    name: 'other',
    priority: 3,
    workers: { min: 2, max: 4 },
    verification: { pairs: 40 },
    training: { epochs: 3, batch: 16, shards: 8, seed: 6, optimizer: { milestones: [2] } },
  });
  assert.deepEqual(specDifferences(whole, other), [
    { field: 'training.optimizer.milestones', a: [], b: [2] },
    { field: 'training.seed', a: 5, b: 6 },
  ]);
  assert.deepEqual(specDifferences(whole, { ...whole, distillation: { teacher: 'run-1' } }), [
    { field: 'distillation', a: undefined, b: { teacher: 'run-1' } },
  ]);
});

test('images that a run leaves out are told with their digest, and a list that is another is refused', async () => {
  const skipped = skippedImages([3, 4, 300, 70_000])!;
  const withSkipped = (change: object) => {
    const ledger = ledgerOf();
    const spec = JSON.parse(ledger.specJson) as { data: object };
    const data = {
      kind: 'folder',
      path: '/people',
      holdout: 2,
      onCorrupt: 'skip',
      skipped: { ...skipped, ...change },
    };
    return { ...ledger, specJson: canonicalJson({ ...spec, data }) };
  };
  const proof = await proveLedger(withSkipped({}));
  assert.deepEqual(proof.skipped, { count: 4, digest: skipped.digest });
  assert.equal((await proveLedger(ledgerOf())).skipped, undefined);
  await assert.rejects(
    proveLedger(withSkipped({ list: skippedImages([3, 4, 301, 70_000])!.list })),
    /the ledger of run-1 does not hold: data\.skipped: the list names 4 images with digest/,
  );
});

/** As an undisturbed search leaves it in the journal; `genotypes`: of its stages. */
function ledgerOfSearch(search: object = {}, genotypes: readonly string[] = ['', '', '']) {
  const submitted = documentSchema.parse({
    kind: 'search',
    name: 's',
    data: { kind: 'synthetic', identities: 12, images: 8, holdout: 4 },
    search: { epochs: 3, batch: 4, shards: 2, seed: 5, ...search },
    workers: { max: 2 },
  });
  const spec = documentOf(submitted) as RunSpec;
  // 37 images: 19 in the half of the weights and 18 in the other.
  const samplings = samplingsOf(spec, IMAGES);
  let chain = firstLedger(samplings);
  const entries = genotypes.map((genotype, i) => {
    const stage = i + 1;
    const { first, end } = stageSteps(samplings.own.schedule, stage);
    const tags = Array.from({ length: end - first }, (_, i) => stepSamples(samplings, first + i).tag);
    chain = ledgerAfter(chain, stage, tags);
    return { ...ledgerOf().entries[i]!, step: end, ledgerDigest: chain, genotype };
  });
  const { step: finalStep, weightsDigest } = entries.at(-1)!;
  return { spec, ledger: ledgerOf({ specJson: canonicalJson(spec), entries, finalStep, weightsDigest }) };
}

test('the ledger of a search proves each image of both halves once an epoch, and finds one step that counted others', async () => {
  const { spec, ledger } = ledgerOfSearch();
  const proof = await proveLedger(ledger);
  assert.deepEqual(
    proof.epochs.map(({ images, alphas }) => [images, alphas?.images]),
    [
      [19, 18],
      [19, 18],
      [19, 18],
    ],
  );
  assert.equal(new Set(proof.epochs.map(({ alphas }) => alphas!.digest)).size, 3);
  // Under another division of the steps the other half counts other images.
  const other = { ...spec, training: { ...spec.training, seed: 6 } };
  await assert.rejects(
    proveLedger({ ...ledger, specJson: canonicalJson(other) }),
    /ledger of run-1 does not hold/,
  );
});

test('a search that is done before its last epoch is proved where the genotypes of its stages fulfil its stop rule', async () => {
  const { casia } = GENOTYPES;
  const few = keyOfCode(codeOf(casia));
  const skipping = casia.normal.map((pair) => pair.map(([, input]) => ['skip_connect', input]));
  const many = keyOfCode(codeOf({ ...casia, normal: skipping } as typeof casia));
  const stop = { skipsMax: 4, after: 1, for: 1 };
  const { stopped, epochs } = await proveLedger(ledgerOfSearch({ stop }, [many, many]).ledger);
  assert.equal(epochs.length, 2);
  assert.match(stopped!, /the normal cell has 8 skip connections after epoch 2/);
  const refused = (search: object, genotypes: readonly string[], sentence: RegExp) =>
    assert.rejects(proveLedger(ledgerOfSearch(search, genotypes).ledger), sentence);
  await refused({ stop }, [many, few], /it is done with 2 of 3 stages/);
  await refused({ stop }, [many, ''], /it is done with 2 of 3 stages/);
  await refused({}, [many, many], /it is done with 2 of 3 stages/);
  await refused({ stop }, [many, many, many], /its stop rule ends it with stage 2 \(.*\), and it has 3/);
  const whole = await proveLedger(ledgerOfSearch({ stop }, [many, few, many]).ledger);
  assert.equal(whole.stopped, undefined);
});
