// A file of named tensors, opened without reading them: safetensors or PyTorch's .pth, distinguished by
// content. Each tensor is read when it is asked for, as float32 in row order, so that importing needs the
// memory of one tensor beside the result.

import type { FileHandle } from 'node:fs/promises';
import { FleetError } from '../errors.ts';
import { ANYWHERE, openRegular } from '../system/file-access.ts';
import {
  contiguousStrides,
  elementBytes,
  elementCount,
  gather,
  isElementType,
  type StateTensor,
} from './element-types.ts';
import { readAt } from './file-bytes.ts';
import { isLegacyPth, openLegacyPth, openZipPth } from './pth.ts';
import { readHeader } from './safetensors.ts';
import { unwrapped } from './tensor-names.ts';

export interface StateFile {
  /** Its name in errors. */
  readonly where: string;
  readonly format: 'safetensors' | 'PyTorch';
  /** In the file's order. */
  readonly tensors: ReadonlyMap<string, StateTensor>;
  /** Text that a safetensors file carries; a .pth has none. */
  readonly metadata: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export async function openStateFile(path: string): Promise<StateFile> {
  const { file } = await openRegular(path, { roots: ANYWHERE, what: `model ${path}` });
  try {
    return { where: path, ...(await read(file, path)), close: () => file.close() };
  } catch (caught) {
    await file.close();
    throw caught;
  }
}

/** Whether a file is one that can be opened here, by its first bytes. Missing files are none. */
export async function isStateFile(path: string): Promise<boolean> {
  const opened = await openRegular(path, { roots: ANYWHERE, what: 'model' }).catch(() => undefined);
  if (opened === undefined) return false;
  const { file } = opened;
  try {
    const start = new Uint8Array(32);
    await file.read(start, 0, start.length, 0);
    return formatOf(start) !== undefined;
  } catch {
    // A folder can be opened and not read.
    return false;
  } finally {
    await file.close();
  }
}

type Contents = Pick<StateFile, 'format' | 'tensors' | 'metadata'>;

export async function read(file: FileHandle, where: string): Promise<Contents> {
  const { size } = await file.stat();
  const start = await readAt(file, 0, Math.min(size, 32), where);
  switch (formatOf(start)) {
    case 'zip':
      return { format: 'PyTorch', metadata: {}, tensors: unwrapped(await openZipPth(file, where)) };
    case 'legacy':
      return { format: 'PyTorch', metadata: {}, tensors: unwrapped(await openLegacyPth(file, where)) };
    case 'safetensors':
      return safetensors(file, size, where);
    case undefined:
      throw new FleetError(
        'invalidArgument',
        `${where} is neither a safetensors file nor a PyTorch file (torch.save of a state_dict)`,
      );
  }
}

function formatOf(start: Uint8Array): 'zip' | 'legacy' | 'safetensors' | undefined {
  // PK\3\4, a zip's first member; PyTorch writes zip files since 1.6.
  if (start[0] === 0x50 && start[1] === 0x4b && start[2] === 3 && start[3] === 4) return 'zip';
  if (isLegacyPth(start)) return 'legacy';
  // A brace after a length of less than 2^32.
  return start[8] === 0x7b && start.subarray(4, 8).every((byte) => byte === 0) ? 'safetensors' : undefined;
}

async function safetensors(file: FileHandle, size: number, where: string): Promise<Contents> {
  const length = new DataView((await readAt(file, 0, 8, where)).buffer).getBigUint64(0, true);
  const headerBytes = length > BigInt(size) ? size : 8 + Number(length);
  const { header, dataStart } = readHeader(await readAt(file, 0, headerBytes, where), where);
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = Object.entries(entries).map(
    ([name, entry]) => [name, safetensor({ file, name, entry, dataStart, size, where })] as const,
  );
  return {
    format: 'safetensors',
    metadata: metadata as Record<string, string>,
    tensors: unwrapped(new Map(tensors)),
  };
}

function safetensor(options: {
  file: FileHandle;
  name: string;
  entry: unknown;
  dataStart: number;
  size: number;
  where: string;
}): StateTensor {
  const { file, name, dataStart, size, where } = options;
  const { dtype, shape, data_offsets } = (options.entry ?? {}) as Record<string, unknown>;
  if (!isElementType(dtype))
    throw new FleetError(
      'invalidArgument',
      `${where}: tensor ${name} has type ${String(dtype)}, which is not read here`,
    );
  const isCounts = (value: unknown): value is number[] =>
    Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
  if (!isCounts(shape) || !isCounts(data_offsets) || data_offsets.length !== 2)
    throw new FleetError('dataLoss', `${where} is damaged: tensor ${name} has no proper shape and offsets`);
  const [begin = 0, end = 0] = data_offsets;
  if (end - begin !== elementCount(shape) * elementBytes(dtype) || dataStart + end > size)
    throw new FleetError(
      'dataLoss',
      `${where} is damaged: tensor ${name} [${shape}] does not fit bytes ${begin}..${end} of ${size - dataStart}`,
    );
  return {
    shape,
    type: dtype,
    async read() {
      const bytes = await readAt(file, dataStart + begin, end - begin, where);
      return gather({ bytes, type: dtype, shape, strides: contiguousStrides(shape), offset: 0 });
    },
  };
}
