import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  decodeFeature,
  encodeFeature,
  featurePath,
  readFeature,
  readImageList,
  readNoiseList,
  writeFeature,
} from '../../../core/data/benchmarks/megaface.ts';
import { createMegaface, marked, replaceNoisyProbes } from '../../../core/verify/megaface.ts';

const folder = await mkdtemp(join(tmpdir(), 'pocketfleet-megaface-'));
after(() => rm(folder, { recursive: true }));

test('one search counts by the distractors that are as near', () => {
  // On a line: person a at 0 and 2, person b at 10 and 11, distractors at 1, 5 and 30. Searches: 0 for 2:
  // distance 2, distractor 1 is nearer (1) -> rank 2; 2 for 0: distractor at 1 is nearer -> rank 2. 10 for 11
  // and back: distance 1, nearest distractor 5 and 6 away -> rank 1 both. Rank 1: 2 of 4; rank 2: all.
  const megaface = createMegaface({
    probes: Float32Array.of(0, 2, 10, 11),
    size: 1,
    people: ['a', 'a', 'b', 'b'],
    distractors: 3,
    ranks: [1, 2],
    // 12 impostor pairs, squared distances 1 (twice), 9, 25 (twice), 36, ...: one accepted is within 1, so
    // nothing with two at 1.
    fars: [1 / 12, 2 / 12, 1],
  });
  megaface.addDistractors(Float32Array.of(1, 5));
  assert.throws(() => megaface.finish(), /2 of 3 distractors/);
  megaface.addDistractors(Float32Array.of(30));
  const result = megaface.finish();
  assert.deepEqual(result.identification, [
    { rank: 1, rate: 0.5 },
    { rank: 2, rate: 1 },
  ]);
  // Genuine squared distances 4 and 1. One false accept: strictly nearer than the second impostor at 1 -> none.
  // Two: nearer than 9 -> both.
  assert.deepEqual(
    result.verification.map(({ tar }) => tar),
    [0, 1, 1],
  );
  assert.deepEqual([result.searches, result.genuinePairs, result.impostorPairs], [4, 2, 12]);
});

test('identification and verification equal a sort of all scores, for any features and any batches of distractors', () => {
  const feature = fc.tuple(fc.integer({ min: -4, max: 4 }), fc.integer({ min: -4, max: 4 }));
  fc.assert(
    fc.property(
      fc.array(fc.record({ person: fc.constantFrom('a', 'b', 'c'), feature }), {
        minLength: 4,
        maxLength: 9,
      }),
      fc.array(feature, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 7 }),
      (probes, distractors, batch) => {
        const pairs = probes.flatMap((a, i) =>
          probes
            .slice(i + 1)
            .filter((b) => b.person === a.person)
            .map((b) => ({ a, b })),
        );
        fc.pre(pairs.length > 0);
        const ranks = [1, 3];
        const fars = [0, 0.05, 0.3, 1];
        const megaface = createMegaface({
          probes: Float32Array.from(probes.flatMap((probe) => probe.feature)),
          size: 2,
          people: probes.map((probe) => probe.person),
          distractors: distractors.length,
          ranks,
          fars,
        });
        for (let at = 0; at < distractors.length; at += batch)
          megaface.addDistractors(Float32Array.from(distractors.slice(at, at + batch).flat()));
        const result = megaface.finish();
        const near = (a: readonly number[], b: readonly number[]) =>
          -((a[0]! - b[0]!) ** 2 + (a[1]! - b[1]!) ** 2);
        for (const { rank, rate } of result.identification) {
          const searches = pairs.flatMap(
            ({ a, b }) =>
              [
                [a, b],
                [b, a],
              ] as const,
          );
          const found = searches.filter(
            ([probe, wanted]) =>
              distractors.filter((d) => near(probe.feature, d) >= near(probe.feature, wanted.feature))
                .length < rank,
          );
          assert.equal(rate, found.length / searches.length);
        }
        const impostors = probes.flatMap((probe) => distractors.map((d) => near(probe.feature, d)));
        for (const { far, tar } of result.verification) {
          const rates = [
            ...new Set([...impostors, 1, ...pairs.map(({ a, b }) => near(a.feature, b.feature))]),
          ]
            .filter(
              (threshold) => impostors.filter((score) => score >= threshold).length / impostors.length <= far,
            )
            .map(
              (threshold) =>
                pairs.filter(({ a, b }) => near(a.feature, b.feature) >= threshold).length / pairs.length,
            );
          assert.equal(tar, Math.max(0, ...rates));
        }
      },
    ),
  );
});

test('a feature file is a header of four numbers and float32 values, and comes back equal', async () => {
  const feature = Float32Array.of(0.5, -1, 3);
  assert.deepEqual(
    Buffer.from(encodeFeature(feature)).toString('hex'),
    '03000000' + '01000000' + '04000000' + '05000000' + '0000003f' + '000080bf' + '00004040',
  );
  const path = join(folder, featurePath('a/b.jpg', 'pocketnet'));
  assert.ok(path.endsWith('a/b.jpg_pocketnet.bin'));
  await writeFeature(path, feature);
  assert.deepEqual(await readFeature(path), feature);
  const bytes = await readFile(path);
  assert.throws(
    () => decodeFeature(bytes.subarray(0, 25), 'x.bin'),
    /x.bin has 25 bytes where 3 numbers make 28/,
  );
  bytes.writeInt32LE(6, 12);
  assert.throws(() => decodeFeature(bytes, 'x.bin'), /type 6; a feature is Nx1 of 4 bytes, type 5/);
});

test("lists are the devkit's JSON or one path a line; noise lists match with or without folder and extension", async () => {
  const json = join(folder, 'list.json');
  await writeFile(json, JSON.stringify({ id: ['p1', 'p2'], path: ['x/1.jpg', 'y/2.jpg'] }));
  assert.deepEqual(await readImageList(json), [
    { path: 'x/1.jpg', person: 'p1' },
    { path: 'y/2.jpg', person: 'p2' },
  ]);
  const text = join(folder, 'list.txt');
  await writeFile(text, 'x/1.jpg\nx/2.jpg\n');
  assert.deepEqual(
    (await readImageList(text)).map(({ person }) => person),
    ['x', 'x'],
  );
  await writeFile(json, '{"id": ["a"], "path": []}');
  await assert.rejects(readImageList(json), /no "path" texts with as many "id"/);
  const noise = join(folder, 'noise.txt');
  await writeFile(noise, '# remark\nx/1.png\nAda_77\n');
  const isNoisy = await readNoiseList(noise);
  assert.deepEqual(['x/1.jpg', 'y/1.jpg', 'Ada/Ada_77.png', 'Ada/Ada_7.png'].map(isNoisy), [
    true,
    false,
    true,
    false,
  ]);
});

test('a noisy probe becomes the mean of its clean siblings, within the noise and at unit length', () => {
  const features = Float32Array.of(1, 0, 0, 1, 0.6, 0.8, 0, -1);
  const people = ['a', 'a', 'a', 'b'];
  const options = { features, size: 2, people, noisy: [false, false, true, true], seed: 3 };
  const refined = replaceNoisyProbes(options);
  assert.deepEqual(refined.subarray(0, 4), features.subarray(0, 4));
  // Mean of (1,0) and (0,1) is (0.5, 0.5); +-0.001 turns it by at most 0.001/0.5 = 0.002 radians.
  assert.ok(Math.abs(Math.atan2(refined[5]!, refined[4]!) - Math.PI / 4) < 0.0021);
  assert.ok(Math.abs(Math.hypot(refined[4]!, refined[5]!) - 1) < 1e-6);
  assert.deepEqual(
    refined.subarray(6),
    features.subarray(6),
    'a person without a clean probe keeps what there is',
  );
  assert.deepEqual(replaceNoisyProbes(options), refined);
});

test('a marked distractor is never nearer than a real one', () => {
  const probe = marked([1, 0], false);
  const megaface = createMegaface({
    probes: Float32Array.of(...probe, ...marked([0, 1], false)),
    size: 3,
    people: ['a', 'a'],
    distractors: 1,
    ranks: [1],
  });
  megaface.addDistractors(marked([1, 0], true));
  assert.equal(megaface.finish().identification[0]!.rate, 1);
});
