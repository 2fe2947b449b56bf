// `npm run bench:recompute`: what a step saves and costs whose backward pass computes activations again
// (core/tensor/passes/recompute.ts). Peak memory and processor time of a training step of one shard, each way in
// processes of its own that take turns, because a process never gives its peak back; one thread. Decides what is
// measured.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setNativeEnvironment } from '../core/config.ts';
import { IMAGE_BYTES } from '../core/data/images/pixels.ts';
import { sha256Hex } from '../core/digest.ts';
import { buildNetwork } from '../core/nn/build.ts';
import { initialWeights } from '../core/nn/init.ts';
import { layoutOf } from '../core/nn/layout.ts';
import { uniforms } from '../core/rng.ts';
import { networkSchema } from '../core/spec/network.ts';
import { loaderArguments } from '../core/system/script-arguments.ts';
import { nativeEnvironment } from '../worker/compute/device.ts';
import { atLeast, atMost, median, optionsOf, say, tell } from './goals.ts';

const CLASSES = 1000;

/** What one process has measured. */
interface Measured {
  /** Bytes that the first step took beyond what was there. */
  readonly peakBytes: number;
  /** CPU milliseconds of each further step. */
  readonly times: readonly number[];
  /** SHA-256 of the last step's vector. */
  readonly digest: string;
}

const { json, batch, steps, turns, again, child } = optionsOf({
  ...{ batch: 16, steps: 4, turns: 3 },
  // How it calls itself.
  ...{ again: 0, child: 0 },
});
if (child === 1) say(JSON.stringify(await measured(again === 1)));
else compare();

async function measured(recompute: boolean): Promise<Measured> {
  // The library reads it when it is loaded, hence the imports behind it.
  setNativeEnvironment(nativeEnvironment(1));
  const { trainingFunction } = await import('../core/nn/step-function.ts');
  const { compileGraph } = await import('../core/tensor/graph/compiled.ts');
  const network = buildNetwork(
    networkSchema.parse({ kind: 'pocketnet', channels: 16, layers: 18, embedding: 128, genotype: 'casia' }),
  );
  const layout = layoutOf(network, { classes: CLASSES });
  const step = trainingFunction({
    network,
    layout,
    batch,
    loss: { scale: 64, margin: 0.5 },
  });
  const graph = compileGraph({ key: 'step', ...step, recompute });
  const inputs = [
    initialWeights(layout, 1),
    Uint8Array.from(uniforms(1, 'images', batch * IMAGE_BYTES), (value) => Math.floor(value * 256)),
    Int32Array.from({ length: batch }, (_, image) => image % CLASSES),
  ];
  const before = peak();
  graph.run(inputs);
  const peakBytes = peak() - before;
  let vector = new Float32Array();
  const times = Array.from({ length: steps }, () => {
    const from = process.cpuUsage();
    vector = graph.run(inputs)[0]! as Float32Array<ArrayBuffer>;
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1000;
  });
  graph.dispose();
  return { peakBytes, times, digest: sha256Hex(new Uint8Array(vector.buffer)) };
}

/** The largest resident set of this process so far, bytes. */
function peak(): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}

function compare(): void {
  const kept: Measured[] = [];
  const computed: Measured[] = [];
  for (let turn = 0; turn < turns; turn++) {
    kept.push(inProcess(0));
    computed.push(inProcess(1));
  }
  const memory = (all: readonly Measured[]) => median(all.map(({ peakBytes }) => peakBytes));
  const time = (all: readonly Measured[]) => median(all.flatMap(({ times }) => times));
  const least = (all: readonly Measured[]) => Math.min(...all.flatMap(({ times }) => times));
  say(`a step of S-128 with ${batch} images, medians of ${turns} processes of ${steps} steps each way`);
  for (const [way, all] of [
    ['activations kept', kept],
    ['computed again', computed],
  ] as const)
    say(
      `${way.padEnd(16)} ${(memory(all) / 1e6).toFixed(0).padStart(5)} MB, ${time(all).toFixed(0)} ms of CPU, smallest ${least(all).toFixed(0)}`,
    );
  const digests = new Set([...kept, ...computed].map(({ digest }) => digest));
  tell(
    [
      atMost('different results', digests.size, 1, 'digests'),
      atLeast('memory kept / computed again', memory(kept) / memory(computed), 1.5, 'times'),
      atMost('time computed again / kept', time(computed) / time(kept), 1.6, 'times'),
    ],
    { kept, computed },
    json,
  );
}

function inProcess(way: number): Measured {
  const options = ['--child=1', `--again=${way}`, `--batch=${batch}`, `--steps=${steps}`];
  const { stdout, status, stderr } = spawnSync(
    process.execPath,
    [...loaderArguments(), fileURLToPath(import.meta.url), ...options],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`the measuring process ended with ${status}: ${stderr.slice(-2000)}`);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Measured;
}
