// npm run golden:pack -- FROM INTO [--without ENTRY]...: packs a plain folder of golden fixtures, for example into
// test/fixtures/golden. npm run golden:unpack -- INTO: writes the plain files of this repository's fixtures, for other tools.

import { parseArgs } from 'node:util';
import { toFleetError } from '../../core/errors.ts';
import { GOLDEN, packFolder, unpackFolder } from './packed-folder.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { without: { type: 'string', multiple: true, default: [] } },
});
const [action, first, second] = positionals;
try {
  if (action === 'pack' && first !== undefined && second !== undefined)
    packFolder({ from: first, into: second, without: values.without });
  else if (action === 'unpack' && first !== undefined)
    for (const { reason } of unpackFolder(GOLDEN, first)) fail(reason);
  else fail('give `pack FROM INTO` or `unpack INTO`');
} catch (caught) {
  fail(toFleetError(caught).message);
}

function fail(reason: string): void {
  console.error(reason);
  process.exitCode = 1;
}
