// npm run test:golden -- [--dir DIR] [--scale F] [--brief] [--engine tensorflow|pjrt]: checks the implementation against a folder of golden fixtures, packed or plain,
// and prints one line a comparison: file, check, measured difference, tolerance, ok or FAIL. Without --dir it takes the
// fixtures of this repository. F multiplies every tolerance, for a device that computes in other orders. --brief leaves out
// what takes longest and no worker runs: training on composed operations, further seeds of screening scores, and the search
// network with an unweighted skip beside each edge. --engine=pjrt compares what is compiled, by a plugin of PJRT (engine.ts), and
// leaves out what is not: traces and whatever runs operation by operation. Exit status 1 when anything fails; files that nothing checks are named.

import { parseArgs } from 'node:util';
import { GOLDEN } from './packed-folder.ts';

const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: GOLDEN },
    scale: { type: 'string', default: '1' },
    brief: { type: 'boolean', default: false },
    engine: { type: 'string', default: 'tensorflow' },
  },
});
const scale = Number(values.scale);
if (!(scale > 0)) {
  console.error(
    `--scale ${values.scale}: give a positive number that multiplies every tolerance, for example 2`,
  );
  process.exit(2);
}

if (values.engine !== 'tensorflow' && values.engine !== 'pjrt') {
  console.error(`--engine ${values.engine}: give tensorflow or pjrt`);
  process.exit(2);
}

// As workers compute: on one thread. TensorFlow reads these when it is loaded, hence the import below and not above.
Object.assign(process.env, {
  TF_CPP_MIN_LOG_LEVEL: '2',
  TF_NUM_INTRAOP_THREADS: '1',
  TF_NUM_INTEROP_THREADS: '1',
  OMP_NUM_THREADS: '1',
  GOLDEN_ENGINE: values.engine,
});
// Loading TensorFlow's addon makes node-pre-gyp read this process's arguments and take --dir for an option of its own.
process.argv.splice(2);
const { checkFolder, rowText } = await import('./runner.ts');

let checked = 0;
let failed = 0;
const checking = { scale, brief: values.brief, compiledOnly: values.engine === 'pjrt' };
for await (const outcome of checkFolder(values.dir, checking)) {
  switch (outcome.kind) {
    case 'checked':
      checked += outcome.rows.length;
      failed += outcome.rows.filter((row) => !row.ok).length;
      for (const row of outcome.rows) console.log(rowText(row));
      break;
    case 'failed':
      failed++;
      console.log(`${outcome.file} could not be checked: ${outcome.reason} FAIL`);
      break;
    case 'unchecked':
      console.log(`${outcome.file} - ${outcome.reason}`);
      break;
  }
}
console.log(`${checked} comparisons, ${failed} failed, in ${values.dir}`);
process.exitCode = failed > 0 ? 1 : 0;
