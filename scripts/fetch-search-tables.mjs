// What `npm run bench:search` searches: the tables of NAS-Bench-Graph (Qin et al., NeurIPS 2022 Datasets and
// Benchmarks; Apache-2.0), from the wheel of their authors, fetched once into the cache and checked against a
// pinned checksum. Prints the folder.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cacheHome, requirePrograms } from './setup/programs.mjs';
import { unpackWheels } from './setup/wheels.mjs';

const PIN = {
  package: 'nas-bench-graph',
  version: '1.4.0',
  platforms: ['any'],
  sha256: 'f6ea43836262f1ee8d60c35bbbd20aa2536ee1f8492025e3b0b90096f5afc6ad',
};

const cache = join(cacheHome(), 'pocketfleet');
const target = join(cache, `${PIN.package}-${PIN.version}`);
try {
  if (!existsSync(target)) {
    requirePrograms(['python3', 'pip']);
    const members = { 'nas_bench_graph/light/': '' };
    await unpackWheels({ wheels: [{ pin: PIN, members }], target, cache, needBytes: 2 ** 26 });
  }
  process.stdout.write(`${target}\n`);
} catch (caught) {
  process.stderr.write(`${caught.message}\n`);
  process.exitCode = 1;
}
