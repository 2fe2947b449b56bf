// A member of a gang in a process of its own, for tests that kill it. Arguments: JSON of what it joins. It writes
// `synced`, then `summed STEP` after each step, and stays until it is killed or its test has ended.

import { gangMember, membersOf, synchronise, train } from './gang.ts';

const options = JSON.parse(process.argv[2]!) as Parameters<typeof gangMember>[0] & { readonly steps: number };
const replica = await gangMember(options);
await synchronise(replica);
process.stdout.write('synced\n');
const member = membersOf(options.counts)[options.rank]!;
for (let step = 1; step <= options.steps; step++) {
  await train(replica, member, step);
  process.stdout.write(`summed ${step}\n`);
}
// Its connection holds the process until it is killed.
