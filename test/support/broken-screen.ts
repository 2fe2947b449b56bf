// A program that draws on the whole of its terminal and then fails with an error that nothing catches.

import { openScreen } from '../../coordinator/cli/screen/screen.ts';

openScreen(process.stdout).show(() => ['a picture']);
setImmediate(() => {
  throw new Error('nobody catches this');
});
