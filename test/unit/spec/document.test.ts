// Claims about core/spec/document.ts: what is refused, and that the refusal names the field and the reason.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { canonicalJson } from '../../../core/spec/canonical-json.ts';
import { documentSchema } from '../../../core/spec/document.ts';
import { genotypeSchema } from '../../../core/spec/network.ts';
import { runSchema } from '../../../core/spec/run.ts';
import { trainingSchema } from '../../../core/spec/training.ts';
import { checkShape } from '../../../core/text/shape.ts';

const edges = (...inputs: [number, number][]) =>
  inputs.map(([a, b]) => [
    ['dw_conv_3x3', a],
    ['skip_connect', b],
  ]);
const good = { normal: edges([0, 1], [0, 1], [0, 1], [0, 1]), reduce: edges([0, 1], [1, 2], [2, 3], [3, 4]) };

function refusal(schema: z.ZodType, value: unknown): string {
  const parsed = schema.safeParse(value);
  assert.equal(parsed.success, false, 'must be refused');
  return z.prettifyError(parsed.error!);
}

test('a genotype with an unknown op is refused with the op and the known ones', () => {
  const bad = structuredClone(good);
  bad.normal[1]![0]![0] = 'sep_conv_9x9';
  const text = refusal(genotypeSchema, bad);
  assert.match(text, /sep_conv_9x9/);
  assert.match(text, /dw_conv_7x7/);
  assert.match(text, /normal\[1\]\[0\]/);
});

test('an edge to a later node is refused with the node and the inputs it may take', () => {
  const bad = structuredClone(good);
  bad.reduce[0]![1]![1] = 3;
  const text = refusal(genotypeSchema, bad);
  assert.match(text, /node 0 takes input 3/);
  assert.match(text, /0\.\.1/);
});

test('a batch that the shards do not divide is refused with both numbers', () => {
  assert.match(
    refusal(trainingSchema, { epochs: 1, batch: 30, shards: 8 }),
    /batch 30 is not divisible by 8 shards/,
  );
  assert.match(refusal(trainingSchema, { epochs: 1, batch: 24, shards: 6 }), /6 is not a power of two/);
  assert.match(refusal(trainingSchema, { epochs: 1, batch: 8, shards: 8 }), /at least 2/);
});

test('an unknown compression is refused with the known ones', () => {
  assert.match(
    refusal(trainingSchema, { epochs: 1, batch: 16, compression: 'fp8' }),
    /"none"\|"bf16"\|"int8".*at compression/s,
  );
});

test('outer steps with a wrong number or of an unknown kind are refused with the field and the reason', () => {
  const refused = (sync: unknown) => refusal(trainingSchema, { epochs: 1, batch: 16, sync });
  assert.match(refused({ kind: 'outer', every: 0 }), />=1\n.*sync\.every/);
  assert.match(refused({ kind: 'outer', every: 2.5 }), /expected int.*\n.*sync\.every/);
  assert.match(refused({ kind: 'outer' }), /sync\.every/);
  assert.match(refused({ kind: 'outer', every: 4, learningRate: 0 }), />0\n.*sync\.learningRate/);
  assert.match(refused({ kind: 'outer', every: 4, learningRate: 11 }), /<=10\n.*sync\.learningRate/);
  assert.match(refused({ kind: 'outer', every: 4, momentum: 1 }), /<1\n.*sync\.momentum/);
  assert.match(refused({ kind: 'diloco' }), /unknown sync "diloco"; one of every-step, outer\n.*sync\.kind/);
  assert.match(refused({ kind: 'every-step', every: 4 }), /Unrecognized key: "every"/);
  const both = { epochs: 1, batch: 16, head: 'sharded', sync: { kind: 'outer', every: 4 } };
  assert.match(refusal(trainingSchema, both), /exchanges embeddings in every step.*\n.*head/);
});

test('an unknown key is refused by name', () => {
  assert.match(refusal(trainingSchema, { epochs: 1, batch: 16, learning_rate: 1 }), /learning_rate/);
});

test('a distilling plan whose embedding sizes differ is refused', () => {
  const plan = {
    kind: 'plan',
    name: 'p',
    data: { kind: 'synthetic', identities: 8, images: 4, holdout: 2 },
    teacher: {
      name: 't',
      network: { kind: 'iresnet', blocks: [1, 1, 1, 1], embedding: 16 },
      training: { epochs: 1, batch: 16 },
    },
    students: [
      {
        name: 's',
        network: { kind: 'pocketnet', embedding: 8 },
        training: { epochs: 1, batch: 16 },
        distillation: {},
      },
    ],
  };
  assert.match(refusal(documentSchema, plan), /embedding 8 differs from the teacher's 16/);
});

test('every example is a document that submit takes', () => {
  const folder = new URL('../../../examples/', import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  assert.ok(files.includes('far-apart.yaml') && files.length >= 6);
  for (const file of files)
    for (const document of parseAllDocuments(readFileSync(new URL(file, folder), 'utf8'))) {
      const parsed = documentSchema.safeParse(document.toJS({ merge: true }));
      assert.ok(parsed.success, `${file}: ${parsed.error && z.prettifyError(parsed.error)}`);
    }
});

test('more workers than shards are refused', () => {
  const run = {
    kind: 'candidate',
    name: 'c',
    network: { kind: 'pocketnet' },
    data: { kind: 'synthetic', identities: 8, images: 4, holdout: 2 },
    training: { epochs: 1, batch: 8, shards: 2 },
    workers: { min: 1, max: 3 },
  };
  assert.match(refusal(runSchema, run), /3 workers cannot share 2 shards/);
});

test('equal specs have equal canonical texts whatever the order of their keys', () => {
  assert.equal(
    canonicalJson({ b: [1, { d: 1, c: undefined }], a: 'x' }),
    canonicalJson({ a: 'x', b: [1, { d: 1 }] }),
  );
});

test('rules over several fields are told with what is wrong by itself, and not where a field that they need is wrong', () => {
  const network = { kind: 'pocketnet', channels: 2, layers: 4, embedding: 16 };
  const training = { epochs: 'two', batch: 20, shards: 8, sharts: 1, negatives: 0.5 };
  const run = {
    kind: 'teacher',
    name: 't',
    network,
    training,
    data: { kind: 'synthetic', identities: 12, images: 8, holdout: 4 },
    workers: { min: 9, max: 3 },
  };
  const told = (value: unknown) => {
    const checked = checkShape(documentSchema, value);
    assert.ok(!checked.ok);
    return checked.problems.map(({ path }) => path.join('.')).sort();
  };
  assert.deepEqual(told(run), [
    ...['training.batch', 'training.epochs', 'training.negatives', 'training.sharts', 'workers.max'],
  ]);
  assert.deepEqual(
    told({ ...run, training: { epochs: 2, batch: 20, shards: 'eight' }, workers: { min: 1, max: 12 } }),
    ['training.shards'],
  );
  const student = { name: 't', network: 'best', training: { epochs: 1, batch: 'all' } };
  const plan = {
    kind: 'plan',
    name: 'p',
    data: { kind: 'synthetic', identities: 12, images: 8, holdout: 4 },
    pritority: 3,
    students: [student, student],
  };
  assert.deepEqual(told(plan), [
    ...['pritority', 'students.0.network', 'students.0.training.batch'],
    ...['students.1.name', 'students.1.network', 'students.1.training.batch'],
  ]);
});
