// What the passes over a recording leave as it is: each rule that keeps a pass from changing a result, on
// recordings made by hand. That what a pass changes computes the same bits is in passes.test.ts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DT } from '../../../../core/tensor/ops/kernels.ts';
import { foldSums } from '../../../../core/tensor/passes/fold-sums.ts';
import { normaliseWhileReading } from '../../../../core/tensor/passes/normalise-while-reading.ts';
import { splitMaps } from '../../../../core/tensor/passes/split-maps.ts';
import { sumWhileWriting } from '../../../../core/tensor/passes/sum-while-writing.ts';
import { numberOf } from '../../../../core/tensor/recording/attributes.ts';
import type {
  Edge,
  OperationNode,
  RecordedNode,
  Recording,
} from '../../../../core/tensor/recording/record.ts';
import type { OpAttribute } from '../../../../core/tensor/tf.ts';

type Shape = readonly number[];

const MAP: Shape = [2, 6, 6, 8];
const WEIGHT: Shape = [8];

/** Builds a recording node by node; each method returns an edge. */
function createSketch() {
  const nodes: RecordedNode[] = [];
  const add = (node: RecordedNode): Edge => ({ node: nodes.push(node) - 1, output: 0 });
  const op = (
    name: string,
    inputs: readonly Edge[],
    shapes: readonly Shape[] = [MAP],
    numbers: Record<string, number> = {},
  ): Edge => {
    const attributes = Object.entries(numbers).map(([attribute, value]): OpAttribute => {
      return { name: attribute, type: 0, value };
    });
    const outputs = shapes.map((shape) => ({ shape, dtype: DT.float32 }));
    return add({ kind: 'operation', op: name, attributes, inputs, outputs });
  };
  const input = (shape: Shape = MAP): Edge =>
    add({ kind: 'input', input: nodes.length, outputs: [{ shape, dtype: DT.float32 }] });
  const integers = (...values: number[]): Edge =>
    add({
      kind: 'constant',
      constant: { dtype: DT.int32, shape: [values.length], values: Int32Array.from(values) },
      outputs: [{ shape: [values.length], dtype: DT.int32, integers: values }],
    });
  return {
    op,
    input,
    integers,
    /** A separable block of x, and where its map y is. */
    block: (x: Edge, shape = MAP): Edge => {
      const weights = Array.from({ length: 5 }, () => input(WEIGHT));
      const one = { N: 0, parts: 1 };
      return op('FleetSeparable', [...weights, x], [shape, WEIGHT, WEIGHT, shape, WEIGHT], one);
    },
    /** The gradient of a block from its dy, and where dx is. */
    blockGradient: (dy: Edge, z: Edge, summands: readonly Edge[] = []): Edge => {
      const [slope, depthwise, pointwise, scale] = Array.from({ length: 4 }, () => input(WEIGHT));
      const [mean, inverse] = [input(WEIGHT), input(WEIGHT)];
      const inputs = [dy, slope!, depthwise!, pointwise!, scale!, z, mean, inverse, input(), ...summands];
      const shapes = [...Array.from({ length: 5 }, () => WEIGHT), MAP];
      const gradient = op('FleetSeparableGrad', inputs, shapes, { N: summands.length, parts: 1, dparts: 1 });
      return { ...gradient, output: 5 };
    },
    recording: (...outputs: Edge[]): Recording => ({ nodes, inputs: [], outputs }),
  };
}

const operation = ({ nodes }: Recording, { node }: Edge) => nodes[node] as OperationNode;
const isUnchanged = (before: Recording, after: Recording) => {
  assert.deepEqual(after, before);
};

test('three sums in a row are folded into the operation that makes the first', () => {
  const { op, input, block, recording } = createSketch();
  const [a, b, c] = [input(), input(), input()];
  const y = block(input());
  const sum = op('AddV2', [op('AddV2', [op('AddV2', [y, a]), b]), c]);
  const folded = foldSums(recording(sum));
  assert.deepEqual(folded.outputs, [y]);
  assert.equal(numberOf(operation(folded, y), 'N'), 3);
  assert.deepEqual(operation(folded, y).inputs.slice(-3), [a, b, c]);
});

test('a term that something else reads too is not folded, and one that only dead operations read is', () => {
  const { op, input, block, recording } = createSketch();
  const a = input();
  const y = block(input());
  const sum = op('AddV2', [y, a]);
  const other = op('Neg', [y]);
  isUnchanged(recording(sum, other), foldSums(recording(sum, other)));
  assert.deepEqual(foldSums(recording(sum)).outputs, [y]);
  // The sum takes the place of its term, readers included: read twice, it is no term of a second fold.
  const b = input();
  const z = block(input());
  const once = op('AddV2', [z, a]);
  const twice = recording(op('AddV2', [once, b]), op('Neg', [once]));
  assert.equal(numberOf(operation(foldSums(twice), z), 'N'), 1);
});

test('a sum that broadcasts, and a sum of two outputs of one operation, are not folded', () => {
  const { op, input, block, recording } = createSketch();
  const bias = input(WEIGHT);
  const biased = op('AddV2', [block(input()), bias]);
  isUnchanged(recording(biased), foldSums(recording(biased)));
  const y = block(input());
  const both = op('AddV2', [y, { ...y, output: 3 }]);
  isUnchanged(recording(both), foldSums(recording(both)));
});

test('a concatenation stays where an operation needs it whole, or its parts do not fill vectors or are too many', () => {
  const concatenation = (channels: number, parts: number, alsoWhole: boolean) => {
    const { op, input, integers, block, recording } = createSketch();
    const part: Shape = [2, 6, 6, channels];
    const maps = Array.from({ length: parts }, () => input(part));
    const all = op('ConcatV2', [...maps, integers(3)], [[2, 6, 6, channels * parts]]);
    const outputs = [block(all), ...(alsoWhole ? [op('Neg', [all])] : [])];
    const split = splitMaps(recording(...outputs));
    return numberOf(operation(split, outputs[0]!), 'parts');
  };
  assert.equal(concatenation(8, 4, false), 4);
  assert.equal(concatenation(8, 4, true), 1);
  assert.equal(concatenation(12, 4, false), 1);
  assert.equal(concatenation(8, 8, false), 8);
  assert.equal(concatenation(8, 9, false), 1);
});

test('a gradient is not written in two parts where x is read in four', () => {
  const split = (xParts: number) => {
    const { op, input, integers, recording } = createSketch();
    const whole: Shape = [2, 6, 6, 32];
    const x = Array.from({ length: xParts }, () => input([2, 6, 6, 32 / xParts]));
    const gradient = op('FleetPreluGrad', [input(whole), input([32]), ...x], [[32], whole], {
      N: 0,
      parts: xParts,
      dparts: 1,
    });
    const half: Shape = [2, 6, 6, 16];
    const dx = { ...gradient, output: 1 };
    const halves = op('SplitV', [dx, integers(16, 16), integers(3)], [half, half]);
    const after = splitMaps(recording(halves, { ...halves, output: 1 }));
    return numberOf(operation(after, gradient), 'dparts');
  };
  assert.deepEqual([1, 2, 4].map(split), [2, 2, 1]);
});

test('one operation takes the sums of twelve norms and no more', () => {
  const { input, blockGradient, recording } = createSketch();
  const zs = Array.from({ length: 13 }, () => input());
  const dx = blockGradient(input(), input());
  const ends = zs.map((z) => blockGradient(dx, z));
  const after = sumWhileWriting(recording(...ends));
  assert.equal(numberOf(operation(after, dx), 'W'), 12);
  assert.deepEqual(
    ends.map((end) => numberOf(operation(after, end), 'S')),
    [...Array.from({ length: 12 }, () => 1), Number.NaN],
  );
});

test('sums are not taken of a gradient with two summands, nor with a map that is made later', () => {
  const { op, input, blockGradient, recording } = createSketch();
  const z = input();
  const summed = blockGradient(input(), input(), [input(), input()]);
  const end = blockGradient(summed, z);
  isUnchanged(recording(end), sumWhileWriting(recording(end)));
  const dx = blockGradient(input(), input());
  const late = blockGradient(dx, op('Neg', [input()]));
  isUnchanged(recording(late), sumWhileWriting(recording(late)));
});

test('the first reader normalises a map, and readers and outputs behind it get that map', () => {
  const { op, input, block, recording } = createSketch();
  const y = block(input());
  const first = block(y);
  const later = op('Neg', [y]);
  const after = normaliseWhileReading(recording(first, later, y));
  const normalised = { node: first.node, output: 5 };
  assert.deepEqual(after.outputs, [first, later, normalised]);
  assert.deepEqual(operation(after, later).inputs, [normalised]);
  // It reads z in place of y, and the norm behind all other inputs.
  assert.deepEqual(operation(after, first).inputs.slice(5), [{ ...y, output: 3 }, y]);
  assert.deepEqual(operation(after, y).outputs[0]!.shape, [2, 8]);
});

test('a map stays normalised by its maker where the first reader is no block, reads it twice or adds it', () => {
  const readers = (read: (sketch: ReturnType<typeof createSketch>, y: Edge) => Edge) => {
    const sketch = createSketch();
    const y = sketch.block(sketch.input());
    return sketch.recording(read(sketch, y));
  };
  const cases = [
    readers(({ op, block }, y) => op('AddN', [op('Neg', [y]), block(y)])),
    readers(({ op, input }, y) =>
      op('FleetSeparableGrad', [...Array.from({ length: 5 }, () => input(WEIGHT)), y], [MAP], { parts: 1 }),
    ),
    readers(({ op, input }, y) =>
      op('FleetSeparable', [...Array.from({ length: 5 }, () => input(WEIGHT)), y, y], [MAP], {
        N: 0,
        parts: 2,
      }),
    ),
    readers(({ op, input }, y) =>
      op('FleetSeparable', [...Array.from({ length: 5 }, () => input(WEIGHT)), input(), y], [MAP], {
        N: 1,
        parts: 1,
      }),
    ),
  ];
  for (const before of cases) isUnchanged(before, normaliseWhileReading(before));
});
