// How much room the checkpoints of a text would take.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { footprintsOf } from '../../../coordinator/cli/commands/footprints.ts';
import { reserveOf, sharesOf } from '../../../core/net/store-limits.ts';
import { documentOf, documentSchema } from '../../../core/spec/document.ts';
import { readYaml } from '../../../core/text/yaml-text.ts';

const plan = documentSchema.parse(
  readYaml(readFileSync(new URL('../../../examples/pocketnet-s128.yaml', import.meta.url), 'utf8'))[0]!.value,
);
/** MS1MV2, the authors' training data. */
const assumed = { classes: () => 85_742, workers: 4 };

test('the example writes 13.8 GB of its teacher when all is kept, and half of that under the usual policy', () => {
  assert.ok(plan.kind === 'plan');
  const [teacher, student] = footprintsOf([plan], assumed);
  // 66,496,192 weights and as many momenta, and running statistics, of 4 bytes each.
  const whole = Object.values(teacher!.parts).reduce((sum, bytes) => sum + bytes, 0);
  assert.equal(teacher!.parts.optimizer, 66_496_192 * 4);
  assert.ok(whole / 1e6 > 532 && whole / 1e6 < 533, `${whole}`);
  assert.ok(teacher!.parts.backbone! / 1e6 < 223);
  assert.deepEqual([teacher!.wholeStages, teacher!.networks], [3, 23]);
  assert.deepEqual([student!.wholeStages, student!.networks], [3, 0]);
  assert.ok(teacher!.bytes < 6.8e9 && student!.bytes < 0.3e9, `${teacher!.bytes} ${student!.bytes}`);
  const kept = { ...plan, teacher: { ...plan.teacher!, checkpoints: { keep: 'all' as const } } };
  const [all] = footprintsOf([kept], assumed);
  assert.ok(Math.abs(all!.bytes - 26 * whole) < 1e6);
});

test("the paper's two teachers and four students fit the chart's volume of 20 GB at once", () => {
  assert.ok(plan.kind === 'plan');
  const two = [128, 256].map((embedding) => ({
    ...plan,
    teacher: { ...plan.teacher!, network: { ...plan.teacher!.network, embedding } },
    students: [
      { channels: 16, layers: 18 },
      { channels: 32, layers: 9 },
    ].map((shape) => ({
      ...plan.students[0]!,
      network: { kind: 'pocketnet' as const, genotype: 'casia' as const, embedding, ...shape },
    })),
  }));
  const runs = footprintsOf(two, assumed);
  assert.deepEqual(
    runs.map(({ kind }) => kind),
    ['teacher', 'student', 'student', 'teacher', 'student', 'student'],
  );
  const bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
  const limit = 20 * 2 ** 30;
  const { artefacts } = sharesOf(limit, reserveOf(limit));
  assert.ok(bytes < artefacts, `${bytes} bytes of ${artefacts}`);
  assert.ok(bytes > 14e9 && bytes < 16.5e9, `${bytes} bytes`);
});

test('a search takes the room of the candidates that train at once and of its best, however many there are', () => {
  const sweep = documentSchema.parse({
    kind: 'sweep',
    name: 's',
    space: {},
    strategy: { trials: 10_000 },
    evaluation: { training: { epochs: 5, batch: 32, shards: 4 } },
    data: { kind: 'synthetic', identities: 100, images: 10, holdout: 10 },
  });
  const classes = () => 90;
  const [four] = footprintsOf([documentOf(sweep)], { classes, workers: 4 });
  assert.deepEqual([four!.kind, four!.wholeStages, four!.networks], ['candidate', 9, 0]);
  const [one] = footprintsOf([documentOf({ ...sweep, parallelism: 1 } as typeof sweep)], {
    classes,
    workers: 4,
  });
  assert.equal(one!.wholeStages, 3);
  const objectives = [{ name: 'accuracy' }, { name: 'mflops', direction: 'minimise' }];
  const [front] = footprintsOf([documentOf({ ...sweep, objectives, parallelism: 1 } as typeof sweep)], {
    classes,
    workers: 4,
  });
  assert.equal(front!.wholeStages, 2 + 65, 'with several objectives a front of 64 beside the best');
});
