// Compiled programs of a plugin, kept on disk beside the graphs that they come from: an XLA compiler takes seconds to
// minutes for a network's step. The name of a stored program has the module, the options, those of XLA_FLAGS too, the
// plugin with its version, and the kind of device; where the device is the CPU, its model, instructions and number of
// cores as well, since the compiler decides by them. So it has all that the device class has.

import { availableParallelism, cpus } from 'node:os';
import { environmentValues } from '../../config.ts';
import { sha256Hex } from '../../digest.ts';
import { canonicalJson } from '../../spec/canonical-json.ts';
import { cpuFlags } from '../../system/cpu-flags.ts';
import type { LoweredModule } from '../lowering/lower.ts';
import type { Client, Option, Program } from '../pjrt/client.ts';
import { contentOf, discardEntry, entryFolder, readEntry, writeEntry } from './graph-cache.ts';
import { withoutCache } from './obtain.ts';

/** Where programs run, and how they are compiled. */
export interface ProgramPlace {
  readonly client: Client;
  /** Name and version of the plugin. */
  readonly plugin: string;
  readonly options: Readonly<Record<string, Option>>;
}

/** The program of a module: the stored one, or one that is compiled now and stored. */
export function obtainProgram(
  place: ProgramPlace,
  module: LoweredModule,
  { what, cacheDir }: { readonly what: string; readonly cacheDir?: string | undefined },
): Program {
  const { client, options } = place;
  const compile = () => client.compile({ what, code: module.text, options });
  if (cacheDir === undefined) return compile();
  const name = nameOf(place, module);
  const stored = readEntry(entryFolder(cacheDir, name));
  if (stored !== null) {
    try {
      return client.load(what, contentOf(stored));
    } catch {
      // The bytes are whole and the plugin refuses them: it is another build of the same version.
      withoutCache(() => discardEntry(stored.folder));
    }
  }
  const program = compile();
  withoutCache(() => {
    const bytes = serialized(program);
    if (bytes === null) return;
    const outputShapes = module.outputs.map(({ shape }) => shape);
    writeEntry(cacheDir, name, {
      ...{ content: 'program.bin' as const, bytes, digest: sha256Hex(bytes), nodes: 0, outputShapes },
    });
  });
  return program;
}

/** Null where the plugin cannot: each process then compiles for itself. */
function serialized(program: Program): Uint8Array | null {
  try {
    return program.serialize();
  } catch {
    return null;
  }
}

function nameOf({ client, plugin, options }: ProgramPlace, { text }: LoweredModule): string {
  const { platform, platformVersion, devices } = client;
  return sha256Hex(
    canonicalJson({
      module: sha256Hex(text),
      options,
      ...environmentValues(['XLA_FLAGS']),
      plugin,
      interface: client.plugin.version,
      platform,
      platformVersion,
      device: devices[0] ?? '',
      ...(platform === 'cpu' ? processor() : {}),
    }),
  );
}

/** What XLA's compiler for CPUs asks of the machine. */
const processor = () => ({
  processor: cpus()[0]?.model ?? '',
  instructions: [...cpuFlags()].sort(),
  cores: availableParallelism(),
});
