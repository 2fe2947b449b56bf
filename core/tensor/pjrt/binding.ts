// The addon that calls plugins of PJRT (native/): where it is, and the types of its functions. Set-up compiles it
// and leaves a note beside it of the plugins that it fetched.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { z } from 'zod';
import { FleetError, toFleetError } from '../../errors.ts';
import { PACKAGE_ROOT } from '../../system/places.ts';
import { shapedJson } from '../../text/shape.ts';

/** An object of the addon. It is freed by `free`, or when it is collected. */
export type Handle = { readonly __pjrt: never };

/** The functions of the addon; each throws an error whose `code` is PJRT's name, such as `NOT_FOUND`. */
export interface PjrtBinding {
  loadPlugin(path: string): {
    readonly handle: Handle;
    readonly major: number;
    readonly minor: number;
    readonly attributes: Readonly<Record<string, unknown>>;
  };
  createClient(
    plugin: Handle,
    options: Readonly<Record<string, string | number | boolean>>,
  ): {
    readonly handle: Handle;
    readonly platform: string;
    readonly platformVersion: string;
    readonly devices: readonly { readonly id: number; readonly kind: string }[];
  };
  memoryStatistics(
    client: Handle,
    device: number,
  ): { readonly bytesInUse: number; readonly peakBytesInUse?: number; readonly bytesLimit?: number };
  compile(client: Handle, code: Uint8Array, format: string, options: Uint8Array): Handle;
  serialize(program: Handle): Uint8Array;
  load(client: Handle, bytes: Uint8Array): Handle;
  /** `type` is a number of PJRT_Buffer_Type. The sizes are absent where the plugin does not report them. */
  describe(program: Handle): {
    readonly outputs: readonly { readonly type: number; readonly shape: readonly number[] }[];
    readonly argumentBytes?: number;
    readonly outputBytes?: number;
    readonly aliasedBytes?: number;
    readonly temporaryBytes?: number;
  };
  /** Runs once a launch, on all of their devices at once; the outputs of each. */
  run(
    program: Handle,
    launches: readonly { readonly device: number; readonly inputs: readonly Handle[] }[],
  ): Handle[][];
  upload(
    client: Handle,
    device: number,
    array: ArrayBufferView,
    type: number,
    shape: readonly number[],
  ): Handle;
  /** The array takes exactly the buffer's bytes. */
  download(buffer: Handle, into: ArrayBufferView): void;
  free(handle: Handle): void;
}

const noteSchema = z.strictObject({
  /** Digest of the addon's sources, its header and its compiler. */
  addon: z.string(),
  plugins: z.array(
    z.strictObject({
      platform: z.enum(['cpu', 'cuda', 'rocm', 'oneapi']),
      /** The package and its version, such as `jax-cuda13-pjrt 0.11.2`. */
      name: z.string(),
      /** Path of the plugin in the folder. */
      file: z.string(),
      /** Folder of CUDA's device libraries and tools in the folder; absent where the plugin needs none. */
      tools: z.string().optional(),
    }),
  ),
});

/** A plugin that set-up fetched. */
export interface InstalledPlugin {
  readonly platform: 'cpu' | 'cuda' | 'rocm' | 'oneapi';
  readonly name: string;
  readonly path: string;
  readonly tools?: string;
}

/** What set-up installed for PJRT. */
export interface Installed {
  readonly addon: string;
  readonly plugins: readonly InstalledPlugin[];
}

/** Where set-up puts addon and plugins. */
export const PJRT_FOLDER: string = join(PACKAGE_ROOT, 'node_modules/.pocketfleet-pjrt');

/**
 * What set-up installed, or null where it installed nothing for PJRT. Throws `failedPrecondition` where its note is
 * damaged.
 */
export function installedPjrt(folder: string = PJRT_FOLDER): Installed | null {
  const file = join(folder, 'note.json');
  if (!existsSync(file)) return null;
  const { addon, plugins } = readNote(file);
  return {
    addon,
    plugins: plugins.map(({ file: path, tools, ...rest }) => ({
      ...rest,
      path: join(folder, path),
      ...(tools === undefined ? {} : { tools: join(folder, tools) }),
    })),
  };
}

function readNote(file: string): z.infer<typeof noteSchema> {
  try {
    return shapedJson(noteSchema, readFileSync(file, 'utf8'), 'the note');
  } catch (cause) {
    throw new FleetError(
      'failedPrecondition',
      `${file}, in which set-up has noted what it installed for PJRT, cannot be read (${toFleetError(cause).message}); run \`npm run setup:pjrt\``,
      { cause },
    );
  }
}

/** The installed plugin for GPUs, or for the CPU; undefined where there is none. */
export const installedFor = (gpu: boolean): InstalledPlugin | undefined =>
  installedPjrt()?.plugins.find(({ platform }) => (platform !== 'cpu') === gpu);

/** Loads the addon. Throws `failedPrecondition` where set-up did not compile it, or it does not load. */
export function loadBinding(folder: string = PJRT_FOLDER): PjrtBinding {
  const file = join(folder, 'pjrt.node');
  try {
    return createRequire(import.meta.url)(file) as PjrtBinding;
  } catch (cause) {
    const reason = existsSync(file) ? toFleetError(cause).message.split('\n')[0] : 'it is not there';
    throw new FleetError(
      'failedPrecondition',
      `the addon for PJRT, ${file}, does not load (${reason}); run \`npm run setup:pjrt\``,
      { cause },
    );
  }
}
