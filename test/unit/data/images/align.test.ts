import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  alignFace,
  fiveOf68,
  type PointXY,
  type Similarity,
  similarityBetween,
  TEMPLATE,
  warp,
} from '../../../../core/data/images/align.ts';
import type { Pixels } from '../../../../core/data/images/pixels.ts';

const BYTES = 112 * 112 * 3;
const apply = ({ a, b, tx, ty }: Similarity, [x, y]: PointXY): PointXY => [
  a * x - b * y + tx,
  b * x + a * y + ty,
];

const coordinate = fc.double({ min: -500, max: 500, noNaN: true });
const point = fc.tuple(coordinate, coordinate);

test('points that are an exact rotation, scale and shift of the others give that transform', () => {
  // Twice as large, a quarter turn, shifted by (3, -1): (x, y) -> (-2 y + 3, 2 x - 1).
  const from: PointXY[] = [
    [0, 0],
    [1, 0],
    [0, 1],
    [2, 3],
  ];
  const to: PointXY[] = [
    [3, -1],
    [3, 1],
    [1, -1],
    [-3, 3],
  ];
  const { a, b, tx, ty } = similarityBetween(from, to);
  assert.ok(
    Math.abs(a) < 1e-12 && Math.abs(b - 2) < 1e-12 && Math.abs(tx - 3) < 1e-12 && Math.abs(ty + 1) < 1e-12,
  );
});

test('no other similarity is nearer: the transform agrees with the normal equations solved by elimination', () => {
  fc.assert(
    fc.property(
      fc.array(point, { minLength: 3, maxLength: 7 }),
      fc.array(point, { minLength: 7, maxLength: 7 }),
      (from, to) => {
        fc.pre(from.some(([x, y]) => Math.hypot(x - from[0]![0], y - from[0]![1]) > 1));
        const found = similarityBetween(from, to.slice(0, from.length));
        const dumb = leastSquares(from, to);
        const values = [found.a, found.b, found.tx, found.ty];
        values.forEach((value, i) => {
          assert.ok(
            Math.abs(value - dumb[i]!) <= 1e-6 * (1 + Math.abs(dumb[i]!) + Math.abs(value)),
            `${values} ${dumb}`,
          );
        });
      },
    ),
  );
});

test('mirrored points are not mirrored back: the nearest rotation is taken', () => {
  const mirrored = TEMPLATE.map(([x, y]): PointXY => [112 - x, y]);
  const similarity = similarityBetween(mirrored, TEMPLATE);
  // A reflection would be exact; a similarity is not, and keeps the sense of rotation (positive determinant).
  const worst = Math.max(
    ...mirrored.map((p, i) =>
      Math.hypot(apply(similarity, p)[0] - TEMPLATE[i]![0], apply(similarity, p)[1] - TEMPLATE[i]![1]),
    ),
  );
  assert.ok(worst > 5);
  assert.ok(similarity.a ** 2 + similarity.b ** 2 > 0);
});

test('an image that is aligned already comes through unchanged', () => {
  const image = picture(112, 112);
  const out = new Uint8Array(BYTES);
  alignFace(image, TEMPLATE, out);
  assert.deepEqual(out, image.rgb);
});

test('a shift by half a pixel is the mean of two neighbours, black beyond the border', () => {
  const image = picture(112, 112);
  const out = new Uint8Array(BYTES);
  // Output x shows input x - 0.5.
  warp(image, { a: 1, b: 0, tx: 0.5, ty: 0 }, out);
  const at = (x: number, y: number, c: number) => (x < 0 ? 0 : image.rgb[(y * 112 + x) * 3 + c]!);
  for (const [x, y] of [
    [0, 0],
    [1, 5],
    [50, 60],
    [111, 111],
  ] as const)
    for (let c = 0; c < 3; c++)
      assert.equal(out[(y * 112 + x) * 3 + c], Math.round((at(x - 1, y, c) + at(x, y, c)) / 2));
});

test('a face drawn turned, small and shifted is brought upright to the template', () => {
  // A grid of grey values as a smooth function of place: the aligned image must show the function of the template's place.
  const turn: Similarity = { a: 0.9, b: 0.6, tx: -20, ty: -120 };
  const square = turn.a ** 2 + turn.b ** 2;
  const source = { width: 300, height: 280, rgb: new Uint8Array(300 * 280 * 3) };
  const value = (x: number, y: number) => 128 + 60 * Math.sin(x / 20) + 50 * Math.cos(y / 15);
  for (let y = 0; y < 280; y++)
    for (let x = 0; x < 300; x++) {
      const [u, v] = apply(turn, [x, y]);
      source.rgb.fill(Math.round(value(u, v)), (y * 300 + x) * 3, (y * 300 + x) * 3 + 3);
    }
  const back = ([u, v]: PointXY): PointXY => [
    (turn.a * (u - turn.tx) + turn.b * (v - turn.ty)) / square,
    (turn.a * (v - turn.ty) - turn.b * (u - turn.tx)) / square,
  ];
  const points = TEMPLATE.map(back) as unknown as typeof TEMPLATE;
  const out = new Uint8Array(BYTES);
  alignFace(source, points, out);
  for (let v = 30; v < 100; v += 7)
    for (let u = 30; u < 100; u += 7)
      assert.ok(Math.abs(out[(v * 112 + u) * 3]! - value(u, v)) < 2, `${u},${v}`);
});

test('68 landmarks become five: middles of the eyes, nose, corners of the mouth', () => {
  const points = Array.from({ length: 68 }, (_, i): PointXY => [i, 100 - i]);
  assert.deepEqual(fiveOf68(points), [
    [37.5, 62.5],
    [43.5, 56.5],
    [30, 70],
    [48, 52],
    [54, 46],
  ]);
  assert.throws(() => fiveOf68(points.slice(1)), /67 landmarks where 68 are expected/);
});

test('landmarks that are all one point are refused', () => {
  assert.throws(
    () =>
      similarityBetween(
        [
          [1, 1],
          [1, 1],
        ],
        [
          [0, 0],
          [1, 1],
        ],
      ),
    /one point/,
  );
});

function picture(width: number, height: number): Pixels {
  return { width, height, rgb: Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7919) % 251) };
}

/** (a, b, tx, ty) of min |M p - q|^2 with rows [x, -y, 1, 0] and [y, x, 0, 1], by Gaussian elimination of M'M p = M'q. */
function leastSquares(from: readonly PointXY[], to: readonly PointXY[]): number[] {
  const rows = from.flatMap(([x, y], i) => [
    { m: [x, -y, 1, 0], q: to[i]![0] },
    { m: [y, x, 0, 1], q: to[i]![1] },
  ]);
  const system = [0, 1, 2, 3].map((i) => [
    ...[0, 1, 2, 3].map((j) => rows.reduce((sum, { m }) => sum + m[i]! * m[j]!, 0)),
    rows.reduce((sum, { m, q }) => sum + m[i]! * q, 0),
  ]);
  for (let column = 0; column < 4; column++) {
    const pivot = [0, 1, 2, 3]
      .slice(column)
      .reduce(
        (best, row) => (Math.abs(system[row]![column]!) > Math.abs(system[best]![column]!) ? row : best),
        column,
      );
    [system[column], system[pivot]] = [system[pivot]!, system[column]!];
    for (let row = 0; row < 4; row++) {
      if (row === column) continue;
      const factor = system[row]![column]! / system[column]![column]!;
      for (let k = column; k < 5; k++) system[row]![k]! -= factor * system[column]![k]!;
    }
  }
  return system.map((row, i) => row[4]! / row[i]!);
}
