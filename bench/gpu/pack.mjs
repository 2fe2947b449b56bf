// node bench/gpu/pack.mjs FOLDER [--steps small-16,S-128-16]: packs what a bare machine with a GPU needs to run our training steps, as
// FOLDER/pack.tar.gz: Node itself, the addon for PJRT, the compiled tree, two packages, and the steps as modules of StableHLO, which are
// lowered here, so that libtensorflow stays here. The machine brings the plugin and PyTorch. bare.mjs runs there. At most 60 MiB.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

Object.assign(process.env, { TF_CPP_MIN_LOG_LEVEL: '2', TF_NUM_INTRAOP_THREADS: '1', OMP_NUM_THREADS: '1' });

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const BYTES_MAX = 60 * 2 ** 20;
/** Networks and images a step. Only the first has TensorFlow's numbers beside it. */
const STEPS = [
  'small-16',
  ...[16, 64, 128].flatMap((batch) => [`S-128-${batch}`, `IResNet-100-${batch}`]),
  'M-128-64',
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { steps: { type: 'string', default: STEPS.join() } },
});
if (positionals.length !== 1) throw new Error('name the folder: node bench/gpu/pack.mjs FOLDER');
const target = resolve(positionals[0]);
const folder = join(target, 'pack');
rmSync(folder, { recursive: true, force: true });
mkdirSync(join(folder, 'steps'), { recursive: true });

const dist = (path) => import(join(root, 'dist', path));
const { lower, recordLowerable } = await dist('core/tensor/lowering/lower.js');
const { trainingFunction } = await dist('core/nn/step-function.js');
const { initialWeights } = await dist('core/nn/init.js');
const { tensorflowEngine } = await dist('core/tensor/graph/tensorflow-engine.js');
const { stepNamed, stepInputs } = await dist('bench/gpu/steps.js');

for (const name of values.steps.split(',')) {
  const { prepared, loss } = stepNamed(name);
  const { network, layout, work } = prepared;
  const step = trainingFunction({ network, layout, loss, batch: work.batch });
  for (const precision of ['float32', 'tf32', 'bf16'])
    writeFileSync(
      join(folder, 'steps', `${name}-${precision}.json`),
      JSON.stringify(lower(recordLowerable(step), { precision })),
    );
  if (name === values.steps.split(',')[0]) {
    const graph = tensorflowEngine.compile({ key: name, ...step });
    const [vector] = graph.run(stepInputs(prepared, initialWeights(layout, 1)));
    graph.dispose();
    writeFileSync(join(folder, 'steps', `${name}.expected`), new Uint8Array(vector.buffer));
  }
  process.stdout.write(`${name}: lowered\n`);
}
writeFileSync(join(folder, 'steps.json'), JSON.stringify(values.steps.split(',')));

for (const part of ['core', 'proto', 'bench/gpu', 'bench/train'])
  cpSync(join(root, 'dist', part), join(folder, 'tree', part), {
    recursive: true,
    dereference: true,
    filter: (path) => !/\.(map|d\.ts)$/.test(path),
  });
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
for (const name of ['zod', '@bufbuild/protobuf'])
  cpSync(join(root, 'node_modules', name), join(folder, 'node_modules', name), {
    recursive: true,
    filter: (path) => !/\.(map|d\.ts|d\.cts|d\.mts|md)$|\/src(\/|$)/.test(path),
  });
cpSync(join(root, 'node_modules/.pocketfleet-pjrt/pjrt.node'), join(folder, 'pjrt.node'));
cpSync(process.execPath, join(folder, 'node'), { dereference: true });
for (const name of ['bench/gpu/bare.mjs', 'bench/gpu/torch_gpu.py', 'bench/train/torch-member.py'])
  cpSync(join(root, name), join(folder, name.split('/').at(-1)));

const archive = join(target, 'pack.tar.gz');
execFileSync('tar', ['-C', target, '-I', 'gzip -9', '-cf', archive, 'pack']);
const { size } = statSync(archive);
process.stdout.write(
  `${archive}: ${(size / 2 ** 20).toFixed(1)} MiB; there: tar xzf pack.tar.gz && ./pack/node pack/bare.mjs\n`,
);
if (size > BYTES_MAX) {
  process.stderr.write(`that is above ${BYTES_MAX / 2 ** 20} MiB: name fewer steps with --steps\n`);
  process.exitCode = 1;
}
