// Which version of the programs this is: the version from package.json, and the revision of the sources that
// they were built from. Decides where a revision is looked for: images have it in a file, because they have no
// repository; elsewhere it is what the repository has checked out.

import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { PACKAGE_ROOT } from './places.ts';

/** The version, e.g. `0.1.0`. */
export function packageVersion(): string {
  return (JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8')) as { version: string })
    .version;
}

/** The first twelve hex digits of the commit of the sources; `unknown` where nothing tells. */
export function sourceRevision(root: string = PACKAGE_ROOT): string {
  return (textOf(join(root, 'REVISION')) || checkedOut(root) || 'unknown').slice(0, 12);
}

/** The commit that git has checked out in this folder; git itself need not be installed. */
function checkedOut(root: string): string | undefined {
  const dotGit = join(root, '.git');
  const linked = textOf(dotGit)?.match(/^gitdir: (.+)$/)?.[1];
  const gitDir = linked === undefined ? dotGit : within(root, linked);
  const head = textOf(join(gitDir, 'HEAD'));
  const ref = head?.match(/^ref: (.+)$/)?.[1];
  if (ref === undefined) return head;
  const common = textOf(join(gitDir, 'commondir'));
  const refsDir = common === undefined ? gitDir : within(gitDir, common);
  const packed = textOf(join(refsDir, 'packed-refs'))
    ?.split('\n')
    .find((line) => line.endsWith(` ${ref}`));
  return textOf(join(refsDir, ref)) ?? packed?.split(' ')[0];
}

const within = (folder: string, path: string): string => (isAbsolute(path) ? path : join(folder, path));

/** Undefined where no such file can be read. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
