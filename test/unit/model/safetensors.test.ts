import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { exportSafetensors, importState, readModel } from '../../../core/model/export.ts';
import { readSafetensors, type StoredTensor, writeSafetensors } from '../../../core/model/safetensors.ts';
import { buildNetwork } from '../../../core/nn/build.ts';
import { initialWeights } from '../../../core/nn/init.ts';
import { layoutOf } from '../../../core/nn/layout.ts';
import { normals } from '../../../core/rng.ts';
import { networkSchema } from '../../../core/spec/network.ts';

const tensors: fc.Arbitrary<StoredTensor> = fc.oneof(
  fc.array(fc.float({ noNaN: true }), { maxLength: 9 }).map((values) => ({
    dtype: 'F32' as const,
    shape: [values.length],
    data: Float32Array.from(values),
  })),
  fc.uint8Array({ maxLength: 9 }).map((data) => ({ dtype: 'U8' as const, shape: [1, data.length], data })),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => ({
    dtype: 'I64' as const,
    shape: [],
    data: BigInt64Array.of(value),
  })),
);
const names = fc.string({ minLength: 1 }).filter((name) => name !== '__metadata__' && name !== '__proto__');

test('what is written is read back, from any offset of a larger buffer', () => {
  fc.assert(
    fc.property(
      fc.dictionary(names, tensors, { maxKeys: 5 }),
      fc.dictionary(names, fc.string(), { maxKeys: 3 }),
      fc.nat(7),
      (entries, metadata, offset) => {
        const bytes = writeSafetensors(new Map(Object.entries(entries)), metadata);
        const inside = Buffer.alloc(bytes.length + offset + 3);
        inside.set(bytes, offset);
        const file = readSafetensors(inside.subarray(offset, offset + bytes.length));
        assert.deepEqual({ ...file.metadata }, { ...metadata });
        assert.deepEqual(Object.fromEntries(file.tensors), { ...entries });
      },
    ),
  );
});

test('data starts on a multiple of 8 with the widest elements first', () => {
  const bytes = writeSafetensors(
    new Map<string, StoredTensor>([
      ['bytes', { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) }],
      ['count', { dtype: 'I64', shape: [], data: BigInt64Array.of(7n) }],
    ]),
  );
  const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  assert.equal(headerBytes % 8, 0);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes)));
  assert.deepEqual(header.count.data_offsets, [0, 8]);
  assert.deepEqual(header.bytes.data_offsets, [8, 11]);
});

test('damaged files are refused with the file and what is wrong', () => {
  const good = writeSafetensors(new Map([['x', { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) }]]));
  assert.throws(() => readSafetensors(good.subarray(0, 5), 'a.safetensors'), /a\.safetensors.*5 bytes/);
  assert.throws(() => readSafetensors(good.subarray(0, 20), 'a'), /header claims/);
  assert.throws(() => readSafetensors(good.subarray(0, good.length - 1), 'a'), /tensor x .* does not fit/);
  const garbled = good.slice();
  garbled[9] = 0x7d;
  assert.throws(() => readSafetensors(garbled, 'a'), /not a JSON object/);
});

test('bytes that belong to no tensor are refused: in front, between, behind, and where there are no tensors', () => {
  const fileOf = (ranges: readonly (readonly [number, number])[], dataBytes: number) => {
    const entries = ranges.map(([begin, end], i) => [
      `t${i}`,
      { dtype: 'U8', shape: [end - begin], data_offsets: [begin, end] },
    ]);
    const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    return Buffer.concat([length, header, Buffer.alloc(dataBytes)]);
  };
  // In any order, and with tensors of no values anywhere.
  assert.equal(
    readSafetensors(
      fileOf(
        [
          [4, 8],
          [0, 4],
          [8, 8],
          [2, 2],
        ],
        8,
      ),
    ).tensors.size,
    4,
  );
  for (const [ranges, dataBytes, hole] of [
    [[[1, 8]], 8, '0..1'],
    [
      [
        [0, 4],
        [5, 8],
      ],
      8,
      '4..5',
    ],
    [
      [
        [4, 8],
        [0, 4],
      ],
      9,
      '8..9',
    ],
    [[[0, 0]], 3, '0..3'],
    [[], 1, '0..1'],
  ] as const)
    assert.throws(() => readSafetensors(fileOf(ranges, dataBytes), 'a.safetensors'), {
      code: 'dataLoss',
      message: new RegExp(`a\\.safetensors.*bytes ${hole} of its data belong to no tensor`),
    });
});

const SPECS = [
  { kind: 'pocketnet', channels: 4, layers: 4, embedding: 8 },
  { kind: 'iresnet', blocks: [1, 1, 1, 1], widths: [4, 4, 4, 4], stem: 4, embedding: 8 },
  { kind: 'mobilefacenet', embedding: 16 },
];

for (const spec of SPECS)
  test(`an exported ${spec.kind} names its network and comes back bit for bit`, () => {
    const network = buildNetwork(networkSchema.parse(spec));
    const layout = layoutOf(network);
    const weights = Float32Array.from(normals(1, 'w', layout.parameterCount));
    const running = Float32Array.from(normals(1, 'r', layout.runningCount));
    const bytes = exportSafetensors({ network, layout, weights, running, metadata: { run: 'a' }, steps: 12 });
    const model = readModel(bytes, 'file');
    assert.deepEqual(model.network, network);
    assert.equal(model.metadata.run, 'a');
    const state = importState({
      layout: layoutOf(model.network),
      tensors: model.file.tensors,
      where: 'file',
    });
    assert.deepEqual(state, { weights, running });
  });

test('convolutions are written as O,I,H,W, linear layers as out,in, and the head is left out', () => {
  const network = buildNetwork(networkSchema.parse(SPECS[1]));
  const layout = layoutOf(network, { classes: 3 });
  const weights = initialWeights(layout, 1);
  const { tensors: written } = readSafetensors(
    exportSafetensors({ network, layout, weights, running: new Float32Array(layout.runningCount) }),
  );
  assert.equal(written.has('head.kernel'), false);
  const slot = layout.parameters.find((one) => one.name === 'conv1.weight');
  const conv = written.get('conv1.weight');
  assert.ok(slot && conv);
  assert.deepEqual(conv.shape, [4, 3, 3, 3]);
  // Output 2, input 1, row 0, column 2 in both orders.
  assert.equal(
    conv.data[((2 * 3 + 1) * 3 + 0) * 3 + 2],
    weights[slot.offset + ((0 * 3 + 2) * 3 + 1) * 4 + 2],
  );
  assert.deepEqual(written.get('fc.weight')?.shape, [8, 196]);
  assert.deepEqual(written.get('bn1.num_batches_tracked')?.shape, []);
});

test('a missing or misshapen tensor is named', () => {
  const network = buildNetwork(networkSchema.parse(SPECS[0]));
  const layout = layoutOf(network);
  const bytes = exportSafetensors({
    network,
    layout,
    weights: new Float32Array(layout.parameterCount),
    running: new Float32Array(layout.runningCount),
  });
  const all = new Map(readSafetensors(bytes).tensors);
  all.delete('tail.5.bias');
  assert.throws(
    () => importState({ layout, tensors: all, where: 'a.st' }),
    /a\.st has no tensor tail\.5\.bias/,
  );
  const wide = layoutOf(buildNetwork(networkSchema.parse({ ...SPECS[0], channels: 8 })));
  assert.throws(
    () => importState({ layout: wide, tensors: readSafetensors(bytes).tensors, where: 'a.st' }),
    /stem\.0\.weight is F32 \[16,3,3,3\], F32 \[32,3,3,3\] expected/,
  );
});
