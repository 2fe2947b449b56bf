// CUDA's libraries beside libtensorflow: whether each is found by the loader's rules, and a link for one that
// is not. The library that opens them is libtensorflow_framework.so.2, whose list of folders (DT_RUNPATH)
// lacks cusolver in 2.21: TensorFlow then skips every GPU, with a message below the level that is shown.

import { existsSync, readdirSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { findThrough, readDynamic, searchFolders } from './elf.mjs';
import { SetupError } from './report.mjs';

const OPENER = 'lib/libtensorflow_framework.so.2';

/** What TensorFlow opens before it uses any GPU; one that is missing makes it skip all. */
export const CUDA_LIBRARIES = [
  'libcudart.so.12',
  'libcublas.so.12',
  'libcublasLt.so.12',
  'libcufft.so.11',
  'libcusolver.so.11',
  'libcusparse.so.12',
  'libcudnn.so.9',
];

/** What the driver brings; the loader finds it in the system's folders. */
const OF_DRIVER = /^lib(cuda|nvidia-ml)\.so\./;
const OF_CUDA = /^lib(cu|nv)/;

/**
 * Puts a relative link to each library that lies in nvidia/ and is not found into a folder of the tree that
 * is searched: beside the first of its own needs that is found. There it is as deep as at home, so that it
 * finds the others through its own `$ORIGIN/../../…`.
 */
export function linkCudaLibraries(deps) {
  const opener = join(deps, OPENER);
  const dynamic = readDynamic(opener);
  const reached = (name) => findThrough(opener, name, dynamic);
  const inTree = (path) => path !== undefined && !relative(deps, path).startsWith('..');
  for (const name of CUDA_LIBRARIES.filter((library) => reached(library) === undefined)) {
    const home = libraryFolders(deps).find((folder) => existsSync(join(folder, name)));
    if (home === undefined) continue;
    const beside = [...readDynamic(join(home, name)).needed, ...CUDA_LIBRARIES].map(reached).find(inTree);
    if (beside === undefined) continue;
    const folder = resolve(dirname(beside));
    symlinkSync(join(relative(folder, home), name), join(folder, name));
  }
}

/**
 * Throws with the name of each library that the loader would not find, be it opened or needed by one that is.
 */
export function checkCudaLibraries(deps) {
  const lost = lostLibraries(deps);
  if (lost.length === 0) return;
  const sentences = lost.map(
    ({ name, by, folders }) =>
      `${by} does not find ${name} (it looks in ${folders.join(', ') || 'no folder that is there'})`,
  );
  throw new SetupError(`${sentences.join('; ')}: TensorFlow would use no GPU`);
}

export function lostLibraries(deps) {
  const opener = join(deps, OPENER);
  const lost = [];
  const seen = new Set();
  const visit = (path, names, otherwise) => {
    const dynamic = readDynamic(path);
    for (const name of names(dynamic)) {
      // The loader does not look for a library of a name that is loaded already.
      const found = findThrough(path, name, dynamic) ?? otherwise(name);
      if (found === undefined)
        lost.push({ name, by: relative(deps, path), folders: presentFolders(path, dynamic) });
      else if (!seen.has(name)) {
        seen.add(name);
        visit(found, needsOfCuda, (needed) =>
          CUDA_LIBRARIES.includes(needed) ? findThrough(opener, needed) : undefined,
        );
      }
    }
  };
  visit(
    opener,
    () => CUDA_LIBRARIES,
    () => undefined,
  );
  return lost;
}

const presentFolders = (path, dynamic) =>
  searchFolders(path, dynamic)
    .filter((folder) => existsSync(folder))
    .map((folder) => resolve(folder));

const needsOfCuda = ({ needed }) => needed.filter((name) => OF_CUDA.test(name) && !OF_DRIVER.test(name));

function libraryFolders(deps) {
  const nvidia = join(deps, 'nvidia');
  if (!existsSync(nvidia)) return [];
  return readdirSync(nvidia)
    .sort()
    .map((name) => join(nvidia, name, 'lib'))
    .filter((folder) => existsSync(folder) && statSync(folder).isDirectory());
}
