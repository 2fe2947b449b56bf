// PJRT beside TensorFlow: the addon in C, compiled against the header that the CPU plugin's wheel holds, and
// plugins of PJRT from the wheels of their vendors. They lie in one folder of node_modules: pjrt.node, the header,
// a folder a plugin, and a note of what is there.

import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { cacheHome, nodeHeaders, run } from './programs.mjs';
import { SetupError } from './report.mjs';
import { shareFolder } from './tensorflow.mjs';
import { unpackWheels } from './wheels.mjs';

const SOURCES = 'core/tensor/pjrt/native';
const FOLDER = 'node_modules/.pocketfleet-pjrt';
const HEADER = 'include/pjrt_c_api.h';

/**
 * What is to be there. `kinds`: names in pins.json under `pjrt`, of which `cpu` is always one, since its wheel
 * holds the header.
 */
export function pjrtPlan({ root, cache, pins, kinds }) {
  const platform = `${process.platform}-${process.arch}`;
  const plugins = [...new Set(['cpu', ...kinds])].map((kind) => {
    const pin = pins.pjrt[kind]?.[platform];
    if (pin === undefined) {
      const pinned = Object.keys(pins.pjrt).filter((one) => pins.pjrt[one][platform] !== undefined);
      throw new SetupError(
        `no plugin of PJRT is pinned for ${kind} on ${platform}; there is ${pinned.join(', ') || 'none'}`,
      );
    }
    return { kind, ...pin, cached: join(cache, `pjrt-${kind}-${digest(JSON.stringify(pin))}`) };
  });
  return { root, cache, plugins, folder: join(root, FOLDER) };
}

/** Whether all of the plan is in place, its files as well as the note of them. */
export function pjrtPresent(plan) {
  const file = join(plan.folder, 'note.json');
  return (
    existsSync(file) &&
    readFileSync(file, 'utf8') === noteOf(plan) &&
    hasFiles(plan.folder, ['pjrt.node', HEADER, ...plan.plugins.map(({ kind, file }) => `${kind}/${file}`)])
  );
}

/** A file without bytes counts as absent: a disk was full. */
const hasFiles = (folder, files) =>
  files.every((file) => (statSync(join(folder, file), { throwIfNoEntry: false })?.size ?? 0) > 0);

/** Fetches what the cache lacks. */
export async function fetchPlugins(plan) {
  for (const { wheels, cached, needBytes, file } of plan.plugins)
    if (!hasFiles(cached, [file]))
      await unpackWheels({ wheels, target: cached, cache: plan.cache, needBytes });
}

/** Compiles the addon and puts it, the header and the plugins in place, all or nothing. */
export async function placePjrt(plan) {
  const fresh = `${plan.folder}.${process.pid}`;
  rmSync(fresh, { recursive: true, force: true });
  try {
    for (const { kind, cached } of plan.plugins) shareFolder(cached, join(fresh, kind));
    mkdirSync(join(fresh, 'include'));
    cpSync(join(fresh, 'cpu', HEADER), join(fresh, HEADER));
    await compile(plan, fresh);
    writeFileSync(join(fresh, 'note.json'), noteOf(plan));
    rmSync(plan.folder, { recursive: true, force: true });
    renameSync(fresh, plan.folder);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

async function compile({ root }, folder) {
  const sources = join(root, SOURCES);
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'));
  await run(process.env.CC || 'gcc', [
    ...['-shared', '-fPIC', '-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-DNAPI_VERSION=8'],
    `-I${join(folder, 'include')}`,
    `-I${join(headersOfNode(), 'include/node')}`,
    ...files.map((name) => join(sources, name)),
    '-o',
    join(folder, 'pjrt.node'),
  ]);
}

/** Node's own headers, or those that node-gyp fetched for the build of TensorFlow's addon. */
function headersOfNode() {
  const fetched = join(process.env.npm_config_devdir || join(cacheHome(), 'node-gyp'), process.versions.node);
  const found = nodeHeaders() ?? (existsSync(join(fetched, 'include/node/node_api.h')) ? fetched : undefined);
  if (found !== undefined) return found;
  throw new SetupError(
    `Node's headers (node_api.h) are neither beside ${process.execPath} nor in ${fetched}: ` +
      'install them with Node, or run `npm exec node-gyp install`',
  );
}

/** The note: what is there, from which sources. */
export function noteOf({ root, plugins }) {
  const sources = join(root, SOURCES);
  const texts = readdirSync(sources)
    .sort()
    .map((name) => `${name}\0${readFileSync(join(sources, name), 'utf8')}`);
  const header = plugins.find(({ kind }) => kind === 'cpu').wheels[0].pin.sha256;
  return JSON.stringify({
    addon: digest(header, process.versions.modules, ...texts),
    plugins: plugins.map(({ kind, platform, wheels, file, tools }) => ({
      platform,
      name: `${wheels[0].pin.package} ${wheels[0].pin.version}`,
      file: `${kind}/${file}`,
      ...(tools === undefined ? {} : { tools: `${kind}/${tools}` }),
    })),
  });
}

function digest(...texts) {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(text).update('\0');
  return hash.digest('hex').slice(0, 8);
}
