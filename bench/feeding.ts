// `npm run bench:feeding`: what it costs to feed a graph and to take its result, for vectors of three sizes: processor
// time of a run from an array in shared memory into another one, as tensors of the addon and by its runGraph, taking
// turns. The graph itself adds one number. Decides what is measured; the ways are core/tensor/graph/session.ts'.

import { setNativeEnvironment } from '../core/config.ts';
import { sharedFloats } from '../core/shared-memory.ts';
import { nativeEnvironment } from '../worker/compute/device.ts';
import { atMost, median, optionsOf, say, tell } from './goals.ts';

const { json, turns } = optionsOf({ turns: 9 });
// The library reads it when it is loaded, hence the imports behind it.
setNativeEnvironment(nativeEnvironment(1));
const { obtainGraph } = await import('../core/tensor/graph/obtain.ts');
const { saveGraph } = await import('../core/tensor/graph/saved-model.ts');
const session = await import('../core/tensor/graph/session.ts');
const { tf } = await import('../core/tensor/tf.ts');

/** MB of float32: a small network, one with the classes in its head, a teacher. */
const MEGABYTES = [4, 48, 222];

const cpuMs = (work: () => void): number => {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
};

const rows = MEGABYTES.map((megabytes) => {
  const length = (megabytes * 1e6) / 4;
  const inputs = [{ name: 'x', dtype: 'float32', shape: [length] }] as const;
  const graph = obtainGraph(
    { key: `feeding ${length}`, inputs: [...inputs], build: ([x]) => [tf.add(x!, 1)] },
    {
      name: 'feeding',
      save: (recording) => saveGraph(recording),
      load: ({ folder }) => session.loadGraph(folder),
    },
  );
  const from = sharedFloats(length).map((_, i) => i % 1000);
  const into = sharedFloats(length);
  const fetches = session.outputNames(1);
  const ways = {
    before: () =>
      session.deletingTensors((held) => {
        const ids = graph.run(session.inputNames(inputs), session.feedArrays(inputs, [from], held), fetches);
        held.push(...ids);
        into.set(session.readOutputs(ids)[0]!);
      }),
    after: () => void graph.compute({ inputs, arrays: [from], fetches, into }),
  };
  const times = { before: [] as number[], after: [] as number[] };
  for (const way of ['before', 'after'] as const) {
    into.fill(0);
    ways[way]();
    if (into[length - 1] !== from[length - 1]! + 1) throw new Error(`${way}: the result is not in its place`);
  }
  for (let turn = 0; turn < turns; turn++)
    for (const way of ['before', 'after'] as const) times[way].push(cpuMs(ways[way]));
  graph.dispose();
  const row = { megabytes, before: median(times.before), after: median(times.after) };
  say(
    `${String(megabytes).padStart(4)} MB: ${row.before.toFixed(1)} CPU ms as tensors, ${row.after.toFixed(1)} by runGraph`,
  );
  return row;
});
tell(
  rows.map(({ megabytes, before, after }) =>
    atMost(`a run of ${megabytes} MB by runGraph, of one by tensors`, after / before, 0.8, 'times'),
  ),
  { rows },
  json,
);
