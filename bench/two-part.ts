// `npm run bench:two-part`: what it costs that a step with a class-sharded head stops at the embeddings.
// Processor time of a shard of PocketNet S-128, backbone forward and backward: in one piece, in two parts
// whose forward pass is kept, and in two parts with it computed again; one thread, taking turns, with some
// shards between their parts at once as in a worker. Decides what is measured; the parts are
// core/tensor/graph/two-part.ts'.

import { readFileSync } from 'node:fs';
import { setNativeEnvironment } from '../core/config.ts';
import { IMAGE_BYTES } from '../core/data/images/pixels.ts';
import { buildNetwork } from '../core/nn/build.ts';
import { initialWeights } from '../core/nn/init.ts';
import { layoutOf } from '../core/nn/layout.ts';
import { uniforms } from '../core/rng.ts';
import { networkSchema } from '../core/spec/network.ts';
import { nativeEnvironment } from '../worker/compute/device.ts';
import { atMost, median, optionsOf, say, tell } from './goals.ts';

const { json, batch, shards, turns } = optionsOf({ batch: 8, shards: 4, turns: 9 });
// The library reads it when it is loaded, hence the imports behind it.
setNativeEnvironment(nativeEnvironment(1));
const { backboneFunction } = await import('../core/nn/step-function.ts');
const { compileGraph } = await import('../core/tensor/graph/compiled.ts');
const { compileTwoPart } = await import('../core/tensor/graph/two-part.ts');

const network = buildNetwork(
  networkSchema.parse({ kind: 'pocketnet', channels: 16, layers: 18, embedding: 128, genotype: 'casia' }),
);
const layout = layoutOf(network);
const step = { key: 'backbone', ...backboneFunction({ network, layout, batch }) };
const whole = compileGraph(step);
const graph = compileTwoPart(step);
if (graph.keptBytes === undefined) {
  say('nothing is ever kept on this device, or by an addon that set-up did not build');
  process.exit(2);
}

const known = [
  initialWeights(layout, 1),
  Uint8Array.from(uniforms(1, 'images', batch * IMAGE_BYTES), (value) => Math.floor(value * 256)),
] as const;
const late = [
  Float32Array.from(uniforms(1, 'slopes', batch * network.embedding), (value) => (value - 0.5) / 100),
  Float32Array.of(1),
] as const;
const all = Array.from({ length: shards });
const inParts = (keep: boolean) => () => {
  for (const begun of all.map(() => graph.begin(known, keep))) begun.finish(late);
};
const ways = {
  'in one piece': () => all.forEach(() => void whole.run([...known, ...late])),
  'computed again': inParts(false),
  kept: inParts(true),
};

interface Row {
  readonly way: string;
  /** CPU milliseconds of a shard, each turn. */
  readonly times: number[];
  /** Largest resident set so far, after this way's first turn. */
  readonly peakMegabytes: number;
}

// In this order each needs more memory than the one before.
const rows = Object.entries(ways).map(([way, run]): Row => {
  run();
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return { way, times: [], peakMegabytes: Number(kilobytes) / 1024 };
});
for (let turn = 0; turn < turns; turn++)
  for (const { way, times } of rows) {
    const from = process.cpuUsage();
    ways[way as keyof typeof ways]();
    const { user, system } = process.cpuUsage(from);
    times.push((user + system) / 1000 / shards);
  }

const medianOf = (way: keyof typeof ways) => median(rows.find((row) => row.way === way)!.times);
say(`${batch} images a shard, ${shards} shards begun at once, medians of ${turns} turns`);
for (const { way, times, peakMegabytes } of rows)
  say(
    `${way.padEnd(15)} ${median(times).toFixed(0).padStart(5)} ms of CPU a shard, smallest ${Math.min(...times).toFixed(0)}, peak ${peakMegabytes.toFixed(0)} MB`,
  );
const one = graph.begin(known, true);
say(`a shard keeps ${(one.kept.bytes / 1e6).toFixed(0)} MB in ${one.kept.tensors} tensors between its parts`);
one.release();
tell(
  [atMost('kept / in one piece', medianOf('kept') / medianOf('in one piece'), 1.1, 'times')],
  { rows, keptBytes: graph.keptBytes },
  json,
);
graph.dispose();
whole.dispose();
