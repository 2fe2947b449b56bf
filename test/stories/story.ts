// A story as a text: comments, and inputs with what followed from them. This file decides the form: a line that
// begins with `#` is a comment, an input is one line, `----` follows the inputs of a block, and what happened
// stands below it up to the next empty line. A story is written again from its inputs alone, so that the text in
// the tree can be compared with what happens today.

import { perform } from './commands.ts';
import { createFleet } from './fleet.ts';

const RULE = '----';
const COLUMNS = 110;
const INDENT = '      ';

/** The same story with what its inputs lead to now. */
export function replayed(text: string): string {
  const fleet = createFleet();
  const blocks = text.trim().split(/\n{2,}/);
  return `${blocks.map((block) => blockWithOutput(block)).join('\n\n')}\n`;

  function blockWithOutput(block: string): string {
    const lines = block.split('\n');
    const end = lines.indexOf(RULE);
    const given = (end < 0 ? lines : lines.slice(0, end)).map((line) => line.trimEnd());
    const inputs = given.filter((line) => line !== '' && !line.startsWith('#'));
    if (inputs.length === 0) return given.join('\n');
    fleet.output.length = 0;
    for (const input of inputs) perform(fleet, input);
    const output = fleet.output.length > 0 ? fleet.output : ['nothing follows'];
    return [...given, RULE, ...output.flatMap(wrapped)].join('\n');
  }
}

/** A long line in several, the later ones indented. */
function wrapped(line: string): string[] {
  const lines: string[] = [];
  let rest = line;
  while (rest.length > COLUMNS) {
    const cut = rest.lastIndexOf(' ', COLUMNS);
    if (cut <= INDENT.length) break;
    lines.push(rest.slice(0, cut));
    rest = `${INDENT}${rest.slice(cut + 1)}`;
  }
  return [...lines, rest];
}
