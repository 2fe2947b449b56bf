// `npm run bench:digests`: one run of each kind on a fleet of two workers, and the digests of what came out.
// A change that is not to change any result runs this before and after it, on one machine, and compares the
// two outputs; seeds and data are fixed here. The program has no goals of its own, because digests belong to
// a device class (docs/determinism.md).

import { unary } from '../core/net/grpc-client.ts';
import { startFleet, type TestFleet } from '../test/support/fleet.ts';

interface Kind {
  readonly name: string;
  readonly kind: 'candidate' | 'teacher' | 'student';
  /** Lines of the section `training` beside those that all kinds share. */
  readonly training: string;
}

const KINDS: readonly Kind[] = [
  { name: 'every-step', kind: 'teacher', training: '' },
  { name: 'outer', kind: 'teacher', training: 'sync: { kind: outer, every: 4 }' },
  { name: 'sharded-head', kind: 'teacher', training: 'head: sharded' },
  { name: 'candidate', kind: 'candidate', training: '' },
  { name: 'student', kind: 'student', training: '' },
  { name: 'student-outer', kind: 'student', training: 'sync: { kind: outer, every: 4 }' },
  { name: 'student-sharded', kind: 'student', training: 'head: sharded' },
  { name: 'int8', kind: 'teacher', training: 'compression: int8' },
];

/** 10 training identities x 8 images = 80 images; 8 a step: 10 steps an epoch, 30 steps. */
const specOf = ({ name, kind, training }: Kind, teacher: string): string => `
kind: ${kind}
name: ${name}
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 13, images: 8, holdout: 3, seed: 5 }
training:
  epochs: 3
  batch: 8
  shards: 2
  seed: 7
  optimizer: { learningRate: 0.05, milestones: [2] }
  ${training}
verification: { pairs: 40 }
workers: { min: 2, max: 2 }
# Students follow one after the other.
checkpoints: { keep: all }
${kind === 'student' ? `distillation: { teacher: ${teacher}, schedule: multi-step }` : ''}
`;

const row = (...cells: readonly string[]): void => void process.stdout.write(`| ${cells.join(' | ')} |\n`);

const fleet = await startFleet({ workers: ['w1', 'w2'] });
try {
  row('kind', 'steps', 'weights', 'state', 'ledger', 'content of the last checkpoint, SHA-256');
  row('---', '---', '---', '---', '---', '---');
  let teacher = '';
  for (const kind of KINDS) {
    const id = await report(fleet, kind, teacher);
    if (teacher === '') teacher = id;
  }
} finally {
  await fleet.stop();
}

/** Trains one run, prints its row and returns its id. */
async function report({ client, submit, finished }: TestFleet, kind: Kind, teacher: string): Promise<string> {
  const [id = ''] = (await submit(specOf(kind, teacher))).runIds;
  const { step, weightsDigest } = await finished(id);
  const last = (await unary(client, client.getLedger, { runId: id })).entries.at(-1);
  row(
    kind.name,
    String(step),
    weightsDigest,
    last?.stateDigest ?? 'none',
    last?.ledgerDigest ?? 'none',
    last?.digest ?? 'none',
  );
  return id;
}
