// The formats in which a trained network can leave, by the names that users and the wire give them. Decides
// which bytes answer a request. Pure, and without TensorFlow, because the coordinator uses it.

import { zipSync } from 'fflate';
import { FleetError } from '../errors.ts';
import { foundText } from '../text/printable.ts';
import { exportSafetensors } from './export.ts';
import type { TrainedNetwork } from './inference.ts';
import { exportOnnx } from './onnx.ts';
import { exportTfjs } from './tfjs.ts';

/**
 * safetensors: reference names; onnx: normalised planes in; onnx-uint8: bytes in; tfjs: a folder, sent as a
 * zip of its files.
 */
export const EXPORT_FORMATS = ['safetensors', 'onnx', 'onnx-uint8', 'tfjs'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** The empty text, which old clients send, means safetensors. */
export function exportFormat(text: string): ExportFormat {
  const format = EXPORT_FORMATS.find((known) => known === (text === '' ? 'safetensors' : text));
  if (format !== undefined) return format;
  throw new FleetError(
    'invalidArgument',
    `format: ${foundText(text)} is unknown; one of ${EXPORT_FORMATS.join(', ')}`,
  );
}

/** One file. `steps` counts for safetensors only. */
export function exportModel(
  model: TrainedNetwork & {
    readonly format: ExportFormat;
    readonly metadata?: Readonly<Record<string, string>>;
    readonly steps?: number;
  },
): Uint8Array {
  switch (model.format) {
    case 'safetensors':
      return exportSafetensors(model);
    case 'onnx':
      return exportOnnx(model);
    case 'onnx-uint8':
      return exportOnnx({ ...model, input: 'bytes' });
    case 'tfjs':
      return zipped(model);
  }
}

/**
 * Stored, not deflated: weights do not compress. With a fixed date, so that equal networks are equal files.
 */
function zipped(model: Parameters<typeof exportTfjs>[0]): Uint8Array {
  const files = exportTfjs(model).map(({ name, bytes }) => [name, bytes] as const);
  return zipSync(Object.fromEntries(files), { level: 0, mtime: new Date(1980, 0, 1) });
}
