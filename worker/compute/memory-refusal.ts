// Which failures of the native library are memory that its allocator refused. TensorFlow says so only by the number
// of a status and by text, and this is the one place that reads that text. A process that the kernel ends for want of
// memory (the OOM killer) leaves no text: the coordinator sees a worker that is gone, as after any crash.

import { FleetError } from '../../core/errors.ts';
import { formatBytes } from '../../core/text/bytes-text.ts';

/** TF_RESOURCE_EXHAUSTED is status 8; CUDA and cuDNN report theirs within other statuses. */
const EXHAUSTED =
  /Invalid TF_Status: 8\b|RESOURCE_EXHAUSTED|OOM when allocating|CUDA_ERROR_OUT_OF_MEMORY|std::bad_alloc/i;

/** `OOM when allocating tensor with shape[16,56,56,64] and type float on ...` */
const TENSOR = /OOM when allocating tensor with shape\[([\d,]*)\] and type (\w+)/;

/** Bytes of one value, by TensorFlow's names of types. */
const WIDTHS: Readonly<Record<string, number>> = {
  double: 8,
  int64: 8,
  float: 4,
  int32: 4,
  half: 2,
  bfloat16: 2,
  uint8: 1,
  int8: 1,
  bool: 1,
};

/** The error, as `resourceExhausted` with `details.bytes` where it is memory that was refused. */
export function explainedMemory(error: FleetError): FleetError {
  if (error.code !== 'internal' || !EXHAUSTED.test(error.message)) return error;
  const bytes = bytesIn(error.message);
  const size = bytes === undefined ? '' : ` for ${formatBytes(bytes)} at once`;
  return new FleetError('resourceExhausted', `there is no memory${size}: ${error.message}`, {
    cause: error,
    details: { ...error.details, ...(bytes === undefined ? {} : { bytes }) },
  });
}

function bytesIn(text: string): number | undefined {
  const [, shape, type = ''] = TENSOR.exec(text) ?? [];
  const width = WIDTHS[type];
  if (shape === undefined || width === undefined) return undefined;
  return shape.split(',').reduce((product, size) => product * (size === '' ? 1 : Number(size)), width);
}
