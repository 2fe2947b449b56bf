// Downloads that come as Python wheels: fetched by pip from whatever index the machine is configured for,
// checked against a pinned checksum, and the wanted members unpacked. Nothing of Python is used afterwards.

import { createHash } from 'node:crypto';
import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from './programs.mjs';
import { SetupError } from './report.mjs';

// What is unpacked may be read by everybody and executed by everybody where its owner may: a container's user
// is another than the one who built its image, whatever that one's umask is. Arguments: wheel, target, then
// pairs FROM=TO; a FROM that ends in `/` is a folder with all that is in it.
const UNPACK = `
import os, shutil, sys, zipfile
wheel, target, *pairs = sys.argv[1:]
os.umask(0o022)
wanted = [pair.split('=') for pair in pairs]
with zipfile.ZipFile(wheel) as archive:
    for info in archive.infolist():
        name = info.filename
        if name.endswith('/') or '..' in name.split('/'):
            continue
        for source, to in wanted:
            if name == source or source.endswith('/') and name.startswith(source):
                path = os.path.join(target, to + name[len(source):])
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with archive.open(info) as stream, open(path, 'wb') as sink:
                    shutil.copyfileobj(stream, sink, 1 << 20)
                os.chmod(path, 0o755 if (info.external_attr >> 16) & 0o100 else 0o644)
`;

/**
 * Makes the folder `target` with the wanted members of the wheels, or nothing: it is filled under another
 * name and renamed when complete. Each wheel has `pin` and `members`: what is taken from it and where that
 * goes, by name.
 */
export async function unpackWheels({ wheels, target, cache, needBytes, finish }) {
  const work = temporary(cache);
  try {
    requireSpace(cache, needBytes);
    for (const { pin, members } of wheels) {
      const wheel = await download(pin, join(work, 'wheel'));
      const pairs = Object.entries(members).map(([from, to]) => `${from}=${to}`);
      await run('python3', ['-c', UNPACK, wheel, join(work, 'content'), ...pairs]);
      // Only what was unpacked is kept: the wheel is as large again.
      rmSync(wheel);
    }
    finish?.(join(work, 'content'));
    mkdirSync(dirname(target), { recursive: true });
    rmSync(target, { recursive: true, force: true });
    renameSync(join(work, 'content'), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** A new folder beside the things of the cache, so that a rename into place is atomic. */
export function temporary(cache) {
  mkdirSync(cache, { recursive: true });
  return mkdtempSync(join(cache, 'setup-'));
}

/** What an interrupted set-up left; to be called by the holder of the lock only. */
export function removeLeftovers(cache) {
  for (const name of readdirSync(cache))
    if (/^setup-[A-Za-z0-9]{6}$/.test(name)) rmSync(join(cache, name), { recursive: true, force: true });
}

async function download(pin, folder) {
  mkdirSync(folder, { recursive: true });
  const platforms = pin.platforms.flatMap((platform) => ['--platform', platform]);
  const fixed = ['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps'];
  await run('python3', [
    ...fixed,
    '--only-binary=:all:',
    '--python-version',
    '3.11',
    ...platforms,
    '--dest',
    folder,
    `${pin.package}==${pin.version}`,
  ]);
  const names = readdirSync(folder);
  if (names.length !== 1) throw new SetupError(`pip left ${names.length} files for ${pin.package}, not one`);
  const wheel = join(folder, names[0]);
  const digest = await sha256(wheel);
  if (digest !== pin.sha256)
    throw new SetupError(
      `${names[0]} has the checksum ${digest}, not the pinned ${pin.sha256}; ` +
        'the index served another file, which is not used (try another index, or report it)',
    );
  return wheel;
}

async function sha256(path) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}

function requireSpace(folder, bytes) {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= bytes) return;
  const gib = (n) => (n / 2 ** 30).toFixed(1);
  throw new SetupError(
    `${folder} needs ${gib(bytes)} GiB and has ${gib(bavail * bsize)} GiB free; ` +
      'free some, or point XDG_CACHE_HOME to a larger disk',
  );
}
