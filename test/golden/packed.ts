// The packed form of fixtures: files of one name, one after the other and compressed by Brotli. In a safetensors file, whose
// floats a general compressor sees as noise, tensors that earlier ones predict become differences, and the bytes of
// all elements are stored place by place, so that the exponents lie together. Packing loses no bit.

import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { readHeader } from '../../core/model/safetensors.ts';
import { choosePredictions, difference, type Prediction, predict, restored } from './prediction.ts';

/** A file by its path in the folder of fixtures. */
export interface FixtureFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** What stands before the contents. `predictions` is there for a safetensors file alone, and has an entry for each tensor. */
interface Description {
  readonly path: string;
  readonly length: number;
  readonly predictions?: readonly (Prediction | null)[];
}

/** Bytes of the number in front of the descriptions. */
const LENGTH_BYTES = 4;
const WIDTHS: Readonly<Record<string, number>> = { F64: 8, I64: 8, F32: 4, I32: 4, U8: 1 };

export function packFiles(files: readonly FixtureFile[]): Uint8Array {
  const packed = files.map(({ path, bytes }) =>
    path.endsWith('.safetensors') ? packTensors(path, bytes) : { description: describe(path, bytes), bytes },
  );
  const text = Buffer.from(JSON.stringify(packed.map(({ description }) => description)));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(text.length);
  const all = Buffer.concat([length, text, ...packed.map(({ bytes }) => bytes)]);
  return brotliCompressSync(all, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: all.length,
    },
  });
}

/** `where` names the packed file in messages. */
export function unpackFiles(packed: Uint8Array, where: string): FixtureFile[] {
  try {
    const all = brotliDecompressSync(packed);
    let at = LENGTH_BYTES + all.readUInt32LE(0);
    const descriptions = JSON.parse(all.toString('utf8', LENGTH_BYTES, at)) as Description[];
    return descriptions.map(({ path, length, predictions }) => {
      const stored = all.subarray(at, at + length);
      at += length;
      return { path, bytes: predictions === undefined ? stored : unpackTensors(path, stored, predictions) };
    });
  } catch (cause) {
    throw new FleetError('dataLoss', `${where} is damaged: ${toFleetError(cause).message}`, { cause });
  }
}

const describe = (path: string, { length }: Uint8Array): Description => ({ path, length });

function packTensors(path: string, bytes: Uint8Array): { description: Description; bytes: Uint8Array } {
  const { dataStart, tensors } = placesOf(path, bytes);
  // A copy of its own: a Buffer's slice shares memory.
  const changed = new Uint8Array(bytes);
  const values = tensors.map(({ type, begin, end }) =>
    type === 'F32' ? new Float32Array(changed.slice(begin, end).buffer) : new Float32Array(),
  );
  const predictions = choosePredictions(tensors.map(({ tail }, i) => ({ tail, values: values[i]! })));
  for (const [i, prediction] of predictions.entries()) {
    if (prediction === undefined) continue;
    const bits = new Int32Array(values[i]!.slice().buffer);
    const predicted = predict(prediction, values, bits.length);
    changed.set(
      new Uint8Array(bits.map((one, j) => difference(one, predicted[j]!)).buffer),
      tensors[i]!.begin,
    );
  }
  const body = new Uint8Array(bytes.length);
  body.set(bytes.subarray(0, dataStart));
  eachPlace(tensors, predictions, dataStart, (plain, stored) => {
    body[stored] = changed[plain]!;
  });
  const description = {
    path,
    length: bytes.length,
    predictions: predictions.map((prediction) => prediction ?? null),
  };
  return { description, bytes: body };
}

function unpackTensors(
  path: string,
  body: Uint8Array,
  predictions: readonly (Prediction | null)[],
): Uint8Array {
  const { dataStart, tensors } = placesOf(path, body);
  const bytes = new Uint8Array(body.length);
  bytes.set(body.subarray(0, dataStart));
  eachPlace(tensors, predictions, dataStart, (plain, stored) => {
    bytes[plain] = body[stored]!;
  });
  const values: Float32Array[] = [];
  for (const [i, { type, begin, end }] of tensors.entries()) {
    const own = type === 'F32' ? bytes.slice(begin, end) : new Uint8Array();
    const prediction = predictions[i];
    if (prediction) {
      const stored = new Int32Array(own.buffer);
      const predicted = predict(prediction, values, stored.length);
      for (let j = 0; j < stored.length; j++) stored[j] = restored(stored[j]!, predicted[j]!);
      bytes.set(own, begin);
    }
    values.push(new Float32Array(own.buffer));
  }
  return bytes;
}

/** A tensor's bytes in its file; `tail` is the part of its name after the last slash. */
interface Place {
  readonly tail: string;
  readonly type: string;
  readonly width: number;
  readonly begin: number;
  readonly end: number;
}

function placesOf(path: string, bytes: Uint8Array): { dataStart: number; tensors: Place[] } {
  const { entries, dataStart } = readHeader(bytes, path, bytes.length);
  const tensors: Place[] = [];
  let at = dataStart;
  for (const { name, dtype: type, begin: from, end: to } of entries) {
    const [begin, end] = [dataStart + from, dataStart + to];
    const width = WIDTHS[type];
    if (width === undefined)
      throw new FleetError('invalidArgument', `${path}: tensor ${name} has type ${type}`);
    if (begin !== at || end < begin || (end - begin) % width !== 0)
      throw new FleetError('invalidArgument', `${path}: tensor ${name} does not follow the one before it`);
    tensors.push({ tail: name.slice(name.lastIndexOf('/') + 1), type, width, begin, end });
    at = end;
  }
  if (at !== bytes.length)
    throw new FleetError('invalidArgument', `${path}: its tensors end at byte ${at} of ${bytes.length}`);
  return { dataStart, tensors };
}

/**
 * Where each byte of the tensors stands in the plain and in the stored form. Tensors of one width lie together, the predicted
 * ones apart from the others; of each such group all first bytes of elements come first, then all second ones.
 */
function eachPlace(
  tensors: readonly Place[],
  predictions: readonly (Prediction | null | undefined)[],
  dataStart: number,
  visit: (plain: number, stored: number) => void,
): void {
  let stored = dataStart;
  for (const width of [8, 4, 1])
    for (const predicted of [false, true]) {
      const group = tensors.filter(
        (tensor, i) => tensor.width === width && (predictions[i] != null) === predicted,
      );
      for (let plane = 0; plane < width; plane++)
        for (const { begin, end } of group)
          for (let plain = begin + plane; plain < end; plain += width) visit(plain, stored++);
    }
}
