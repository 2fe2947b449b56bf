// Alphas as text in events, reports and metadata of checkpoints: float32, little-endian, in base64.

import { FleetError } from '../errors.ts';

const BYTES = Float32Array.BYTES_PER_ELEMENT;

/** The text of alphas [A]. */
export function alphasText(alphas: ArrayLike<number>): string {
  const bytes = Buffer.alloc(alphas.length * BYTES);
  for (let i = 0; i < alphas.length; i++) bytes.writeFloatLE(alphas[i]!, i * BYTES);
  return bytes.toString('base64');
}

/** The alphas [`count`] of a text; `invalidArgument` where it is of another number, or has a value that is not finite. */
export function alphasOfText(text: string, count: number): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== count * BYTES || bytes.toString('base64') !== text)
    throw new FleetError(
      'invalidArgument',
      `a text of ${text.length} characters is not that of ${count} alphas: float32, little-endian, in base64`,
    );
  const alphas = Float32Array.from({ length: count }, (_, i) => bytes.readFloatLE(i * BYTES));
  const wrong = alphas.findIndex((value) => !Number.isFinite(value));
  if (wrong !== -1) throw new FleetError('invalidArgument', `alpha ${wrong} of ${count} is ${alphas[wrong]}`);
  return alphas;
}
