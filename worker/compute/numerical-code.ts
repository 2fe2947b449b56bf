// The digest of the code that decides the bits of a run: how its data are read and shuffled, its network and
// step computed, its shards summed, its weights updated, and how it is verified. Decides which files these are.
// Results of one digest may stand for each other. What a device computes is a part of its class, with its
// library and our own kernels (device.ts); neither comments nor log texts of other rooms change the digest.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { sha256Hex } from '../../core/digest.ts';
import { PACKAGE_ROOT, PROGRAMS } from '../../core/system/places.ts';

/** Rooms and files, without the endings of their names, whose code decides bits. */
export const NUMERICAL_CODE: readonly string[] = [
  ...['core/rng', 'core/state-vectors', 'core/half-floats', 'core/spec/schedule'],
  ...['core/tensor', 'core/nn', 'core/loss', 'core/optim', 'core/head', 'core/search'],
  ...['core/allreduce/kernels', 'core/allreduce/plan', 'core/allreduce/reduce', 'core/allreduce/reduction'],
  ...['core/allreduce/own-vectors', 'core/allreduce/residuals'],
  ...['core/data/images', 'core/data/loading', 'core/data/packs', 'core/data/synthetic'],
  ...['core/data/dataset', 'core/data/folder', 'core/data/holdout', 'core/data/ordering'],
  ...['core/verify/kfold', 'core/verify/pairs', 'core/verify/roc'],
  ...['worker/training', 'worker/compute/graphs', 'worker/compute/layouts', 'worker/compute/thread'],
  ...['worker/compute/kept-states', 'worker/compute/kept-rows'],
  ...['worker/verification/embedder', 'worker/verification/evaluate', 'worker/verification/images'],
];

/** Packages that decide bits: the tensors' and that which decodes images. */
const PACKAGES = /^(@tensorflow\/|sharp$)/;

/** Hexadecimal digits of the digest. */
const DIGITS = 16;

/** The digest of the code that runs; some milliseconds. Another folder may be given in its place. */
export function numericalCode(programs: string = PROGRAMS, packageRoot: string = PACKAGE_ROOT): string {
  const { dependencies } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  const packages = Object.entries(dependencies).filter(([name]) => PACKAGES.test(name));
  const files = NUMERICAL_CODE.flatMap((room) => filesOf(programs, room)).sort();
  const lines = files.map((file) => {
    const code = withoutComments(readFileSync(join(programs, file), 'utf8'));
    return `${file.replace(/\.[jt]s$/, '')} ${sha256Hex(code)}`;
  });
  return sha256Hex([...packages.map((one) => one.join(' ')).sort(), ...lines].join('\n')).slice(0, DIGITS);
}

/** The modules of a room, or the one of that name; paths from `root`. */
function filesOf(root: string, room: string): string[] {
  if (statSync(join(root, room), { throwIfNoEntry: false })?.isDirectory())
    return readdirSync(join(root, room), { withFileTypes: true }).flatMap((entry) => {
      const path = `${room}/${entry.name}`;
      if (entry.isDirectory()) return filesOf(root, path);
      return /\.[jt]s$/.test(entry.name) ? [path] : [];
    });
  const found = [`${room}.js`, `${room}.ts`].find((path) =>
    statSync(join(root, path), { throwIfNoEntry: false }),
  );
  if (found === undefined) throw new Error(`assertion: ${room} is neither a room nor a module`);
  return [found];
}

/** The code without the lines that are comments alone, and without what stands before and behind a line. */
function withoutComments(text: string): string {
  let isInside = false;
  const lines = text.split('\n').map((line) => line.trim());
  return lines
    .filter((line) => {
      const isComment = isInside || line.startsWith('/*') || line.startsWith('//');
      if (isInside || line.startsWith('/*')) isInside = !line.includes('*/');
      return !isComment && line !== '';
    })
    .join('\n');
}
