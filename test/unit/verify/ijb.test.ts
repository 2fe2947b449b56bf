import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { openIjb } from '../../../core/data/benchmarks/ijb.ts';
import { TEMPLATE } from '../../../core/data/images/align.ts';
import { encodePng } from '../../../core/data/images/image.ts';
import {
  countMemberships,
  createTemplates,
  IJB_FARS,
  scorePairs,
  tarNearestFar,
} from '../../../core/verify/ijb.ts';
import { rocOf, tarNearest } from '../../../core/verify/roc.ts';

const folder = await mkdtemp(join(tmpdir(), 'pocketfleet-ijb-'));
after(() => rm(folder, { recursive: true }));

async function* batches<T>(...all: T[][]): AsyncGenerator<readonly T[]> {
  yield* all;
}

test('a template is the unit sum over media of the mean over faces, weighted by detector score', async () => {
  // Template 7, media 1: (2,0)*0.5 and (0,4)*0.25 -> mean (0.5, 0.5); media 2: (1,1)*1 -> (1, 1). Sum (1.5,
  // 1.5). Template 8, media 1: (3,-4)*0.2 -> (0.6, -0.8).
  const memberships = await countMemberships(
    batches([
      [7, 1],
      [7, 2],
      [8, 1],
      [7, 1],
    ] as [number, number][]),
  );
  const builder = createTemplates(memberships, 2);
  builder.add({ template: 7, media: 1, score: 0.5 }, [2, 0]);
  builder.add({ template: 8, media: 1, score: 0.2 }, [3, -4]);
  builder.add({ template: 7, media: 2, score: 1 }, [1, 1]);
  assert.throws(() => builder.finish(), /1 faces have no feature yet/);
  builder.add({ template: 7, media: 1, score: 0.25 }, [0, 4]);
  const templates = builder.finish();
  const half = Math.SQRT1_2;
  const expected = [half, half, 0.6, -0.8];
  expected.forEach((value, i) => {
    assert.ok(Math.abs(templates.features[i]! - value) < 1e-12);
  });
  const scores = await scorePairs(
    templates,
    batches([{ a: 7, b: 8, same: false }], [{ a: 7, b: 7, same: true }]),
  );
  assert.ok(Math.abs(scores.impostor[0]! - half * -0.2) < 1e-12);
  assert.ok(Math.abs(scores.genuine[0]! - 1) < 1e-12);
  await assert.rejects(
    scorePairs(templates, batches([{ a: 7, b: 9, same: true }])),
    /template 9, which has no faces/,
  );
});

test('templates do not depend on the order of the faces', () => {
  const face = fc.record({
    template: fc.integer({ min: 0, max: 3 }),
    media: fc.integer({ min: 0, max: 2 }),
    score: fc.double({ min: 0.1, max: 1, noNaN: true }),
    feature: fc.tuple(fc.integer({ min: -9, max: 9 }), fc.integer({ min: -9, max: 9 })),
  });
  return fc.assert(
    fc.asyncProperty(fc.array(face, { minLength: 1, maxLength: 12 }), async (faces) => {
      const build = async (order: typeof faces) => {
        const pairs = faces.map(({ template, media }) => [template, media] as const);
        const builder = createTemplates(await countMemberships(batches(pairs)), 2);
        for (const one of order) builder.add(one, one.feature);
        return builder.finish().features;
      };
      const [forward, backward] = [await build(faces), await build([...faces].reverse())];
      // Sums in another order round differently, and a sum near zero has no direction.
      forward.forEach((value, i) => {
        assert.ok(Math.abs(value - backward[i]!) < 1e-6 || forward.every((x) => Math.abs(x) < 1e-9));
      });
    }),
    { numRuns: 50 },
  );
});

test('the rates are those of the full ROC at the nearest false accept rate', () => {
  // Few distinct scores, so that ties within and between the two sorts are common.
  const score = fc.integer({ min: 0, max: 12 });
  fc.assert(
    fc.property(
      fc.array(score, { minLength: 1, maxLength: 30 }),
      fc.array(score, { minLength: 1, maxLength: 30 }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 4 }),
      (genuine, impostor, targets) => {
        const falling = (values: number[]) => Float64Array.from(values).sort().reverse();
        const points = tarNearestFar({ genuine: falling(genuine), impostor: falling(impostor) }, targets);
        const roc = rocOf({
          distances: [...genuine, ...impostor].map((value) => -value),
          same: [...genuine.map(() => true), ...impostor.map(() => false)],
        });
        targets.forEach((target, i) => {
          const { tar, far } = points[i]!;
          assert.deepEqual({ tar, far }, tarNearest(roc, target));
          const accepted = impostor.filter((value) => value >= points[i]!.threshold).length;
          assert.equal(accepted / impostor.length, far);
        });
      },
    ),
  );
  assert.equal(IJB_FARS.length, 6);
});

test('an IJB folder is read as a stream of aligned faces and pairs', async () => {
  const set = join(folder, 'IJBC');
  await mkdir(join(set, 'meta'), { recursive: true });
  await mkdir(join(set, 'loose_crop'));
  const rgb = Uint8Array.from({ length: 112 * 112 * 3 }, (_, i) => i % 253);
  await writeFile(join(set, 'loose_crop/1.png'), await encodePng({ width: 112, height: 112, rgb }));
  const points = TEMPLATE.flat().join(' ');
  await writeFile(join(set, 'meta/ijbc_face_tid_mid.txt'), '1.png 11 21\n1.png 12 22\n');
  await writeFile(join(set, 'meta/ijbc_name_5pts_score.txt'), `1.png ${points} 0.9\n1.png ${points} 0.8\n`);
  await writeFile(join(set, 'meta/ijbc_template_pair_label.txt'), '11 12 1\n12 11 0\n');
  const ijb = await openIjb(set);
  assert.equal(ijb?.kind, 'ijbc');
  const faces = [];
  for await (const face of ijb!.faces()) faces.push(face);
  assert.deepEqual(
    faces.map(({ template, media, score }) => [template, media, score]),
    [
      [11, 21, 0.9],
      [12, 22, 0.8],
    ],
  );
  const aligned = new Uint8Array(rgb.length);
  await ijb!.readAligned(faces[0]!, aligned);
  assert.deepEqual(aligned, rgb);
  const pairs = [];
  for await (const batch of ijb!.pairs()) pairs.push(...batch);
  assert.deepEqual(pairs, [
    { a: 11, b: 12, same: true },
    { a: 12, b: 11, same: false },
  ]);
  assert.equal(await openIjb(folder), undefined);
});

test('metadata that disagrees or is malformed is refused with file and content', async () => {
  const set = join(folder, 'IJBB');
  await mkdir(join(set, 'meta'), { recursive: true });
  const points = TEMPLATE.flat().join(' ');
  const write = (suffix: string, text: string) => writeFile(join(set, `meta/ijbb_${suffix}.txt`), text);
  await write('face_tid_mid', '1.jpg 1 1\n2.jpg 1 2\n');
  await assert.rejects(openIjb(set), /without .*ijbb_template_pair_label.txt/);
  await write('template_pair_label', '1 1 2\n');
  await write('name_5pts_score', `1.jpg ${points} 0.9\n3.jpg ${points} 0.9\n`);
  const ijb = (await openIjb(set))!;
  const drain = async (all: AsyncGenerator<unknown>) => {
    for await (const _ of all);
  };
  await assert.rejects(drain(ijb.faces()), /has 3.jpg where .*ijbb_face_tid_mid.txt has 2.jpg/);
  await assert.rejects(drain(ijb.pairs()), /label "2" is neither 0 nor 1/);
  await write('name_5pts_score', `1.jpg ${points} 0.9\n`);
  await assert.rejects(drain(ijb.faces()), /no more lines where/);
  await write('name_5pts_score', `1.jpg ${points}\n`);
  await assert.rejects(drain(ijb.faces()), /has 11 fields, 12 expected/);
});
