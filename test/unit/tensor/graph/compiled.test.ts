// Recorded graphs: the same numbers as the eager function, the same bits wherever they run, nothing leaked,
// nothing captured by accident, and a cache that is never worse than none.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loaderArguments } from '../../../../core/system/script-arguments.ts';
import { type CompiledGraph, compileGraph } from '../../../../core/tensor/graph/compiled.ts';
import { saveGraph } from '../../../../core/tensor/graph/saved-model.ts';
import { type GraphInput, record } from '../../../../core/tensor/recording/record.ts';
import { nativeBackend, type Tensor, tf } from '../../../../core/tensor/tf.ts';
import {
  leavingNoTensors,
  numbers,
  ONE_THREAD,
  relativeError,
  smallStep,
  tensorOf,
} from '../../../support/tensors.ts';
import type { StepResult } from './step-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const freshCache = () => mkdtempSync(join(folder, 'cache-'));

const compileSmall = (cacheDir?: string): CompiledGraph =>
  compileGraph({
    key: 'small step',
    inputs: smallStep.inputs,
    build: smallStep.build,
    ...(cacheDir === undefined ? {} : { cacheDir }),
  });

function using(graph: CompiledGraph, use: (graph: CompiledGraph) => void): void {
  try {
    use(graph);
  } finally {
    graph.dispose();
  }
}

/** Compiles a function of one vector [4]. */
const compileOfVector = (build: (x: Tensor) => Tensor): CompiledGraph =>
  compileGraph({
    key: 'vector',
    inputs: [{ name: 'x', dtype: 'float32', shape: [4] }],
    build: ([x]) => [build(x!)],
  });

const SCRIPT = fileURLToPath(new URL('./step-process.ts', import.meta.url));

async function stepInProcess(cacheDir: string): Promise<StepResult[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [...loaderArguments(), SCRIPT, cacheDir], {
    env: { ...process.env, ...ONE_THREAD },
  });
  return JSON.parse(stdout) as StepResult[];
}

test('a recorded step with gradients equals the eager one', () => {
  leavingNoTensors(() =>
    using(compileSmall(), (graph) => {
      assert.deepEqual(graph.outputShapes, [[smallStep.length]]);
      const [vector] = graph.run(smallStep.arrays());
      const error = relativeError(vector!, smallStep.eager());
      assert.ok(error < 1e-5, `off by ${error}`);
      assert.ok(Number.isFinite(vector!.at(-1)) && vector!.at(-1)! > 0, 'the loss is a positive number');
    }),
  );
});

test('every rule for shapes agrees with the real operation', () => {
  leavingNoTensors(() => {
    record({ ...smallStep, audit: true });
    record({
      audit: true,
      inputs: [
        { name: 'x', dtype: 'float32', shape: [4, 6] },
        { name: 'y', dtype: 'float32', shape: [2, 4, 4, 3] },
        { name: 'i', dtype: 'int32', shape: [3] },
      ],
      build: ([x, y, i]) => {
        const parts = tf.split(x!, [1, 3], 0);
        const values = [
          tf.slice(x!, [1, 0], [2, -1]),
          tf.transpose(y!, [0, 3, 1, 2]),
          tf.pad(x!, [
            [1, 0],
            [2, 3],
          ]),
          tf.concat(parts, 0),
          tf.stack([x!, x!], 1),
          ...tf.unstack(x!, 1),
          tf.max(y!, [1, -1], true),
          tf.any(tf.greater(x!, 0), 0),
          tf.tile(x!, [2, 1]),
          tf.broadcastTo(tf.sum(x!, 0, true), [4, 6]),
          tf.expandDims(x!, -1),
          tf.fill([2, 3], 7),
          tf.matMul(tf.reshape(x!, [2, 2, 6]) as Tensor, tf.reshape(x!, [2, 2, 6]), false, true),
          tf.where(tf.less(x!, 0), x!, tf.zerosLike(x!)),
          tf.oneHot(i as Tensor, 5),
          tf.depthToSpace(tf.ones([1, 2, 2, 8]), 2),
          tf.softmax(x!),
          tf.maximum(x!, tf.mean(x!, 0)),
          tf.reshape(y!, [-1, 3]),
          tf.addN([x!, x!]),
        ];
        return values.map((value) => tf.cast(value, 'float32'));
      },
    });
  });
});

test('an operation without a rule is recorded by running it on zeros', () => {
  leavingNoTensors(() =>
    using(
      compileOfVector((x) => tf.reverse(x)),
      (graph) => assert.deepEqual([...graph.run([Float32Array.of(1, 2, 3, 4)])[0]!], [4, 3, 2, 1]),
    ),
  );
});

test('a hundred runs leave no tensor and give the same bits', () => {
  using(compileSmall(), (graph) => {
    const [first] = graph.run(smallStep.arrays());
    leavingNoTensors(() => {
      for (let run = 0; run < 100; run++) assert.deepEqual(graph.run(smallStep.arrays())[0], first);
    });
  });
});

test('outputs are copies and inputs stay as they were', () => {
  using(
    compileOfVector((x) => tf.add(x, 0)),
    (graph) => {
      const input = Float32Array.of(1, 2, 3, 4);
      const [output] = graph.run([input]);
      output!.fill(9);
      assert.deepEqual([...input], [1, 2, 3, 4]);
      assert.deepEqual([...graph.run([input])[0]!], [1, 2, 3, 4]);
    },
  );
});

test('bytes, integers and an input that nothing reads are fed as they are', () => {
  const graph = compileGraph({
    key: 'types',
    inputs: [
      { name: 'bytes', dtype: 'uint8', shape: [3] },
      { name: 'unread', dtype: 'float32', shape: [2] },
      { name: 'integers', dtype: 'int32', shape: [3] },
    ],
    build: ([bytes, , integers]) => [tf.add(bytes!, tf.cast(integers!, 'float32')), bytes!],
  });
  using(graph, () => {
    const outputs = graph.run([Uint8Array.of(0, 200, 255), new Float32Array(2), Int32Array.of(-1, 5, 70000)]);
    assert.deepEqual(
      outputs.map((output) => [...output]),
      [
        [-1, 205, 70255],
        [0, 200, 255],
      ],
    );
  });
});

test('two processes and their worker threads give the same bits, and all but the first record nothing', async () => {
  const cacheDir = freshCache();
  const results = [...(await stepInProcess(cacheDir)), ...(await stepInProcess(cacheDir))];
  assert.deepEqual(
    results.map((result) => result.recorded),
    [true, false, false, false],
  );
  assert.equal(new Set(results.map((result) => result.sha256)).size, 1);
  assert.equal(new Set(results.map((result) => result.digest)).size, 1);
});

test('two processes that record at once both succeed and leave one whole entry', async () => {
  const cacheDir = freshCache();
  const results = (await Promise.all([stepInProcess(cacheDir), stepInProcess(cacheDir)])).flat();
  assert.equal(new Set(results.map((result) => result.sha256)).size, 1);
  assert.equal(readdirSync(join(cacheDir, 'compiled')).length, 1);
  assert.equal((await stepInProcess(cacheDir))[0]?.recorded, false);
});

test('a damaged entry is recorded again and replaced', () => {
  const cacheDir = freshCache();
  using(compileSmall(cacheDir), (graph) => assert.equal(graph.recorded, true));
  const [name] = readdirSync(join(cacheDir, 'compiled'));
  for (const file of ['saved_model.pb', 'graph.json']) {
    const path = join(cacheDir, 'compiled', name!, file);
    writeFileSync(path, readFileSync(path).subarray(0, 100));
    using(compileSmall(cacheDir), (graph) => {
      assert.equal(graph.recorded, true, file);
      assert.equal(graph.run(smallStep.arrays())[0]!.length, smallStep.length);
    });
    using(compileSmall(cacheDir), (graph) => assert.equal(graph.recorded, false, file));
  }
  assert.deepEqual(readdirSync(join(cacheDir, 'compiled')), [name]);
});

test('the cache keeps a bounded number of entries, the newest', () => {
  const cacheDir = freshCache();
  const compiled = join(cacheDir, 'compiled');
  for (let i = 0; i < 300; i++) mkdirSync(join(compiled, `old${i}`), { recursive: true });
  using(compileSmall(cacheDir), () => undefined);
  assert.equal(readdirSync(compiled).length, 256);
  using(compileSmall(cacheDir), (graph) => assert.equal(graph.recorded, false));
});

test('another key, shape or input type is another entry', () => {
  const cacheDir = freshCache();
  const compile = (key: string, length: number) =>
    compileGraph({
      key,
      cacheDir,
      inputs: [{ name: 'x', dtype: 'float32', shape: [length] }],
      build: ([x]) => [tf.mul(x!, key.length)],
    });
  for (const [key, length] of [
    ['a', 2],
    ['bb', 2],
    ['a', 3],
  ] as const)
    using(compile(key, length), (graph) => {
      assert.equal(graph.recorded, true);
      assert.deepEqual(
        [...graph.run([new Float32Array(length).fill(1)])[0]!],
        Array(length).fill(key.length),
      );
    });
});

test('a large constant captured by accident is refused by the name of its reader', () => {
  leavingNoTensors(() => {
    const weights = tensorOf([600]);
    const build = ([x]: Tensor[]) => [tf.mul(x!, weights)];
    const options = {
      key: 'captured',
      inputs: [{ name: 'x', dtype: 'float32', shape: [600] }],
      build,
    } as const;
    assert.throws(() => compileGraph(options), {
      code: 'failedPrecondition',
      message: /Mul reads a captured constant \[600\] of 600 values.*declare it as an input/,
    });
    weights.dispose();
  });
});

test('a small captured tensor and a large one of one repeated value are part of the graph', () => {
  const offset = tensorOf([4], 8);
  using(
    compileOfVector((x) => tf.add(tf.add(x, offset), tf.sum(tf.ones([1000])))),
    (graph) => {
      const wanted = numbers(4, 8).map((value) => value + 1000);
      offset.dispose();
      assert.ok(relativeError(graph.run([new Float32Array(4)])[0]!, wanted) < 1e-6);
    },
  );
});

test('a function that branches on values, draws numbers or keeps tensors is refused', () => {
  const inputs = [{ name: 'x', dtype: 'float32', shape: [4] }] as const;
  const compile = (build: (x: Tensor) => Tensor) =>
    compileGraph({ key: 'refused', inputs, build: ([x]) => [build(x!)] });
  leavingNoTensors(() => {
    assert.throws(() => compile((x) => (x.dataSync()[0]! > 0 ? x : tf.neg(x))), /must not branch on values/);
    assert.throws(
      () => compile((x) => tf.cast(tf.multinomial(x as never, 3), 'float32')),
      /cannot be recorded/,
    );
    assert.throws(() => compile((x) => tf.addN([x, tf.neg(x), tf.exp(x)])), /AddN .* order .* addAll/);
    assert.throws(() => compile((x) => tf.cast(x, 'int32')), /output 0 .* cast it/);
  });
  let kept: Tensor | undefined;
  assert.throws(() => compile((x) => (kept = tf.keep(tf.neg(x)))), /keeps 1 tensors alive/);
  kept?.dispose();
});

test('after a failed recording the backend computes as before', () => {
  leavingNoTensors(() => {
    const { binding } = nativeBackend();
    assert.throws(() =>
      compileOfVector(() => {
        throw new Error('from the function');
      }),
    );
    assert.equal(nativeBackend().binding, binding);
    tf.tidy(() => assert.deepEqual([...tf.add(tf.tensor1d([1]), 1).dataSync()], [2]));
  });
});

test('a tensor made before a recording and uploaded during it is usable afterwards', () => {
  leavingNoTensors(() => {
    const offset = tf.tensor1d([1, 2, 3, 4]);
    compileOfVector((x) => tf.add(x, offset)).dispose();
    tf.tidy(() => assert.deepEqual([...tf.add(offset, 1).dataSync()], [2, 3, 4, 5]));
    offset.dispose();
  });
});

test('wrong arrays are refused by the name of the input', () => {
  using(compileSmall(), (graph) => {
    const [weights, images, labels] = smallStep.arrays();
    assert.throws(() => graph.run([weights, images]), /takes 3 inputs \(weights, images, labels\), not 2/);
    assert.throws(() => graph.run([weights, new Float32Array(images.length), labels]), {
      code: 'invalidArgument',
      message: /input images is uint8 .* given Float32Array/,
    });
    assert.throws(
      () => graph.run([weights.subarray(1), images, labels]),
      /input weights .* given Float32Array of/,
    );
  });
});

test('the first output goes to its place in shared memory, the others to arrays of their own', () => {
  const inputs: GraphInput[] = [{ name: 'x', dtype: 'float32', shape: [4] }];
  const build = ([x]: Tensor[]): Tensor[] => [tf.neg(x!), tf.square(x!)];
  using(compileGraph({ key: 'two outputs', inputs, build }), (graph) => {
    const into = new Float32Array(new SharedArrayBuffer(16));
    // An array that begins at no multiple of what the library aligns memory to.
    const x = new Float32Array(new SharedArrayBuffer(20), 4, 4).map((_, i) => i + 0.5);
    const tensors = nativeBackend().binding.getNumOfTensors();
    const [squares, ...none] = graph.run([x], into);
    assert.deepEqual([...into], [-0.5, -1.5, -2.5, -3.5]);
    assert.deepEqual([...squares!], [0.25, 2.25, 6.25, 12.25]);
    assert.deepEqual(none, []);
    assert.deepEqual(
      graph.run([x]).map((values) => [...values]),
      [[...into], [...squares!]],
    );
    assert.equal(nativeBackend().binding.getNumOfTensors(), tensors);
    assert.throws(() => graph.run([x], new Float32Array(3)), /gives 4 numbers where 3 belong/);
  });
});

test('a disposed graph is gone and says so', () => {
  const models = () => nativeBackend().binding.getNumOfSavedModels();
  const before = models();
  const graph = compileOfVector((x) => tf.neg(x));
  assert.equal(models(), before + 1);
  graph.dispose();
  graph.dispose();
  assert.equal(models(), before);
  assert.throws(() => graph.run([new Float32Array(4)]), /was disposed/);
});

test('equal nodes are one node and unread ones are left out', () => {
  const nodes = (build: (x: Tensor) => Tensor[]) =>
    saveGraph(record({ inputs: [{ name: 'x', dtype: 'float32', shape: [4] }], build: ([x]) => build(x!) }))
      .nodes;
  const single = nodes((x) => [tf.exp(x)]);
  assert.equal(
    nodes((x) => [tf.exp(x), tf.exp(x)]),
    single + 1,
    'only the second output is added',
  );
  assert.equal(
    nodes((x) => {
      tf.neg(x);
      return [tf.exp(x)];
    }),
    single,
  );
});

test('a cache that cannot be written is done without: the graph is used, and a warning says why', async () => {
  const inTheWay = join(freshCache(), 'file');
  writeFileSync(inTheWay, '');
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
  const use = () =>
    using(compileSmall(join(inTheWay, 'graphs')), (graph) => assert.equal(graph.recorded, true));
  leavingNoTensors(use);
  assert.match((await warned).message, /^compiled graphs are not kept: .*(ENOTDIR|EEXIST)/);
});
