// A file of named tensors, opened without reading them: safetensors or PyTorch's .pth, distinguished by
// content. Each tensor is read when it is asked for, as float32 in row order, so that importing needs the
// memory of one tensor beside the result.

import type { FileHandle } from 'node:fs/promises';
import { FleetError } from '../errors.ts';
import { ANYWHERE, openRegular } from '../system/file-access.ts';
import {
  contiguousStrides,
  ELEMENT_TYPES,
  elementBytes,
  gather,
  isElementType,
  type StateTensor,
} from './element-types.ts';
import { readAt } from './file-bytes.ts';
import { isLegacyPth, openLegacyPth, openZipPth } from './pth.ts';
import { assertFits, headerLength, readHeader, type TensorEntry, unknownType } from './safetensors.ts';
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
  const { file } = await openRegular(path, { roots: ANYWHERE, what: 'model' });
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
        size === 0
          ? `${where} is empty`
          : `${where} is neither a safetensors file nor a PyTorch file (torch.save of a state_dict)`,
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
  const length = headerLength(await readAt(file, 0, 8, where), where, size);
  const { entries, metadata, dataStart } = readHeader(await readAt(file, 0, 8 + length, where), where, size);
  const tensors = entries.map(
    (entry) => [entry.name, safetensor({ file, entry, dataStart, where })] as const,
  );
  return { format: 'safetensors', metadata, tensors: unwrapped(new Map(tensors)) };
}

function safetensor(options: {
  readonly file: FileHandle;
  readonly entry: TensorEntry;
  readonly dataStart: number;
  readonly where: string;
}): StateTensor {
  const { file, entry, dataStart, where } = options;
  const { dtype, shape, begin, end } = entry;
  if (!isElementType(dtype)) throw unknownType(entry, where, ELEMENT_TYPES.join(', '));
  assertFits(entry, elementBytes(dtype), where);
  return {
    shape,
    type: dtype,
    async read() {
      const bytes = await readAt(file, dataStart + begin, end - begin, where);
      return gather({ bytes, type: dtype, shape, strides: contiguousStrides(shape), offset: 0 });
    },
  };
}
