// `npm run test:attacks`: every attack on a fleet in which all programs share a token, and on one as `up` and the
// chart start it, as one Markdown table. Ends with 0 when the second fleet has refused each of them with a
// sentence.

import { ATTACKS } from './attacks.ts';
import { startClosed, startShared } from './fleets.ts';

const shared = await startShared();
const closed = await startClosed();
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const lines = [
  '| attack | with the rights of | one token for all | identities and roles | what it says |',
  '|---|---|---|---|---|',
];
let worked = 0;
try {
  for (const { name, as, attempt } of ATTACKS) {
    const before = await attempt(shared);
    const now = await attempt(closed);
    worked += now.worked || now.what === '' ? 1 : 0;
    const word = (outcome: typeof now): string => (outcome.worked ? 'worked' : 'refused');
    lines.push(`| ${name} | ${as} | ${word(before)} | ${word(now)} | ${cell(now.what)} |`);
  }
} finally {
  await shared.stop();
  await closed.stop();
}
process.stdout.write(`${lines.join('\n')}\n\n${ATTACKS.length} attacks, ${worked} of them worked\n`);
process.exitCode = worked === 0 ? 0 : 1;
