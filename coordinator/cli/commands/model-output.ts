// Where an exported model goes, and in which format: a file, a folder of files (TensorFlow.js), or stdout.
// The extension of `-o` chooses the format; a `--format` that contradicts it is refused before anything is
// transferred.

import { extname } from 'node:path';
import { unzipSync } from 'fflate';
import { FleetError } from '../../../core/errors.ts';
import type { ExportFormat } from '../../../core/model/export-format.ts';
import {
  checkFilePlace,
  checkFolderPlace,
  isFolder,
  STDOUT,
  writeFolder,
  writeOutput,
} from '../output-file.ts';

export interface ModelOutput {
  readonly format: ExportFormat;
  readonly kind: 'stdout' | 'file' | 'folder';
  /** As the user gave it. */
  readonly path: string;
}

/** Formats that an extension stands for, the one that is meant without `--format` first. */
const BY_EXTENSION: Readonly<Record<string, readonly ExportFormat[]>> = {
  '.safetensors': ['safetensors'],
  '.onnx': ['onnx', 'onnx-uint8'],
  '.tfjs': ['tfjs'],
  '.zip': ['tfjs'],
};
/** Extensions of formats that are not written here. */
const FOREIGN = new Set(
  '.pth .pt .ckpt .pkl .h5 .keras .pb .tflite .mlmodel .mlpackage .npz .json .msgpack .gguf'.split(' '),
);
const KNOWN = '.safetensors, .onnx, .tfjs (a folder) or .zip (the same as one file)';

/** What `-o OUTPUT --format FORMAT` means; without an extension and a format it is safetensors. */
export function modelOutput(output: string, format?: ExportFormat): ModelOutput {
  if (output === STDOUT) return { format: format ?? 'safetensors', kind: 'stdout', path: output };
  if (output.endsWith('/') || isFolder(output)) return folderOutput(output, format);
  const extension = extname(output).toLowerCase();
  const meant = BY_EXTENSION[extension];
  if (meant === undefined) {
    if (extension !== '' && (format === undefined || FOREIGN.has(extension)))
      throw new FleetError(
        'invalidArgument',
        FOREIGN.has(extension)
          ? `-o ${output}: ${extension} is a format that is not written here; use ${KNOWN}`
          : `-o ${output}: ${extension} names no format; use ${KNOWN}, or say it with --format`,
      );
    return placed(format ?? 'safetensors', output);
  }
  if (format !== undefined && !meant.includes(format))
    throw new FleetError(
      'invalidArgument',
      `-o ${output} and --format ${format} contradict each other: ${extension} means ${meant.join(' or ')}; leave one of them out`,
    );
  const chosen = format ?? meant[0]!;
  return extension === '.zip' ? { format: chosen, kind: 'file', path: output } : placed(chosen, output);
}

function folderOutput(output: string, format: ExportFormat | undefined): ModelOutput {
  if (format === undefined || format === 'tfjs') return { format: 'tfjs', kind: 'folder', path: output };
  const example = `${output.replace(/\/*$/, '')}/net.${format === 'safetensors' ? format : 'onnx'}`;
  throw new FleetError(
    'invalidArgument',
    `-o ${output} is a folder, and --format ${format} writes a file; name it, e.g. ${example}`,
  );
}

const placed = (format: ExportFormat, path: string): ModelOutput => ({
  format,
  kind: format === 'tfjs' ? 'folder' : 'file',
  path,
});

/** Refuses a place that cannot take the model, before it is made. */
export async function checkModelPlace({ kind, path }: ModelOutput): Promise<void> {
  if (kind === 'folder') await checkFolderPlace(path);
  else if (kind === 'file') await checkFilePlace(path);
  else if (process.stdout.isTTY)
    throw new FleetError(
      'invalidArgument',
      '-o - writes bytes to a terminal; send stdout to a file or a program',
    );
}

/**
 * Writes the bytes of an export; a TensorFlow.js model arrives as an archive and becomes a folder. Returns
 * where it is.
 */
export async function writeModel(bytes: Uint8Array, { kind, path }: ModelOutput): Promise<string> {
  if (kind !== 'folder') return writeOutput(path, bytes);
  const files = Object.entries(unzipSync(bytes));
  for (const [name] of files)
    if (!/^[\w-][\w.-]*$/.test(name))
      throw new FleetError('dataLoss', `the model's archive has a file ${JSON.stringify(name)}; refused`);
  return writeFolder(path, files);
}
