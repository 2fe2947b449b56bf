// `npm run test:pjrt`, the addon: a program of StableHLO text runs on each device of the CPU plugin, with donated inputs, shared
// memory and stored programs; whatever a plugin lacks or refuses is one sentence of the error family.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type Code, FleetError } from '../../core/errors.ts';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { PJRT_FOLDER } from '../../core/tensor/pjrt/binding.ts';
import { type Client, openClient } from '../../core/tensor/pjrt/client.ts';
import { cpuClient, cpuPlugin } from '../support/pjrt.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-pjrt-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** out0 = a + b, which may take the place of a; out1 = the sum of out0 in float64. */
const TEXT = `
module @sum {
  func.func public @main(%a: tensor<4xf32> {tf.aliasing_output = 0 : i32}, %b: tensor<4xf32>)
      -> (tensor<4xf32>, tensor<f64>) {
    %0 = stablehlo.add %a, %b : tensor<4xf32>
    %1 = stablehlo.convert %0 : (tensor<4xf32>) -> tensor<4xf64>
    %zero = stablehlo.constant dense<0.0> : tensor<f64>
    %2 = stablehlo.reduce(%1 init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<4xf64>, tensor<f64>) -> tensor<f64>
    return %0, %2 : tensor<4xf32>, tensor<f64>
  }
}`;

const floats = (client: Client, values: readonly number[], device = 0) =>
  client.upload(Float32Array.from(values), 'f32', [values.length], device);

function refused(call: () => unknown, code: Code, words: RegExp): void {
  assert.throws(call, (error) => {
    assert(error instanceof FleetError);
    assert.equal(error.code, code);
    assert.match(error.message, words);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
}

test('a program runs on every device, donates its input, and reads into shared memory', () => {
  const client = cpuClient();
  assert.equal(client.devices.length, 4);
  const program = client.compile({ what: 'the sum', code: TEXT });
  assert.deepEqual(program.outputs, [
    { type: 'f32', shape: [4] },
    { type: 'f64', shape: [] },
  ]);
  assert.equal(program.bytes.aliased, 16);
  for (const device of client.devices.keys()) {
    const a = floats(client, [1, 2, 3, 4], device);
    const b = floats(client, [10, 20, 30, 40], device);
    const [sum, total] = program.run([a, b]);
    const into = new Float32Array(new SharedArrayBuffer(16));
    sum!.read(into);
    const double = new Float64Array(1);
    total!.read(double);
    assert.deepEqual([...into, ...double, sum!.device], [11, 22, 33, 44, 110, device]);
    // b is as it was, and a is over.
    refused(() => program.run([a, b]), 'invalidArgument', /^the sum does not run: .*deleted or donated/);
    assert.equal(program.run([sum!, b]).length, 2);
  }
  program.free();
  program.free();
  refused(() => program.run([]), 'failedPrecondition', /this program was freed/);
});

test('one program on several devices at once gives the same bits as one after the other', () => {
  const client = cpuClient();
  const program = client.compile({ what: 'the sum', code: TEXT });
  const lists = () =>
    [0, 1, 2, 3].map((device) => [
      floats(client, [1, 2, 3, device], device),
      floats(client, [1, 2, 3, 4], device),
    ]);
  const together = program.runAll(lists());
  const alone = lists().map((list) => program.run(list));
  const values = (outputs: typeof together) =>
    outputs.map(([sum]) => {
      const into = new Float32Array(4);
      sum!.read(into);
      return [...into];
    });
  assert.deepEqual(values(together), values(alone));
  assert.deepEqual(values(together)[3], [2, 4, 6, 7]);
});

test('memory is level over 1,000 steps of a state that stays on the device', () => {
  const client = cpuClient();
  const length = 1 << 18;
  const program = client.compile({
    what: 'the long sum',
    code: TEXT.replaceAll('tensor<4x', `tensor<${length}x`),
  });
  const fed = new Float32Array(length).fill(0.5);
  const upload = () => client.upload(fed, 'f32', [length]);
  let state = upload();
  let level = 0;
  for (let step = 1; step <= 1000; step++) {
    const gradient = upload();
    const [next, total] = program.run([state, gradient]);
    for (const buffer of [state, gradient, total!]) buffer.free();
    state = next!;
    if (step === 100) level = process.memoryUsage.rss();
  }
  // A buffer that stayed would be 1 MiB a step.
  const grown = (process.memoryUsage.rss() - level) / 2 ** 20;
  assert(grown < 64, `${grown.toFixed(1)} MiB more after 900 steps`);
  const values = new Float32Array(length);
  state.read(values);
  assert.deepEqual([values[0], values.at(-1)], [500.5, 500.5]);
  state.free();
  program.free();
});

test('a stored program gives the same bits without being compiled again', () => {
  const client = cpuClient();
  const first = client.compile({ what: 'the sum', code: TEXT });
  const again = client.load('the stored sum', first.serialize());
  assert.deepEqual(again.outputs, first.outputs);
  const into = new Float32Array(4);
  again.run([floats(client, [1, 2, 3, 4]), floats(client, [1, 1, 1, 1])])[0]!.read(into);
  assert.deepEqual([...into], [2, 3, 4, 5]);
  refused(
    () => client.load('the stored sum', new Uint8Array([1, 2, 3])),
    'internal',
    /^the plugin does not compile the stored sum: /,
  );
});

test('arrays of another size are refused before the plugin reads beyond their end', () => {
  const client = cpuClient();
  refused(
    () => client.upload(new Float32Array(3), 'f32', [4]),
    'invalidArgument',
    /takes 16 bytes, and the array has 12/,
  );
  refused(() => client.upload(new Float32Array(4), 'f32', [4], 7), 'outOfRange', /no device 7 among 4/);
  const buffer = floats(client, [1, 2]);
  refused(() => buffer.read(new Float32Array(3)), 'invalidArgument', /has 8 bytes, and the array for it 12/);
  buffer.free();
  refused(() => buffer.read(new Float32Array(2)), 'failedPrecondition', /this buffer was freed/);
});

test('a program that the plugin refuses is named, with its reason', () => {
  const client = cpuClient();
  refused(
    () => client.compile({ what: 'the step of S-128', code: 'nonsense' }),
    'internal',
    /^the plugin does not compile the step of S-128: .*nonsense/,
  );
  refused(
    () => client.compile({ what: 'the sum', code: TEXT, options: { xla_no_such_option: true } }),
    'invalidArgument',
    /xla_no_such_option/,
  );
});

/** A plugin that is compiled here, as a file. */
function plugin(name: string, ...defines: string[]): string {
  const file = join(folder, `${name}.so`);
  const given = ['MAJOR=0', 'MINOR=81', 'SIZE=sizeof(PJRT_Api)'].filter(
    (one) => !defines.some((define) => define.startsWith(one.slice(0, one.indexOf('=') + 1))),
  );
  execFileSync(process.env.CC || 'gcc', [
    ...['-shared', '-fPIC', '-O1', '-Wall', '-Werror', `-I${join(PJRT_FOLDER, 'include')}`],
    ...[...given, ...defines].map((define) => `-D${define}`),
    join(PACKAGE_ROOT, 'test/pjrt/plugin.c'),
    ...['-o', file],
  ]);
  return file;
}

test('what is no plugin, or one that this addon cannot call, is one sentence', () => {
  const opened = (path: string) => () => openClient({ path });
  refused(opened(join(folder, 'none.so')), 'notFound', /^the plugin .*none\.so: .*No such file/);
  const library = join(folder, 'library.so');
  writeFileSync(join(folder, 'library.c'), 'int nothing;\n');
  execFileSync(process.env.CC || 'gcc', ['-shared', '-o', library, join(folder, 'library.c')]);
  refused(opened(library), 'failedPrecondition', /no function GetPjrtApi/);
  refused(
    opened(plugin('older', 'MINOR=54')),
    'failedPrecondition',
    /speaks version 0\.54 of PJRT's interface, and 0\.81 or a later/,
  );
  refused(opened(plugin('other', 'MAJOR=1')), 'failedPrecondition', /speaks version 1\.81/);
  refused(
    opened(plugin('lacking', 'WITHOUT=PJRT_Buffer_ToHostBuffer')),
    'failedPrecondition',
    /0\.81 lacks PJRT_Buffer_ToHostBuffer$/,
  );
  refused(
    opened(plugin('short', 'SIZE=offsetof(PJRT_Api,PJRT_Buffer_ToHostBuffer)')),
    'failedPrecondition',
    /interface 0\.81 lacks PJRT_\w+$/,
  );
  refused(opened(plugin('full')), 'resourceExhausted', /gives no device: all memory of the card is taken$/);
});

test('a thread that ends with open programs and buffers takes nothing with it', async () => {
  const file = join(PACKAGE_ROOT, 'dist/core/tensor/pjrt/client.js');
  const code = `import { openClient } from ${JSON.stringify(pathToFileURL(file).href)};
    const client = openClient({ path: ${JSON.stringify(cpuPlugin())} });
    globalThis.kept = [client.compile({ what: 'x', code: ${JSON.stringify(TEXT)} }), client.upload(new Float32Array(4), 'f32', [4])];`;
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
    const ended = await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
    assert.equal(ended, 0);
  }
});
