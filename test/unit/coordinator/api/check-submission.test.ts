import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { checkSubmission } from '../../../../coordinator/api/check-submission.ts';
import { createSubmissionReader } from '../../../../coordinator/api/submission-reader.ts';
import { step } from '../../../../coordinator/decisions/decide.ts';
import type { Decided, Event } from '../../../../coordinator/model/events.ts';
import { initialState, runOf, type State } from '../../../../coordinator/model/state.ts';
import { inspectData } from '../../../../core/data/inspection/inspect.ts';
import { FleetError } from '../../../../core/errors.ts';
import { cellCosts } from '../../../../core/nn/cell-costs.ts';
import { GENOTYPES } from '../../../../core/nn/genotype.ts';
import { codeOf, keyOfCode } from '../../../../core/nn/genotype-code.ts';
import { problemsIn } from '../../../../core/text/text-problems.ts';
import { teacher } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { connections, folded, recorded } from '../../../support/state.ts';
import { core } from '../decisions/core.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-submit-'));
const reader = createSubmissionReader();
after(() => reader.close());
after(() => rmSync(folder, { recursive: true, force: true }));

const RUN = `
kind: teacher
name: t
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 16 }
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
training: { epochs: 2, batch: 16 }
verification: { pairs: 40 }
`;

function check(yaml: string, overrides: Record<string, string> = {}, state = initialState) {
  return checkSubmission({ yaml, baseDir: folder, overrides }, () => state, { reader, inspect: inspectData });
}

/** `path: reason` of each problem, a line each; that the message has the place of each is checked here. */
async function refusal(yaml: string, overrides: Record<string, string> = {}, state = initialState) {
  try {
    await check(yaml, overrides, state);
  } catch (caught) {
    assert.ok(caught instanceof FleetError, String(caught));
    assert.equal(caught.code, 'invalidArgument', caught.message);
    const problems = problemsIn(caught);
    assert.ok(problems.length > 0, caught.message);
    const places = problems.map(({ line, column, override }) =>
      override === undefined ? `yaml:${line}:${column}: ` : `override ${override}: `,
    );
    for (const place of places) assert.ok(`\n${caught.message}`.includes(`\n${place}`), caught.message);
    return problems.map(({ path, reason }) => (path === '' ? reason : `${path}: ${reason}`)).join('\n');
  }
  return assert.fail('it was taken');
}

/** 2x2 grey images, one folder an identity. */
function faces(name: string, identities: Record<string, number>): string {
  for (const [identity, images] of Object.entries(identities)) {
    mkdirSync(join(folder, name, identity), { recursive: true });
    for (let i = 0; i < images; i++) {
      const pixels = Buffer.from([i, 50, 100, 150]);
      writeFileSync(
        join(folder, name, identity, `${i}.pgm`),
        Buffer.concat([Buffer.from('P5 2 2 255\n'), pixels]),
      );
    }
  }
  return name;
}

const folderData = (path: string, holdout = 2) => ({
  data: `{ kind: folder, path: ${path}, holdout: ${holdout} }`,
});

test('a well-formed run passes with every default filled in and the data counted', async () => {
  const [document] = await check(RUN);
  assert.equal(document?.kind, 'run');
  assert.equal(document.kind === 'run' && document.spec.training.shards, 8);
  assert.deepEqual(document?.facts, {
    trainingImages: 64,
    classes: 8,
    heldOutImages: 32,
    heldOutIdentities: 4,
    digest: '13d0e197f5fe0227fdc15f8455fd8d43cb5613e15aafc2cc3e830cd1fa911d18',
  });
});

test('relative data paths start from the folder of the request, and without one they are refused', async () => {
  const name = faces('good', { a: 9, b: 9, c: 9, d: 9 });
  const [document] = await check(RUN, folderData(name));
  assert.equal(
    document?.kind === 'run' && document.spec.data.kind === 'folder' && document.spec.data.path,
    join(folder, name),
  );
  await assert.rejects(
    checkSubmission({ yaml: RUN, baseDir: '', overrides: folderData(name) }, () => initialState, {
      reader,
      inspect: inspectData,
    }),
    /data\.path: "good" is relative, and the request names no folder to start from/,
  );
});

const genotype = (edge: string) => {
  const node = "[['skip_connect', 0], ['skip_connect', 1]]";
  const cell = (first: string) => `[${first}, ${node}, ${node}, ${node}]`;
  return {
    'network.genotype': `{ normal: ${cell(`[${edge}, ['skip_connect', 1]]`)}, reduce: ${cell(node)} }`,
  };
};

const REFUSALS: readonly (readonly [string, Record<string, string>, RegExp])[] = [
  [
    'an unknown op',
    genotype("['conv_9x9', 0]"),
    /^network\.genotype\.normal\.0\.0\.0: unknown op "conv_9x9"; one of max_pool_3x3,/,
  ],
  [
    'an edge to a later node',
    genotype("['skip_connect', 2]"),
    /^network\.genotype\.normal\.0\.0\.1: node 0 takes input 2, but only inputs 0\.\.1 exist/,
  ],
  [
    'a batch that shards do not divide',
    { 'training.batch': '20' },
    /^training\.batch: batch 20 is not divisible by 8 shards/,
  ],
  [
    'shards that are no power of two',
    { 'training.shards': '6', 'training.batch': '18' },
    /^training\.shards: 6 is not a power of two/,
  ],
  ['an unknown key', { 'training.epoch': '3' }, /^training\.epoch: unknown key/],
  ['an unknown key at the top', { trianing: '3' }, /^trianing: unknown key/],
  ['a missing field', { training: '{ batch: 16 }' }, /^training\.epochs: is missing/],
  [
    'an unknown kind',
    { kind: 'techer' },
    /^kind: unknown kind "techer"; one of plan, sweep, search, teacher, student, candidate/,
  ],
  ['an unknown network', { 'network.kind': 'vgg' }, /^network\.kind: unknown kind "vgg"/],
  ['more workers than shards', { workers: '{ max: 9 }' }, /^workers\.max: 9 workers cannot share 8 shards/],
  ['a teacher that distils', { distillation: '{ teacher: x }' }, /^distillation: a teacher does not distil/],
  [
    'a student of nobody',
    { kind: 'student', distillation: '{ teacher: nobody }' },
    /distillation\.teacher: "nobody" is neither a teacher run of this text nor a run of this fleet/,
  ],
  [
    'a batch larger than the training set',
    { 'training.batch': '72' },
    /^training\.batch: 72 images a step, but there are only 64 training images/,
  ],
  [
    'more pairs than the held-out images allow',
    { verification: '{ pairs: 600 }' },
    /^verification\.pairs: 600 pairs need 300 different genuine ones, but the 32 held-out images allow 112; ask for at most 220/,
  ],
  [
    'an unknown head',
    { 'training.head': 'split' },
    /^training\.head: unknown head "split"; one of graph, sharded/,
  ],
  [
    'negatives out of range',
    { 'training.head': 'sharded', 'training.negatives': '0' },
    /^training\.negatives: negatives is a share of the classes, above 0 and at most 1/,
  ],
  [
    'more than all negatives',
    { 'training.head': 'sharded', 'training.negatives': '1.5' },
    /^training\.negatives: negatives is a share of the classes, above 0 and at most 1/,
  ],
  [
    'negatives of a head that is not sharded',
    { 'training.negatives': '0.1' },
    /^training\.negatives: negatives are sampled by a sharded head; add head: sharded/,
  ],
  [
    'a sharded head with outer steps',
    { 'training.head': 'sharded', 'training.sync': '{ kind: outer, every: 4 }' },
    /^training\.head: a sharded head exchanges embeddings in every step/,
  ],
  [
    'a sharded head with less than two classes a shard',
    { 'training.head': 'sharded' },
    /^training\.head: 8 classes in 8 shards are fewer than two a shard; use head: graph/,
  ],
  ['all identities held out', { 'data.holdout': '12' }, /^data.*hold/],
];
for (const [what, overrides, sentence] of REFUSALS)
  test(`refused: ${what}`, async () => assert.match(await refusal(RUN, overrides), sentence));

test('refused: an empty data folder, by name', async () => {
  mkdirSync(join(folder, 'empty'));
  assert.match(await refusal(RUN, folderData('empty')), /^data.*empty/s);
  assert.match(await refusal(RUN, folderData('nowhere')), /^data.*nowhere/s);
});

test('refused: a corrupt image, by file', async () => {
  faces('corrupt', { a: 3, b: 3, c: 3, d: 3 });
  writeFileSync(join(folder, 'corrupt', 'b', '1.pgm'), 'P5 2 2 255\nx');
  assert.match(await refusal(RUN, folderData('corrupt')), /^data.*corrupt\/b\/1\.pgm/s);
});

test('a plan is checked in all its parts, and every problem is told at once', async () => {
  const plan = `
kind: plan
name: p
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
teacher:
  name: t
  network: { kind: iresnet, blocks: [1, 1, 1, 1], widths: [4, 4, 4, 4], stem: 4, embedding: 16 }
  training: { epochs: 2, batch: 20 }
  verification: { pairs: 40 }
students:
  - name: t
    network: best
    training: { epochs: 2, batch: 16 }
    verification: { pairs: 40 }
    distillation: { weigth: 3 }
`;
  const text = await refusal(plan);
  assert.match(text, /^teacher\.training\.batch: batch 20/m);
  assert.match(text, /^students\.0\.distillation\.weigth: unknown key/m);
  const fixed = { 'teacher.training.batch': '16', 'students.0.distillation': '{}' };
  const second = await refusal(plan, fixed);
  assert.match(second, /students\.0\.name: t is the name of another run/);
  assert.match(
    second,
    /students\.0\.network: best names the winner of a search, and this plan has no search/,
  );
  const network = '{ kind: pocketnet, channels: 2, layers: 4, embedding: 32 }';
  assert.match(
    await refusal(plan, { ...fixed, 'students.0.name': 's', 'students.0.network': network }),
    /students\.0\.network: embedding 32 differs from the teacher's 16/,
  );
  const wide = { ...fixed, 'students.0.name': 's', 'students.0.network': network.replace('32', '16') };
  assert.match(
    await refusal(plan, { ...wide, 'students.0.workers': '{ max: 9 }' }),
    /^students\.0\.workers\.max: 9 workers cannot share 8 shards/,
  );
  assert.equal((await check(plan, wide))[0]?.kind, 'plan');
  assert.match(
    await refusal(plan, { ...wide, 'students.0.training.batch': '80' }),
    /^students\.0\.training\.batch: 80 images a step, but there are only 64 training images/,
  );
  assert.match(
    await refusal(plan, { ...wide, 'teacher.verification.pairs': '600' }),
    /^teacher\.verification\.pairs: 600 pairs need 300 different genuine ones.*at most 220/,
  );
});

test('what the data refuse is told of all documents at once, in the order of the text', async () => {
  const large = RUN.replace('batch: 16', 'batch: 80');
  const pairs = `---\n${RUN.replace('pairs: 40', 'pairs: 600').replace('name: t', 'name: u')}`;
  const told = (await refusal(`${large}${pairs}`)).split('\n');
  assert.match(told[0]!, /^training\.batch: 80 images a step, but there are only 64/);
  assert.match(told[1]!, /^verification\.pairs: 600 pairs need 300/);
  assert.equal(told.length, 2);
});

test('a student names a teacher of the same text or a run of the fleet, with the same embedding', async () => {
  const student = RUN.replace('kind: teacher\nname: t', 'kind: student\nname: s');
  const text = `${student}distillation: { teacher: t }\n---\n${RUN}`;
  assert.deepEqual(
    (await check(text)).map((document) => document.kind),
    ['run', 'run'],
  );
  const apart = text.replace('embedding: 16', 'embedding: 32');
  assert.match(await refusal(apart), /^network\.embedding: 32 differs from the 16 of teacher t/);
  const { state } = step(
    initialState,
    { kind: 'submit', documents: [{ kind: 'run', spec: teacher(), facts: FACTS }] },
    { now: 1, connected: connections() },
  );
  assert.equal((await check(`${student}distillation: { teacher: run-1 }`, {}, state)).length, 1);
  const ended = step(
    state,
    { kind: 'cancel', id: 'run-1', reason: 'no' },
    { now: 2, connected: connections() },
  );
  assert.match(
    await refusal(`${student}distillation: { teacher: run-1 }`, {}, ended.state),
    /run-1 was cancelled: no/,
  );
  // Before anything is made, as the decision itself would refuse it: of each student, with its place.
  const fleet = core(1);
  fleet.give({ kind: 'submit', documents: [{ kind: 'run', spec: teacher(), facts: FACTS }] });
  for (const stage of [1, 2]) fleet.checkpoint('run-1', stage);
  fleet.finish('run-1');
  for (const stage of [1, 2]) fleet.give({ kind: 'drop', runId: 'run-1', stage, reason: '' });
  const two = `${student}distillation: { teacher: run-1 }\n---\n${student}distillation: { teacher: run-1, schedule: [2, 2] }`;
  assert.deepEqual((await refusal(two, {}, fleet.state)).split('\n'), [
    'distillation.teacher: stages 1, 2 of run-1 are not kept any more (checkpoints.keep decides that), and a multi-step student learns from them',
    'distillation.teacher: stage 2 of run-1 is not kept any more (checkpoints.keep decides that), and a student with this list of stages learns from it',
  ]);
});

test('students cannot learn from each other in a circle, nor from themselves, a search or another student', async () => {
  const student = (name: string, teacher: string) =>
    `${RUN.replace('kind: teacher\nname: t', `kind: student\nname: ${name}`)}distillation: { teacher: ${teacher} }\n`;
  const circle = await refusal(`${student('a', 'b')}---\n${student('b', 'a')}`);
  assert.deepEqual(circle.split('\n'), [
    'distillation.teacher: b is a student of this text, not a teacher',
    'distillation.teacher: a is a student of this text, not a teacher',
  ]);
  assert.equal(
    await refusal(student('a', 'a')),
    'distillation.teacher: a is the student itself, not a teacher',
  );
  assert.equal(
    await refusal(`${student('a', 'cells')}---${SEARCH}`),
    'distillation.teacher: cells is a search of this text, not a teacher',
  );
  const spec = { ...teacher(), kind: 'candidate' as const };
  const { state } = step(
    initialState,
    { kind: 'submit', documents: [{ kind: 'run', spec, facts: FACTS }] },
    { now: 1, connected: connections() },
  );
  assert.match(
    await refusal(student('a', 'run-1'), {}, state),
    /^distillation\.teacher: run-1 is a candidate, not a teacher$/,
  );
});

test('a stage that the teacher does not have, and people it was trained on, are refused by field', async () => {
  const student = RUN.replace('kind: teacher\nname: t', 'kind: student\nname: s');
  const listed = `${student}distillation: { teacher: t, schedule: [1, 9] }\n---\n${RUN}`;
  assert.match(
    await refusal(listed),
    /^distillation\.schedule\.1: stage 9 of a teacher that has 2 stages, one an epoch/,
  );
  const taught = (holdout: number) =>
    `${student}distillation: { teacher: t }\n---\n${RUN.replace(/holdout: \d+/, `holdout: ${holdout}`)}`;
  assert.match(
    await refusal(taught(2)),
    /^data\.holdout: teacher t was trained on 2 of the 4 people that are held out here/,
  );
  assert.equal((await check(taught(6))).length, 2, 'a teacher may hold out more');
});

test('rows of images for which no worker has room are refused where they are asked for, of runs, searches and plans', async () => {
  // 64 images and their mirror images, 16 floats and a mark each.
  const bytes = 64 * 2 * (16 * 4 + 1);
  const refusalWith = async (yaml: string, imageRowsBytes: number) => {
    const checks = { reader, inspect: inspectData, imageRowsBytes };
    const checked = checkSubmission({ yaml, baseDir: folder, overrides: {} }, () => initialState, checks);
    return checked.then(
      () => '',
      (caught: FleetError) => `${caught.code} ${problemsIn(caught)[0]?.path}: ${caught.message}`,
    );
  };
  const asks = 'distillation: { teacher: t, embed: by-image }';
  const size = 'network: { kind: pocketnet, channels: 2, layers: 4, embedding: 16 }';
  const training = 'training: { epochs: 2, batch: 16 }';
  const data = 'data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }';
  const adapted = asks.replace('}', ', adapter: linear }');
  const small = RUN.replace('embedding: 16', 'embedding: 8').replace('name: t', 'name: s');
  const search = `space: { channels: 2, layers: 4, embedding: 16 }\nstrategy: { trials: 2 }\nevaluation: { ${training}, verification: { pairs: 40 }, ${asks} }\n`;
  const rest = `${training}, verification: { pairs: 40 }`;
  const texts: readonly (readonly [field: string, yaml: string])[] = [
    [
      'distillation.embed',
      `${RUN}---${RUN.replace('kind: teacher', 'kind: student').replace('name: t', 'name: s')}${asks}\n`,
    ],
    ['distillation.embed', `${RUN}---${small.replace('kind: teacher', 'kind: student')}${adapted}\n`],
    ['evaluation.distillation.embed', `${RUN}---\nkind: sweep\nname: w\n${data}\n${search}`],
    [
      'students.0.distillation.embed',
      `kind: plan\nname: p\n${data}\nteacher: { name: t, ${size}, ${rest} }\nstudents: [{ name: s, ${size}, ${rest}, ${asks} }]\n`,
    ],
  ];
  for (const [field, yaml] of texts) {
    assert.equal(await refusalWith(yaml, bytes), '', field);
    const refused = await refusalWith(yaml, bytes - 1);
    assert.match(
      refused,
      new RegExp(
        `^failedPrecondition ${field}: .*by-image keeps 8\\.1 KiB for a stage of the teacher \\(64 images and their mirror images\\), and a worker keeps at most 8\\.1 KiB`,
        's',
      ),
    );
  }
});

test('a text that is no YAML, empty, or overridden where nothing is, is refused with the place', async () => {
  assert.match(await refusal('kind: [unclosed'), /not YAML/);
  assert.match(await refusal('# nothing\n'), /no document/);
  assert.match(await refusal(RUN, { 'name.first': '1' }), /^name\.first: name is not a mapping or list/);
  assert.match(await refusal(RUN, { '__proto__.x': '1' }), /is no dotted path/);
  assert.equal(({} as { x?: unknown }).x, undefined);
  const bomb = `a: &a [x, x, x]\nb: &b [${'*a, '.repeat(50)}]\nc: [${'*b, '.repeat(50)}]\n`;
  assert.match(await refusal(bomb), /alias/);
});

test('the costs of a space that is searched are at hand before the decision about it', async () => {
  const space = 'space: { channels: 2, layers: 4, embedding: 323 }\nstrategy: { trials: 2 }';
  const data = RUN.slice(RUN.indexOf('data:'), RUN.indexOf('training:'));
  const evaluation = 'evaluation:\n  training: { epochs: 2, batch: 16 }\n  verification: { pairs: 40 }\n';
  const [document] = await check(`kind: sweep\nname: s\n${space}\n${data}${evaluation}`);
  assert.ok(document?.kind === 'sweep' && cellCosts.has(document.spec.space));
});

test('a search that cannot be what its spec says is refused by the field, and nothing is made', async () => {
  const data = RUN.slice(RUN.indexOf('data:'), RUN.indexOf('training:'));
  const rest = `${data}evaluation:\n  training: { epochs: 2, batch: 16 }\n  verification: { pairs: 40 }\n`;
  const refused = (strategy: string, more = '') =>
    refusal(
      `kind: sweep\nname: s\nspace: { channels: 2, layers: 4, embedding: 16 }\nstrategy: ${strategy}\n${more}${rest}`,
    );
  assert.match(
    await refused('{ kind: evolutoin, trials: 9 }'),
    /strategy\.kind: unknown kind "?evolutoin"?; one of random, grid, evolution, .*evolution/,
  );
  assert.match(
    await refused('{ kind: evolution, trials: 9, population: 20 }'),
    /strategy\.population: .* above the trials/,
  );
  assert.match(await refused('{ kind: nsga2, trials: 9 }'), /strategy\.population: .* above the trials/);
  assert.match(
    await refused('{ kind: evolution, trials: 90, sample: 80 }'),
    /strategy\.sample: .* above the population/,
  );
  assert.match(await refused('{ kind: random, trials: 9, lag: 3 }'), /strategy\.lag: unknown key/);
  assert.match(
    await refused('{ trials: 9 }', 'objectives: [{ name: parameters }]\n'),
    /objectives\.0\.direction: is missing; an objective other than accuracy says maximise or minimise/,
  );
  assert.match(
    await refused('{ kind: asha, trials: 9, epochsMin: 3 }'),
    /strategy\.epochsMin: the lowest rung has 3 epochs, above the 2 of the full evaluation/,
  );
  assert.match(await refused('{ kind: asha, trials: 9, eta: 1.5 }'), /strategy\.eta: .*at least 2/);
  assert.match(
    await refused('{ kind: asha, trials: 9, fractionMin: 0.5 }'),
    /strategy\.fractionMin: .*fidelity: images or width/,
  );
  assert.match(
    await refused('{ kind: asha, trials: 9, atRungs: go-on }'),
    /strategy\.atRungs: go-on is for mode: stop/,
  );
  assert.match(
    await refused('{ kind: hyperband, trials: 9, fidelity: width, eta: 2 }'),
    /strategy\.fractionMin: of 2 channels the rungs 0\.25 and 0\.5 have 2 both/,
  );
  assert.match(
    await refused('{ kind: asha, trials: 9, fidelity: images, fractionMin: 0.01 }'),
    /evaluation\.training\.batch: 16 images a step, but there are only 1 training images in 0\.0100 of them/,
  );
  const two = 'objectives: [{ name: accuracy }, { name: mflops, direction: minimise }]\n';
  assert.match(
    await refused('{ kind: tpe, trials: 90 }', two),
    /objectives: tpe looks for one objective; nsga2/,
  );
  assert.match(
    await refused('{ kind: tpe, trials: 90, from: sweep-9 }'),
    /^strategy\.from: "sweep-9" is no sweep of this fleet/,
  );
  assert.match(await refused('{ kind: asha, trials: 9, from: sweep-9 }'), /^strategy\.from: unknown key/);
  assert.match(
    await refused('{ kind: grid, trials: 9, axes: { normal.1.lower: [conv_9x9] } }'),
    /strategy\.axes\.normal\.1\.lower: "conv_9x9" is outside the space/,
  );
});

test('what the limits of an owner never allow is refused with its line, all of a text at once, before its data are looked at', async () => {
  const limited = {
    ...initialState,
    quotas: { alice: { workers: 2, openTrials: 3, windowHours: 24 } },
  };
  const wide = `${RUN.trim()}\nworkers: { min: 4, max: 4 }\n`;
  const search = `
kind: sweep
name: s
space: { channels: 2, layers: 4, embedding: 16 }
strategy: { trials: 6 }
evaluation: { training: { epochs: 2, batch: 16 } }
parallelism: 5
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
`;
  const by = { name: 'alice', role: 'submit', fingerprint: 'f' } as const;
  const submit = (yaml: string, overrides: Record<string, string> = {}) =>
    checkSubmission({ yaml, baseDir: folder, overrides }, () => limited, {
      reader,
      by,
      inspect: () => assert.fail('the data were looked at'),
    });
  await assert.rejects(submit(`${wide}---${search}`), {
    code: 'failedPrecondition',
    message: [
      'yaml:7:17: workers.min: 4 workers at once, and the quota of alice is 2; ask for 2 at most, or have the quota raised',
      'yaml:14:14: parallelism: 5 open trials at once, and the quota of alice is 3; ask for 3 at most, or have the quota raised',
    ].join('\n'),
  });
  await assert.rejects(
    submit(search, { parallelism: '4' }),
    /^FleetError: override parallelism: 4 open trials/,
  );
});

const SEARCH = `
kind: search
name: cells
supernet: { channels: 2, layers: 4 }
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
search: { epochs: 3, batch: 16, shards: 4 }
`;

test('a search whose smaller half has no batch is refused, and so is a run with the section of a search', async () => {
  const [search] = await check(SEARCH);
  assert.ok(search?.kind === 'run' && search.spec.kind === 'search');
  // 8 people x 8 images: 32 in each half.
  assert.equal(
    await refusal(SEARCH, { 'search.batch': '64' }),
    'search.batch: 64 images of each half a step, but of 64 training images the smaller half has 32; an epoch needs at least one step of its own',
  );
  const strict = `${SEARCH}halves: { stratify: strict }\n`;
  assert.equal((await check(strict)).length, 1);
  assert.match(
    await refusal(strict, { 'data.images': '3', 'search.batch': '8' }),
    /^halves\.stratify: strict takes 4 images of each person, two in each half, and 8 people have 24 training images together/,
  );
  assert.match(
    await refusal(`${RUN}search: { supernet: {}, halves: {} }\n`),
    /^search: is of a document of kind: search/,
  );
});

test('the search of a plan may be of kind search: its halves, its cells and its kind are checked by their fields', async () => {
  const text = `
kind: plan
name: cells
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
search: { kind: search, supernet: { channels: 2, layers: 4 }, search: { epochs: 3, batch: 16, shards: 4 }, workers: { max: 4 } }
students:
  - { name: small, network: { kind: pocketnet, channels: 2, layers: 5, embedding: 16, genotype: best }, training: { epochs: 1, batch: 16, shards: 4 }, verification: { pairs: 20 } }
`;
  const [plan] = await check(text);
  assert.ok(plan?.kind === 'plan' && plan.spec.search?.kind === 'search');
  assert.match(
    await refusal(text, { 'search.search.batch': '64' }),
    /^search\.search\.batch: 64 images of each half a step/,
  );
  assert.match(
    await refusal(text, {
      'search.halves.stratify': 'strict',
      'data.images': '3',
      'search.search.batch': '8',
    }),
    /^search\.halves\.stratify: strict takes 4 images/,
  );
  assert.match(await refusal(text, { 'search.kind': 'sweeep' }), /^search\.kind: unknown kind "sweeep"/);
  assert.match(
    await refusal(text, { 'search.search.variant': 'darst' }),
    /^search\.search\.variant: unknown variant "darst"; one of noleak/,
  );
  assert.match(
    await refusal(text, { 'students.0.network': '{ kind: pocketnet, genotype: casa }' }),
    /^students\.0\.network\.genotype: casa is neither a published genotype/,
  );
});

/** A search with two epochs behind it. */
const searchedState = async (end: 'running' | 'failed' | 'done'): Promise<State> =>
  folded(await eventsOfSearch(end));

async function eventsOfSearch(end: 'running' | 'failed' | 'done'): Promise<Event[]> {
  const [search] = await check(SEARCH);
  assert.ok(search?.kind === 'run');
  const { spec, facts } = search;
  const costs = { parameters: 1, mflops: 1, multiplyAdds: 1 };
  const stored = (stage: number, genotype: string): Decided => ({
    ...{
      kind: 'run.checkpointed',
      runId: 'run-1',
      stage,
      step: 2 * stage,
      bytes: 1,
      digest: 'd',
      workerId: 'w1',
    },
    found: { genotype, skips: 0, trainingLoss: 1 },
  });
  const { event, digest } = recorded(spec);
  const decided: Decided[] = [
    event,
    { kind: 'run.created', runId: 'run-1', spec: digest, facts, costs, reason: 'submitted' },
    stored(1, keyOfCode(codeOf(GENOTYPES.cifar10))),
    stored(2, keyOfCode(codeOf(GENOTYPES.casia))),
    ...(end === 'failed'
      ? [{ kind: 'run.failed', runId: 'run-1', cause: 'user', reason: 'by test' } as const]
      : end === 'done'
        ? [
            {
              kind: 'run.finished',
              runId: 'run-1',
              generation: 1,
              step: 6,
              weightsDigest: 'w',
              workerId: 'w1',
            } as const,
          ]
        : []),
  ];
  return decided.map((one, i) => ({ ...one, atMs: i }) as Event);
}

test('a network takes the genotype that a search has found, at its end or at an epoch', async () => {
  const of = (genotype: string) => RUN.replace('embedding: 16', `embedding: 16, genotype: ${genotype}`);
  const taken = async (genotype: string, state: State) => {
    const [run] = await check(of(genotype), {}, state);
    assert.ok(run?.kind === 'run' && run.spec.network.kind === 'pocketnet');
    return run.spec.network.genotype;
  };
  const [done, failed, running] = await Promise.all(
    (['done', 'failed', 'running'] as const).map(searchedState),
  );
  assert.deepEqual(await taken('cells', done!), GENOTYPES.casia);
  assert.deepEqual(await taken('run-1@1', failed!), GENOTYPES.cifar10);
  assert.match(
    await refusal(of('cells'), {}, failed),
    /^network\.genotype: search run-1 has failed; run-1@2 takes/,
  );
  assert.match(
    await refusal(of('run-1'), {}, running),
    /^network\.genotype: search run-1 goes on; run-1@2 takes/,
  );
  assert.match(await refusal(of('cells@7'), {}, done), /has the epochs 1 to 2 of 3 behind it, not 7/);
  assert.match(await refusal(of('casa')), /^network\.genotype: casa is neither a published genotype/);
  assert.match(await refusal(of('Casia')), /^network\.genotype/);
});

test('a grid begins with the cells that a search has found, which have to be in its space', async () => {
  const sweep = `
kind: sweep
name: around
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
space: { channels: 2, layers: 4, embedding: 16 }
strategy: { kind: grid, trials: 2, base: cells, axes: { normal.3.lower: [dw_conv_3x3, skip_connect] } }
evaluation: { training: { epochs: 1, batch: 16, shards: 4 }, verification: { pairs: 20 } }
`;
  const done = await searchedState('done');
  const [taken] = await check(sweep, {}, done);
  assert.ok(taken?.kind === 'sweep' && taken.spec.strategy.kind === 'grid');
  assert.deepEqual(taken.spec.strategy.base, GENOTYPES.casia);
  assert.match(
    await refusal(sweep, { 'strategy.base': 'cells@7' }, done),
    /^strategy\.base: search run-1 has the epochs 1 to 2 of 3 behind it, not 7/,
  );
  assert.match(
    await refusal(sweep, { 'space.ops': '[dw_conv_3x3, skip_connect]' }, done),
    /^strategy\.base: the genotype is outside the space, whose operations are dw_conv_3x3, skip_connect/,
  );
  assert.match(await refusal(sweep), /^strategy\.base: cells is neither a published genotype/);
});

test('a one-shot sweep gets what its candidates inherit at submit, and is refused where there is nothing to inherit', async () => {
  const sweep = `
kind: sweep
name: ranked
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
space: { channels: 2, layers: 4, embedding: 16 }
strategy: { kind: one-shot, supernet: cells, trials: 20, calibration: 3 }
evaluation: { training: { epochs: 1, batch: 16, shards: 4 }, verification: { pairs: 20 } }
`;
  const [done, failed, running] = await Promise.all(
    (['done', 'failed', 'running'] as const).map(searchedState),
  );
  const inherited = async (state: State, named = 'cells') => {
    const [taken] = await check(sweep, { 'strategy.supernet': named }, state);
    assert.ok(taken?.kind === 'sweep' && taken.spec.strategy.kind === 'one-shot');
    return taken.spec.strategy.inherits!;
  };
  const { run, stage, digest, calibration, supernet, batch } = await inherited(done!);
  assert.deepEqual(
    { run, stage, digest, calibration },
    { run: 'run-1', stage: 2, digest: 'd', calibration: 3 },
  );
  const { search, training } = runOf(done!, 'run-1').job;
  assert.deepEqual(supernet, search?.supernet);
  assert.equal(batch, training.batch / training.shards);
  assert.equal((await inherited(failed!, 'run-1@1')).stage, 1);
  const refused = async (change: Record<string, string>, state: State | undefined, reason: RegExp) =>
    assert.match(await refusal(sweep, change, state), reason);
  await refused({}, undefined, /^strategy\.supernet: cells is no search of this fleet/);
  await refused({}, failed, /^strategy\.supernet: search run-1 is failed; run-1@2 takes the weights/);
  await refused({}, running, /^strategy\.supernet: search run-1 goes on; wait for its end/);
  await refused({ 'strategy.supernet': 'cells@2' }, running, /^strategy\.supernet: .* keep it first: /);
  await refused({ 'strategy.supernet': 'cells@7' }, done, /^strategy\.supernet: .* the epochs 1 to 2 of 3/);
  await refused({ 'strategy.supernet': 'cells@x' }, done, /^strategy\.supernet: x is no epoch of run-1/);
  await refused({ 'data.seed': '9' }, done, /^strategy\.supernet: run-1 was trained on other data/);
  await refused(
    { 'data.holdout': '5' },
    done,
    /^strategy\.supernet: run-1 holds out 4 people and this sweep 5/,
  );
  await refused({ 'strategy.inherits': '{ run: x }' }, done, /^strategy\.inherits/);
  await refused({ screening: '{ score: synflow }' }, done, /^screening: a one-shot search evaluates every/);
  await refused(
    { objectives: '[{ name: accuracy }, { name: mflops, direction: minimise }]' },
    done,
    /^objectives: one-shot looks for one objective/,
  );
  await refused(
    { 'evaluation.distillation': '{ teacher: t }' },
    done,
    /evaluation\.distillation: a one-shot search compares inherited weights/,
  );
  const dropped = folded([
    ...(await eventsOfSearch('done')),
    { kind: 'stage.dropped', runId: 'run-1', parts: 'all', reason: 'by request', atMs: 99 } as Event,
  ]);
  await refused({}, dropped, /^strategy\.supernet: stage 2 of run-1 is not kept any more/);
});

test('what a search is inherited for stays: its stage is not let go, and it is not removed', async () => {
  const events = await eventsOfSearch('done');
  const state = folded(events);
  const [sweep] = await check(
    `
kind: sweep
name: ranked
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
space: { channels: 2, layers: 4, embedding: 16 }
strategy: { kind: one-shot, supernet: cells, trials: 20 }
evaluation: { training: { epochs: 1, batch: 16, shards: 4 }, verification: { pairs: 20 } }
`,
    {},
    state,
  );
  const connected = connections(new Set<string>());
  const after = step(state, { kind: 'submit', documents: [sweep!] }, { now: 100, connected }).state;
  const give = (input: Parameters<typeof step>[1]) => step(after, input, { now: 200, connected });
  assert.throws(
    () => give({ kind: 'remove', id: 'run-1', reason: '' }),
    /the candidates of sweep-1 inherit the weights of run-1/,
  );
  assert.throws(
    () => give({ kind: 'drop', runId: 'run-1', stage: 2, reason: '' }),
    /stage 2 of run-1 is needed by sweep-1/,
  );
});
