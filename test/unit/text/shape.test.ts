import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { coordinatorConfigSchema, workerConfigSchema } from '../../../core/config.ts';
import { GENOTYPES } from '../../../core/nn/genotype.ts';
import { documentSchema } from '../../../core/spec/document.ts';
import { OPS } from '../../../core/spec/network.ts';
import { checkShape, sentence, sentences } from '../../../core/text/shape.ts';

const TRAINING = { epochs: 2, batch: 16, sync: { kind: 'outer', every: 4 } };
const SYNTHETIC = { kind: 'synthetic', identities: 12, images: 8, holdout: 4 };
const NETWORKS = [
  { kind: 'pocketnet', genotype: GENOTYPES.casia },
  { kind: 'iresnet', blocks: [1, 1, 1, 1] },
  { kind: 'mobilefacenet' },
];
/** Together they have every field that a document can have. */
const DOCUMENTS: readonly unknown[] = [
  {
    kind: 'plan',
    name: 'p',
    data: { kind: 'folder', path: '/faces', holdout: 4 },
    search: {
      space: {},
      strategy: { trials: 2 },
      evaluation: { training: TRAINING },
      constraints: { parametersMax: 1, mflopsMax: 1 },
    },
    teacher: { name: 't', network: NETWORKS[1], training: TRAINING },
    students: NETWORKS.slice(1)
      .reverse()
      .map((network, i) => ({
        name: `s${i}`,
        network,
        training: { ...TRAINING, sync: { kind: 'every-step' }, head: 'sharded', negatives: 0.5 },
        distillation: {},
      })),
    export: {},
  },
  {
    kind: 'sweep',
    name: 's',
    space: {},
    strategy: { trials: 2 },
    evaluation: { training: TRAINING },
    data: SYNTHETIC,
  },
  ...NETWORKS.map((network, i) => ({
    kind: 'student',
    name: `r${i}`,
    network,
    data: i === 0 ? SYNTHETIC : { kind: 'recordio', path: '/pack', holdout: 4 },
    training: TRAINING,
    distillation: { teacher: 'run-1' },
  })),
];

const WRONG: readonly unknown[] = [
  'sixty',
  '',
  'x'.repeat(5000),
  '\u001b[31m',
  -1,
  0,
  1.5,
  1e12,
  1e300,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  null,
  true,
  [],
  [1],
  {},
  { kind: 'x' },
  { odd: 1 },
  undefined,
];

type Path = readonly (string | number)[];

function* paths(value: unknown, at: Path = []): Generator<Path> {
  yield at;
  if (typeof value !== 'object' || value === null) return;
  // The entries of a list are alike.
  for (const key of Object.keys(value).slice(0, Array.isArray(value) ? 1 : undefined))
    yield* paths((value as Record<string, unknown>)[key], [...at, Array.isArray(value) ? Number(key) : key]);
}

function changed(value: unknown, path: Path, to: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return to;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, unknown>;
  const next = changed(copy[key], rest, to);
  if (next === undefined) delete copy[key];
  else copy[key] = next;
  return copy;
}

/** zod's own words, and signs of a value that was shown as it is. */
const FOREIGN =
  /invalid|received|unrecognized|too (big|small)|must (match|be)|\[object|undefined|NaN:|\p{Cc}/iu;

function assertWorded(found: string): void {
  assert.doesNotMatch(found, FOREIGN);
  assert.match(found, /^[\w.-]+: \S.+|^and \d+ more$/, found);
  assert.ok(found.length < 500, `${found.length} characters: ${found.slice(0, 600)}`);
}

test('whatever stands in any field of a document, it is refused in our own words or taken', () => {
  let refused = 0;
  for (const document of DOCUMENTS) {
    const whole = checkShape(documentSchema, document);
    assert.ok(whole.ok, JSON.stringify(whole));
    // The filled-in value has the defaults too, so that each of their fields is tried.
    for (const path of paths(whole.data))
      for (const wrong of WRONG) {
        const result = checkShape(documentSchema, changed(whole.data, path, wrong));
        if (result.ok) continue;
        refused += 1;
        for (const problem of result.problems) assertWorded(sentence(problem));
      }
  }
  assert.ok(refused > 2000, `${refused} refusals`);
});

test('whatever stands in any setting of a program, it is refused in our own words or taken', () => {
  for (const schema of [coordinatorConfigSchema, workerConfigSchema])
    for (const key of Object.keys(schema.shape))
      for (const wrong of WRONG) {
        const result = checkShape(schema, {
          ...(schema === workerConfigSchema ? { id: 'w' } : {}),
          [key]: wrong,
        });
        if (!result.ok) for (const problem of result.problems) assertWorded(sentence(problem));
      }
});

const first = (schema: z.ZodType, value: unknown): string => {
  const result = checkShape(schema, value);
  assert.ok(!result.ok);
  return sentence(result.problems[0]!);
};

test('a sentence has what was expected, what was found and the nearest name', () => {
  const run = DOCUMENTS[2];
  const withField = (path: Path, value: unknown) => first(documentSchema, changed(run, path, value));
  assert.equal(
    withField(['training', 'batch'], 'sixty'),
    'training.batch: expected a whole number, found "sixty"',
  );
  assert.equal(withField(['training', 'epochs'], 0), 'training.epochs: expected at least 1, found 0');
  assert.equal(withField(['training', 'shards'], 512), 'training.shards: expected at most 256, found 512');
  assert.equal(withField(['training', 'flip'], 'no'), 'training.flip: expected true or false, found "no"');
  assert.equal(withField(['training', 'epochs'], undefined), 'training.epochs: is missing (a whole number)');
  assert.equal(withField(['training'], [1]), 'training: expected a mapping, found a list of 1');
  assert.equal(
    withField(['training', 'compression'], 'int9'),
    'training.compression: expected one of none, bf16, int8, found "int9"; did you mean int8?',
  );
  assert.equal(
    withField(['training', 'optimizer'], { learnigRate: 1 }),
    'training.optimizer.learnigRate: unknown key; did you mean learningRate?',
  );
  assert.equal(
    withField(['training', 'learningRate'], 1),
    'training.learningRate: unknown key; did you mean optimizer.learningRate?',
  );
  assert.match(withField(['zzz'], 1), /^zzz: unknown key; known here: kind, name, network, data, training,/);
  assert.equal(
    withField(['data', 'kind'], 'foldr'),
    'data.kind: unknown kind "foldr"; one of synthetic, folder, recordio; did you mean folder?',
  );
  assert.equal(withField(['network'], 'vgg'), 'network: expected a mapping, found "vgg"');
  assert.equal(first(documentSchema, [1, 2]), 'document: expected a mapping, found a list of 2');
  assert.equal(first(documentSchema, 'hello'), 'document: expected a mapping, found "hello"');
  const plan = DOCUMENTS[0];
  assert.match(
    first(documentSchema, changed(plan, ['students', 1, 'network'], 'bset')),
    /^students\.1\.network: expected "best", or a mapping, found "bset"; did you mean best\?/,
  );
  assert.match(
    first(documentSchema, changed(plan, ['students', 1, 'network'], { kind: 'mobilenet' })),
    /^students\.1\.network\.kind: unknown kind "mobilenet"; one of pocketnet, iresnet, mobilefacenet; did you mean mobilefacenet\?/,
  );
  assert.match(
    withField(['name'], 'My Search'),
    /^name: lower-case letters, digits, . _ -, at most 63, starting with a letter or digit; found "My Search"/,
  );
  assert.match(
    withField(['network', 'genotype', 'normal', 0, 0, 0], 'max_pool_5x5'),
    new RegExp(`unknown op "max_pool_5x5"; one of ${OPS.slice(0, 2).join(', ')}`),
  );
});

test('many problems are told as twenty and a number, a hidden value never', () => {
  const keys = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, i]));
  const result = checkShape(z.strictObject({}), keys);
  assert.ok(!result.ok);
  const told = sentences(result.problems);
  assert.equal(told.length, 21);
  assert.equal(told.at(-1), 'and 19980 more');
  const secret = checkShape(
    z.object({ token: z.number() }),
    { token: 'hunter2' },
    ([key]) => key === 'token',
  );
  assert.ok(!secret.ok);
  assert.equal(sentence(secret.problems[0]!), 'token: expected a number, found another value');
});
