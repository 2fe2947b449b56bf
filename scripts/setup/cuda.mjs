// CUDA's libraries beside libtensorflow: whether each is found by the loader's rules, and a link for one that is not. The
// library that opens them is libtensorflow_framework.so.2, whose list of folders (DT_RUNPATH) forgets cusolver in 2.21: TensorFlow
// then skips every GPU, below the level at which it is heard.

import { existsSync, readdirSync, statSync, symlinkSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
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
 * Puts a relative link to each library that lies in nvidia/ and is not found into a folder that is searched: the last one that
 * holds one of the others. There it is as deep as at home, so that it finds its own needs through its own `$ORIGIN/../../…`.
 */
export function linkCudaLibraries(deps) {
  const opener = join(deps, OPENER);
  const dynamic = readDynamic(opener);
  const reached = (name) => findThrough(opener, name, dynamic) !== undefined;
  const missing = CUDA_LIBRARIES.filter((name) => !reached(name));
  const place = searchFolders(opener, dynamic)
    .filter((folder) => CUDA_LIBRARIES.some((name) => existsSync(`${folder}/${name}`)))
    .at(-1);
  if (place === undefined) return;
  for (const name of missing) {
    const home = libraryFolders(deps).find((folder) => existsSync(join(folder, name)));
    if (home !== undefined) symlinkSync(join(relative(resolve(place), home), name), `${place}/${name}`);
  }
}

/** Throws with the name of each library that the loader would not find, be it opened or needed by one that is. */
export function checkCudaLibraries(deps) {
  const lost = lostLibraries(deps);
  if (lost.length === 0) return;
  const sentences = lost.map(
    ({ name, by, folders }) =>
      `${by} does not find ${name} (it looks in ${folders.join(', ') || 'no folder of its own'})`,
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
        lost.push({ name, by: relative(deps, path), folders: searchFolders(path, dynamic) });
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

const needsOfCuda = ({ needed }) => needed.filter((name) => OF_CUDA.test(name) && !OF_DRIVER.test(name));

function libraryFolders(deps) {
  const nvidia = join(deps, 'nvidia');
  if (!existsSync(nvidia)) return [];
  return readdirSync(nvidia)
    .sort()
    .map((name) => join(nvidia, name, 'lib'))
    .filter((folder) => existsSync(folder) && statSync(folder).isDirectory());
}
