// A function in two parts gives the numbers of the function in one, kept or computed again; what is kept, and
// that nothing outlives its computation.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { compileGraph } from '../../../../core/tensor/graph/compiled.ts';
import type { TwoPartGraph } from '../../../../core/tensor/graph/engine.ts';
import { compileTwoPart } from '../../../../core/tensor/graph/two-part.ts';
import { maxPool } from '../../../../core/tensor/ops/ops.ts';
import { cutOf } from '../../../../core/tensor/passes/cut.ts';
import { record } from '../../../../core/tensor/recording/record.ts';
import { nativeBackend, type Tensor, tf } from '../../../../core/tensor/tf.ts';
import { elements, leavingNoTensors, numbers } from '../../../support/tensors.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const MAP = [2, 4, 4, 3];
/**
 * A scale and an offset in one vector, a map, and a late factor; the first output is a pooled map's sum over
 * images.
 */
const FUNCTION = {
  key: 'two-part',
  inputs: [
    { name: 'weights', dtype: 'float32', shape: [6] },
    { name: 'map', dtype: 'uint8', shape: MAP },
    { name: 'factor', dtype: 'float32', shape: [3] },
  ],
  first: { inputs: 2, outputs: 1 },
  build: ([weights, map, factor]: Tensor[]) => {
    const [scale, offset] = tf.split(weights!, 2);
    const { value, grads } = tf.valueAndGrads((s: Tensor, o: Tensor) => {
      const hidden = tf.exp(tf.mul(tf.div(map!, 256), s));
      const pooled = maxPool(tf.add(hidden, o), 2, 2, 0);
      first = tf.keep(tf.sum(pooled, 0));
      return tf.sum(tf.mul(first, factor!)).asScalar();
    })([scale!, offset!]);
    const outputs = [tf.clone(first!), tf.concat(grads), value];
    first!.dispose();
    return outputs;
  },
} as const;
let first: Tensor | undefined;

const known = [numbers(6), Uint8Array.from(numbers(elements(MAP)), (value) => (value + 1) * 127)] as const;
const late = [numbers(3, 4)] as const;

function using(use: (graph: TwoPartGraph) => void, cacheDir?: string): void {
  const graph = compileTwoPart({ ...FUNCTION, ...(cacheDir === undefined ? {} : { cacheDir }) });
  try {
    use(graph);
  } finally {
    graph.dispose();
  }
}

const inTwo = (graph: TwoPartGraph, keep: boolean) => {
  const begun = graph.begin(known, keep);
  return [...begun.outputs, ...begun.finish(late)];
};
const tensors = () => nativeBackend().binding.getNumOfTensors();

test('two parts give the numbers of one, whether the first is kept or computed again', () => {
  leavingNoTensors(() => {
    const whole = compileGraph(FUNCTION);
    const expected = whole.run([...known, ...late]);
    whole.dispose();
    assert.equal(expected.length, 3);
    using((graph) => {
      assert.deepEqual(inTwo(graph, true), expected);
      assert.deepEqual(inTwo(graph, false), expected);
      assert.equal(graph.begun(), 0);
    });
  });
});

test('a stored graph knows what is kept, and is another one than the same function in one part', () => {
  const cacheDir = join(folder, 'cache');
  let expected: Float32Array[] = [];
  compileGraph({ ...FUNCTION, cacheDir }).dispose();
  using((graph) => {
    assert.equal(graph.recorded, true);
    expected = inTwo(graph, true);
  }, cacheDir);
  using((graph) => {
    assert.equal(graph.recorded, false);
    assert.deepEqual(inTwo(graph, true), expected);
  }, cacheDir);
});

test('what is kept are maps that the first part made: no part of the weights, no pooled map, nothing twice', () => {
  const recording = record(FUNCTION);
  const { kept, bytes } = cutOf(recording, FUNCTION.first);
  const ops = kept.map(({ node }) => {
    const found = recording.nodes[node]!;
    return found.kind === 'operation' ? found.op : found.kind;
  });
  // exp, whose gradient is itself; map / 256, for the scale; what the pool reads; the sum, for the value.
  assert.deepEqual([...ops].sort(), ['Add', 'Exp', 'RealDiv', 'Sum']);
  assert.equal(bytes, 4 * (3 * elements(MAP) + elements([2, 2, 3])));
  using((graph) => assert.ok(graph.keptBytes === undefined || graph.keptBytes === bytes));
});

test('several computations may be begun at once and finished in any order', () => {
  leavingNoTensors(() =>
    using((graph) => {
      const expected = inTwo(graph, true);
      const other = [numbers(6, 9), known[1]] as const;
      const both = [graph.begin(known, true), graph.begin(other, true), graph.begin(known, false)];
      assert.equal(graph.begun(), 3);
      const [a, b, c] = both.map((begun) => begun);
      assert.notDeepEqual([...b!.outputs, ...b!.finish(late)], expected);
      assert.deepEqual([...c!.outputs, ...c!.finish(late)], expected);
      assert.deepEqual([...a!.outputs, ...a!.finish(late)], expected);
    }),
  );
});

test('what is kept goes when a computation is finished, fails, is released, or its graph is disposed', () => {
  leavingNoTensors(() => {
    using((graph) => {
      const before = tensors();
      for (const end of [
        () => graph.begin(known, true).finish(late),
        () => assert.throws(() => graph.begin(known, true).finish([numbers(2)]), /input factor is float32/),
        () => graph.begin(known, true).release(),
      ]) {
        end();
        assert.equal(tensors(), before);
      }
      const begun = graph.begin(known, true);
      assert.equal(tensors() - before, begun.kept.tensors);
      assert.equal(begun.kept.bytes, graph.keptBytes ?? 0);
      assert.deepEqual(graph.begin(known, false).kept, { tensors: 0, bytes: 0 });
    });
  });
});

test('a computation that is over is refused and says so', () => {
  using((graph) => {
    const finished = graph.begin(known, true);
    finished.finish(late);
    const released = graph.begin(known, true);
    released.release();
    released.release();
    const open = graph.begin(known, true);
    graph.dispose();
    for (const begun of [finished, released, open])
      assert.throws(() => begun.finish(late), {
        code: 'failedPrecondition',
        message: /is over: it was finished or released, or its graph was disposed/,
      });
    assert.throws(() => graph.begin(known, true), /was disposed/);
  });
});

test('wrong arrays of the first part are refused by the name of the input', () => {
  leavingNoTensors(() =>
    using((graph) => {
      assert.throws(() => graph.begin([...known, ...late], true), /takes 2 inputs \(weights, map\), not 3/);
      assert.throws(() => graph.begin([known[1], known[0]], true), /input weights is float32 \[6\]/);
      assert.equal(graph.begun(), 0);
    }),
  );
});

test('a first output that needs a later input is refused by its name', () => {
  const build = ([weights, map, factor]: Tensor[]) => [tf.mul(weights!, tf.sum(factor!)), tf.sum(map!)];
  assert.throws(() => compileTwoPart({ ...FUNCTION, build }), {
    code: 'invalidArgument',
    message: /computed from input factor, which is known only in the second/,
  });
});
