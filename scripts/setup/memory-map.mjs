// The addon that maps files into memory (core/system/native/memory-map.cc): one source against Node's stable C
// interface. Decides when it is compiled and where it lies. A machine without it works as well: its workers
// exchange everything over the broker.

import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { downloadedHeaders, shortDigest } from './addon.mjs';
import { nodeHeaders, run, which } from './programs.mjs';
import { SetupError } from './report.mjs';

const SOURCE = 'core/system/native/memory-map.cc';
/** core/system/memory-map.ts loads it from here. */
const PLACE = 'node_modules/.pocketfleet/memory-map.node';

/** Where the addon is kept, and where it goes. */
export function memoryMapPlan({ root, cache }) {
  const source = join(root, SOURCE);
  const digest = shortDigest(readFileSync(source, 'utf8'));
  const folder = join(cache, `memory-map-${digest}-${process.platform}-${process.arch}`);
  return { source, folder, addon: join(folder, 'memory-map.node'), place: join(root, PLACE) };
}

/** The text of the source, for the stamp of set-up. */
export const memoryMapSource = (root) => readFileSync(join(root, SOURCE), 'utf8');

/** Compiles the addon unless the cache has it, and puts it in place; returns what a person may want to know. */
export async function placeMemoryMap(plan) {
  if (!existsSync(plan.addon)) {
    const missing = await compile(plan);
    if (missing !== undefined) return `${missing}: workers of one host exchange over the broker`;
  }
  const copy = `${plan.place}.${process.pid}`;
  mkdirSync(join(plan.place, '..'), { recursive: true });
  copyFileSync(plan.addon, copy);
  renameSync(copy, plan.place);
  return undefined;
}

/** Returns why it cannot be compiled. */
async function compile(plan) {
  if (process.platform !== 'linux') return 'no shared memory files on this system';
  const compiler = process.env.CXX || 'g++';
  if (which(compiler) === undefined && !existsSync(compiler)) return `${compiler} is missing`;
  const headers = headersFolder();
  if (headers === undefined) return 'Node has no headers here';
  mkdirSync(plan.folder, { recursive: true });
  const made = `${plan.addon}.${process.pid}`;
  const options = ['-O2', '-shared', '-fPIC', '-DNODE_GYP_MODULE_NAME=memory_map', `-I${headers}`];
  try {
    await run(compiler, [...options, plan.source, '-o', made]);
  } catch (caught) {
    if (!(caught instanceof SetupError)) throw caught;
    return `the addon does not compile (${caught.message.split('\n')[0]})`;
  }
  renameSync(made, plan.addon);
  return undefined;
}

/** Those that come with Node, or that the build of TensorFlow's addon has fetched. */
function headersFolder() {
  const own = nodeHeaders();
  if (own !== undefined) return join(own, 'include/node');
  const fetched = downloadedHeaders();
  return readdirSync(fetched)
    .map((version) => join(fetched, version, 'include/node'))
    .find((folder) => existsSync(join(folder, 'node_api.h')));
}
