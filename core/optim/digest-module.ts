// The digest of a step (core/step-digest.ts) as a StableHLO module, for weights that stay on a device: the same
// integers in whatever order the device adds them, so that only eight bytes come out.

import { MIXING, stepDigestOf } from '../step-digest.ts';
import type { Ref } from '../tensor/lowering/literals.ts';
import type { LoweredModule } from '../tensor/lowering/lower.ts';
import { ModuleText } from '../tensor/lowering/module-text.ts';
import { moduleText } from '../tensor/lowering/whole-module.ts';

/** Argument: a vector [words] of float32, which stays. Result: the two sums, as the bits of two float32. */
export function digestModule(words: number): LoweredModule {
  const text = new ModuleText();
  const vector: Ref = { name: '%arg0', element: 'f32', shape: [words] };
  const all = (value: number) => text.splat(value, 'i32', [words]);
  const cast = (from: Ref, element: 'i32' | 'f32') =>
    text.generic({ op: 'bitcast_convert', operands: [from], attributes: {}, element, shape: from.shape });
  const place = text.binary('multiply', text.iota(0, 'i32', [words]), all(MIXING.place));
  let mixed = text.binary('xor', cast(vector, 'i32'), place);
  for (const { shift, factor } of MIXING.rounds) {
    const shifted = text.binary('shift_right_logical', mixed, all(shift));
    mixed = text.binary('multiply', text.binary('xor', mixed, shifted), all(factor));
  }
  const sums = [mixed, text.binary('multiply', mixed, mixed)].map((terms) =>
    text.reshape(text.reduce('add', terms, [0]), [1]),
  );
  const output = cast(text.concatenate(sums, 0), 'f32');
  return {
    text: moduleText({ inputs: [vector], outputs: [output], lines: text.lines, donated: new Map() }),
    inputs: [{ element: vector.element, shape: vector.shape }],
    outputs: [{ element: output.element, shape: output.shape }],
  };
}

/** The digest that such a result stands for. `sums` [2] */
export function digestOfSums(sums: Float32Array, words: number): string {
  const [sum, squares] = new Uint32Array(sums.buffer, sums.byteOffset, 2);
  return stepDigestOf({ sum: sum!, squares: squares!, words });
}
