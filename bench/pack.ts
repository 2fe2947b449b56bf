// Opens a pack of the size of MS1MV2 (5,822,653 records, 85,742 classes, InsightFace's layout, each image a
// PNG of one pixel) and prints what that costs: `npm run bench:pack -- [DIR] [--json]`. A pack is made in DIR
// when there is none (about 600 MB), otherwise in a folder that is removed. Goals: 10 CPU seconds and 200 MB
// the first time, 1 CPU second again.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeLargePack } from '../test/support/large-pack.ts';
import { argumentsOf } from './goals.ts';

const IMAGES = 5_822_653;
const CLASSES = 85_742;

interface Cost {
  readonly cpuSeconds: number;
  readonly seconds: number;
  readonly memoryMb: number;
}

/** In a process of its own, so that what it takes is its own; the start of the process counts. */
function openingCost(dir: string, cache: string): Cost {
  const script = `
    import { createDataCache } from ${JSON.stringify(new URL('../core/data/inspection/data-cache.ts', import.meta.url).href)};
    import { openDataset } from ${JSON.stringify(new URL('../core/data/dataset.ts', import.meta.url).href)};
    const started = performance.now();
    const data = await openDataset({ kind: 'recordio', path: ${JSON.stringify(dir)}, holdout: 100 }, { cache: createDataCache(${JSON.stringify(cache)}) });
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    console.log(JSON.stringify({ cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, seconds: (performance.now() - started) / 1000, memoryMb: maxRSS / 1024 }));
    await data.close();`;
  const file = join(cache, 'open.mts');
  mkdirSync(cache, { recursive: true });
  writeFileSync(file, script);
  const run = spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), file], {
    encoding: 'utf8',
  });
  if (run.status !== 0) throw new Error(run.stderr);
  return JSON.parse(run.stdout) as Cost;
}

async function main(): Promise<void> {
  const { values, positionals } = argumentsOf(
    { options: { json: { type: 'boolean' } }, allowPositionals: true },
    '--json and a folder',
  );
  const [named] = positionals;
  const dir = named ?? mkdtempSync(join(tmpdir(), 'pf-pack-'));
  const cache = mkdtempSync(join(tmpdir(), 'pf-pack-cache-'));
  try {
    mkdirSync(dir, { recursive: true });
    if (!existsSync(join(dir, 'train.rec'))) await writeLargePack(dir, IMAGES, CLASSES);
    const [first, again] = [openingCost(dir, cache), openingCost(dir, cache)];
    const line = (name: string, cost: Cost, goal: number) =>
      console.log(
        `${name}: ${cost.cpuSeconds.toFixed(2)} CPU s (goal ${goal}), ${cost.seconds.toFixed(2)} s, ${cost.memoryMb.toFixed(0)} MB (goal 200)`,
      );
    line('first time', first, 10);
    line('again', again, 1);
    if (values.json) console.log(JSON.stringify({ first, again }));
  } finally {
    rmSync(cache, { recursive: true, force: true });
    if (named === undefined) rmSync(dir, { recursive: true, force: true });
  }
}

await main();
