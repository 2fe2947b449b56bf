import { ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import type { Code } from '../../../core/errors.ts';
import { buildNetwork } from '../../../core/nn/build.ts';
import { initialWeights } from '../../../core/nn/init.ts';
import { type Layout, layoutOf } from '../../../core/nn/layout.ts';
import { createBuilder, type Network } from '../../../core/nn/network.ts';
import { normals, uniforms } from '../../../core/rng.ts';
import { naswot, switchesOf } from '../../../core/screening/naswot.ts';
import { synflow } from '../../../core/screening/synflow.ts';
import { zen } from '../../../core/screening/zen.ts';
import { zico } from '../../../core/screening/zico.ts';

const close = (a: number, b: number, tolerance = 1e-12) =>
  ok(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b)), `${a} where ${b} is right`);

const refused = (code: Code, message: RegExp) => ({ code, message });

const network = buildNetwork({ kind: 'pocketnet', genotype: 'casia', channels: 4, layers: 6, embedding: 8 });
const layout = layoutOf(network);

test('a synflow beyond the largest double is a number, and grows with the longest path', () => {
  // With large t the longest path decides: t weights of it are multiplied.
  const at = (t: number) =>
    synflow(
      network,
      layout,
      initialWeights(layout, 3).map((weight) => weight * t),
    );
  const [low, high] = [at(2 ** 60), at(2 ** 61)];
  ok(low > Math.log(Number.MAX_VALUE), `${low}`);
  close((high - low) / Math.LN2, longestPath(network));
});

/** Layers with weights from the image to the output. */
function longestPath({ layers, output }: Network): number {
  const depth: number[] = [];
  for (const { kind, inputs } of layers)
    depth.push(
      Math.max(0, ...inputs.map((input) => depth[input]!)) + Number(kind === 'conv' || kind === 'depthwise'),
    );
  return depth[output]!;
}

test('synflow refuses weights that let nothing through and those that are no numbers', () => {
  throws(
    () => synflow(network, layout, new Float32Array(layout.parameterCount)),
    refused('outOfRange', /synflow/),
  );
  const broken = initialWeights(layout, 3).fill(Number.NaN, 100, 101);
  throws(() => synflow(network, layout, broken), refused('outOfRange', /synflow/));
});

/** 112x112x3 -> two PReLUs of one map, and one of another. */
function switching(): Network {
  const builder = createBuilder();
  const add = (name: string, inputs: number[], operation: Parameters<typeof builder.add>[0]['operation']) =>
    builder.add({ name, module: 'all', inputs, operation });
  const pool = add('pool', [0], { kind: 'avgPool', kernel: 28, stride: 28, padding: 0 });
  add('a', [pool], { kind: 'prelu' });
  add('b', [pool], { kind: 'prelu' });
  const smaller = add('smaller', [pool], { kind: 'avgPool', kernel: 2, stride: 2, padding: 0 });
  const output = add('c', [smaller], { kind: 'prelu' });
  return { ...network, layers: builder.layers, output };
}

test('NASWOT is the logarithm of the determinant that its definition gives', () => {
  const net = switching();
  const images = 5;
  const layers = switchesOf(net).map(({ units }, layer) =>
    Array.from(uniforms(9, `on-${layer}`, images * units), (value) => Number(value < 0.4)),
  );
  const on = (layer: number, image: number, unit: number, units: number) =>
    layers[layer]![image * units + unit]!;
  const shared: number[] = [];
  const k = Array.from({ length: images }, () => new Array<number>(images).fill(0));
  switchesOf(net).forEach(({ units, times }, layer) => {
    for (let i = 0; i < images; i++)
      for (let j = 0; j < images; j++) {
        let [both, agree] = [0, 0];
        for (let unit = 0; unit < units; unit++) {
          both += on(layer, i, unit, units) * on(layer, j, unit, units);
          agree += Number(on(layer, i, unit, units) === on(layer, j, unit, units));
        }
        shared.push(both);
        k[i]![j]! += times * agree;
      }
  });
  close(naswot(net, images, Float32Array.from(shared)), Math.log(Math.abs(determinant(k))));
});

/** By expansion along the first row. */
function determinant(matrix: number[][]): number {
  if (matrix.length === 0) return 1;
  return matrix[0]!.reduce(
    (sum, value, column) =>
      sum +
      (column % 2 ? -1 : 1) *
        value *
        determinant(matrix.slice(1).map((row) => row.filter((_, i) => i !== column))),
    0,
  );
}

test('NASWOT refuses a batch with the same image twice', () => {
  const net = switching();
  const same = Float32Array.from(switchesOf(net).flatMap(({ units }) => new Array(9).fill(units / 3)));
  throws(() => naswot(net, 3, same), refused('invalidArgument', /NASWOT.*same|switch all units alike/));
});

test('ZiCo is its definition, layer by layer, and leaves out what does not vary', () => {
  const batches = [0, 1, 2].map((batch) =>
    Float32Array.from(normals(4, `batch-${batch}`, layout.parameterCount)),
  );
  const weighted = layout.parameters.filter(
    ({ layer, role }) => role === 'weight' && ['conv', 'depthwise'].includes(network.layers[layer]!.kind),
  );
  // The first layer does not vary at all, the second one in all but one weight.
  const [steady, nearly] = weighted;
  for (const batch of batches) {
    batch.fill(1.5, steady!.offset, steady!.offset + steady!.size);
    batch[nearly!.offset] = -2;
  }
  let wanted = 0;
  for (const { offset, size } of weighted.slice(1)) {
    let sum = 0;
    for (let i = offset; i < offset + size; i++) {
      const values = batches.map((batch) => batch[i]!);
      const mean = (numbers: number[]) => numbers.reduce((a, b) => a + b) / numbers.length;
      const deviation = Math.sqrt(mean(values.map((value) => (value - mean(values)) ** 2)));
      if (deviation > 0) sum += mean(values.map(Math.abs)) / deviation;
    }
    wanted += Math.log(sum);
  }
  close(zico(network, layout, batches), wanted);
});

test('ZiCo refuses one batch, and gradients of which none varies', () => {
  const gradient = new Float32Array(layout.parameterCount).fill(1);
  throws(() => zico(network, layout, [gradient]), refused('invalidArgument', /2 batches or more, and got 1/));
  throws(() => zico(network, layout, [gradient, gradient]), refused('outOfRange', /none of them varies/));
});

test('zen adds the distance of embeddings and what each batch norm takes away', () => {
  const slot = (role: 'running_mean' | 'running_var', offset: number) => ({ role, offset, size: 2 });
  const two = { running: [slot('running_mean', 0), slot('running_var', 2)] } as unknown as Layout;
  const of = (variances: number[]) =>
    zen({
      layout: two,
      images: 2,
      embeddings: [Float32Array.of(1, 2, 3, 4), Float32Array.of(1.5, 2, 2, 4.5)],
      statistics: Float32Array.of(9, 9, ...variances),
    });
  // |0.5| + |0| + |1| + |0.5| = 2 over two images; the mean variance is (3 + 5) / 2 = 4, its root 2.
  close(of([3, 5]), Math.log(2 / 2) + Math.log(2));
  throws(() => of([Number.NaN, 5]), refused('outOfRange', /zen is not finite/));
});
