import assert from 'node:assert/strict';
import test from 'node:test';
import { buildNetwork } from '../../../core/nn/build.ts';
import { describe } from '../../../core/nn/describe.ts';
import { layoutOf } from '../../../core/nn/layout.ts';
import { networkSchema } from '../../../core/spec/network.ts';

const network = (spec: unknown) => buildNetwork(networkSchema.parse(spec));
const pocketnet = (options: object = {}) => network({ kind: 'pocketnet', ...options });
const S = {};
const M = { channels: 32, layers: 9 };

// Reference facts 3.3: parameters, MFLOPs (authors' convention), multiply-adds, running values.
const PUBLISHED = [
  ['S-128', { ...S, embedding: 128 }, 925_632, 587.110016, 283_541_120, 15_232],
  ['S-256', { ...S, embedding: 256 }, 991_424, 587.241344, 283_606_656, 15_488],
  ['M-128', { ...M, embedding: 128 }, 1_686_656, 1099.024384, 538_215_680, 16_064],
  ['M-256', { ...M, embedding: 256 }, 1_752_448, 1099.155712, 538_281_216, 16_320],
] as const;

for (const [name, options, parameters, mflops, multiplyAdds, runningValues] of PUBLISHED)
  test(`PocketNet${name} counts as published, to the digit`, () => {
    const counts = describe(pocketnet(options));
    assert.deepEqual(
      [counts.parameters, counts.mflops, counts.multiplyAdds, counts.runningValues],
      [parameters, mflops, multiplyAdds, runningValues],
    );
  });

// Reference facts 3.3, last lines.
const OTHERS = [
  [{ genotype: 'cifar10' }, 885_184, 620.92864],
  [{ genotype: 'cifar10', embedding: 256 }, 950_976, undefined],
  [{ genotype: 'cifar10', ...M }, 1_495_168, 1080.63488],
  [{ genotype: 'cifar10', ...M, embedding: 256 }, 1_560_960, undefined],
  [{ embedding: 512 }, 1_674_944, 613.844864],
] as const;

for (const [options, parameters, mflops] of OTHERS)
  test(`PocketNet ${JSON.stringify(options)} counts as computed from the reference's modules`, () => {
    const counts = describe(pocketnet(options));
    assert.equal(counts.parameters, parameters);
    if (mflops !== undefined) assert.equal(counts.mflops, mflops);
  });

// Reference facts 3.7: total, stem, cells, head.
const SMALL = [
  [{ channels: 4, layers: 4, embedding: 8 }, [464, 688, 1328, 3280, 9632, 97_424]],
  [{ channels: 8, layers: 6, embedding: 32 }, [928, 1856, 1856, 3552, 5088, 10_688, 31_552, 175_424]],
  [{ channels: 4, layers: 8, embedding: 16 }, [464, 688, 688, 1328, 1712, 1856, 3552, 5088, 10_688, 101_536]],
  [{ channels: 16, layers: 4, embedding: 128 }, [1856, 5632, 10_688, 31_552, 112_256, 356_096]],
] as const;

for (const [options, modules] of SMALL)
  test(`each part of PocketNet ${JSON.stringify(options)} has the reference's number of parameters`, () => {
    const counts = describe(pocketnet(options));
    assert.deepEqual(
      counts.modules.map((module) => module.parameters),
      modules,
    );
    assert.equal(
      counts.parameters,
      modules.reduce((sum: number, count: number) => sum + count, 0),
    );
  });

test('each cell of S-128 has the reference table: output, parameters, multiply-adds', () => {
  // Reference facts 3.5, one row a cell.
  const normal16 = ['64x56x56', 5632, 16_006_144];
  const normal32 = ['128x28x28', 18_944, 14_024_192];
  const normal64 = ['256x14x14', 68_608, 13_033_216];
  const expected = [
    ['64x56x56', 1856, 5_419_008],
    ...Array(6).fill(normal16),
    ['128x28x28', 10_688, 17_737_216],
    ['128x28x28', 16_832, 12_418_560],
    ...Array(4).fill(normal32),
    ['256x14x14', 35_712, 16_495_360],
    ['256x14x14', 60_288, 11_427_584],
    ...Array(3).fill(normal64),
    ['512x7x7', 128_768, 15_874_432],
    ['128x1x1', 356_096, 12_935_680],
  ];
  const { modules } = describe(pocketnet());
  assert.deepEqual(
    modules.map((module) => [module.output, module.parameters, module.multiplyAdds]),
    expected,
  );
});

test('M-128 has the reference table of cells', () => {
  // Reference facts 3.6.
  const { modules } = describe(pocketnet(M));
  assert.deepEqual(
    modules.map((module) => module.parameters),
    [3712, 18_944, 18_944, 18_944, 35_712, 60_288, 68_608, 128_768, 227_072, 486_912, 618_752],
  );
  assert.deepEqual(
    modules.map((module) => module.multiplyAdds),
    [
      10_838_016, 56_096_768, 56_096_768, 56_096_768, 65_981_440, 45_710_336, 52_132_864, 63_497_728,
      43_728_384, 62_255_872, 25_780_736,
    ],
  );
});

test('IResNet-100 counts as the reference, frozen scale included', () => {
  // Reference facts 3.9; MFLOPs are given to one decimal there.
  const teacher = (size: number) => network({ kind: 'iresnet', blocks: [3, 13, 30, 3], embedding: size });
  assert.equal(describe(teacher(128)).parameters, 55_521_216);
  assert.equal(describe(teacher(256)).parameters, 58_732_864);
  assert.equal(describe(teacher(512)).parameters, 65_156_160);
  const counts = describe(teacher(128));
  assert.equal((counts.multiplyAdds / 1e6).toFixed(2), '12079.97');
  assert.equal(counts.mflops.toFixed(1), '24192.5');
  const frozen = layoutOf(teacher(128)).parameters.filter((slot) => !slot.trainable);
  assert.deepEqual(
    frozen.map((slot) => [slot.name, slot.size]),
    [['features.weight', 128]],
  );
});

test('MobileFaceNet has about the million parameters and 221 M multiply-adds of its paper', () => {
  const counts = describe(network({ kind: 'mobilefacenet' }));
  assert.equal(Math.round(counts.multiplyAdds / 1e6), 221);
  assert.ok(Math.abs(counts.parameters / 1e6 - 1) < 0.01, String(counts.parameters));
});

test('the layer rows sum to the totals', () => {
  for (const one of [pocketnet(), network({ kind: 'iresnet', blocks: [1, 1, 1, 1] })]) {
    const counts = describe(one);
    assert.equal(
      counts.rows.reduce((sum, row) => sum + row.parameters, 0),
      counts.parameters,
    );
    assert.equal(layoutOf(one).backboneCount, counts.parameters);
    assert.equal(layoutOf(one).runningCount, counts.runningValues);
  }
});
