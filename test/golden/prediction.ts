// Predicts a float32 tensor from tensors that come before it in the same file: the weights after a step are close to a sum of
// the weights before it and the gradient. Decides which tensors predict which and with what factors; a prediction need not be
// right, because what is stored is the difference of the bits.

/** Factors times tensors, by their place in the file. */
export type Prediction = readonly { readonly tensor: number; readonly factor: number }[];

/** `tail` is the last part of the name: tensors that predict each other share it and their number of values. */
export interface Floats {
  readonly tail: string;
  readonly values: Float32Array;
}

/** Below this many values a description costs more than it saves. */
const VALUES_MIN = 8;
/** Random floats of one tensor have almost no redundancy but in their exponents. */
const BITS_UNPREDICTED = 27;

/** The best prediction of each tensor; undefined where none is worth its description. */
export function choosePredictions(tensors: readonly Floats[]): (Prediction | undefined)[] {
  const earlier = new Map<string, number[]>();
  return tensors.map(({ tail, values }, place) => {
    if (values.length < VALUES_MIN) return undefined;
    const key = `${tail} ${values.length}`;
    const known = earlier.get(key) ?? [];
    earlier.set(key, [...known, place]);
    return cheapest(tensors, values, candidates(tensors, known, values));
  });
}

/** The predicted values as bits of float32; zero where the sum is not finite. */
export function predict(prediction: Prediction, tensors: readonly Float32Array[], count: number): Int32Array {
  const sums = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    // In double precision and in this order, so that every machine gets the same bits.
    let sum = 0;
    for (const { tensor, factor } of prediction) sum += factor * tensors[tensor]![i]!;
    sums[i] = Math.abs(sum) < 3e38 ? sum : 0;
  }
  return new Int32Array(sums.buffer);
}

/** The distance between two floats in representable values, small for small distances of either sign. */
export function difference(bits: number, predicted: number): number {
  const distance = (ordered(bits) - ordered(predicted)) | 0;
  return (distance << 1) ^ (distance >> 31);
}

/** Undoes `difference`. */
export function restored(stored: number, predicted: number): number {
  const distance = (stored >>> 1) ^ -(stored & 1);
  return ordered((ordered(predicted) + distance) | 0);
}

/** Bits of a float as an integer that grows with the float; its own inverse. */
function ordered(bits: number): number {
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

function candidates(
  tensors: readonly Floats[],
  known: readonly number[],
  values: Float32Array,
): Prediction[] {
  const single = known.map((tensor) => [{ tensor, factor: 1 }]);
  const pairs = known.flatMap((a, i) =>
    known.slice(0, i).flatMap((b) => {
      const fitted = fit(tensors[a]!.values, tensors[b]!.values, values);
      return fitted === undefined
        ? []
        : [
            [
              { tensor: a, factor: fitted[0] },
              { tensor: b, factor: fitted[1] },
            ],
          ];
    }),
  );
  return [...single, ...pairs];
}

/** Least squares of values = p a + q b. */
function fit(
  a: Float32Array,
  b: Float32Array,
  values: Float32Array,
): readonly [p: number, q: number] | undefined {
  let [aa, ab, bb, av, bv] = [0, 0, 0, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const [x, y, v] = [a[i]!, b[i]!, values[i]!];
    aa += x * x;
    ab += x * y;
    bb += y * y;
    av += x * v;
    bv += y * v;
  }
  const determinant = aa * bb - ab * ab;
  const [p, q] = [(av * bb - bv * ab) / determinant, (bv * aa - av * ab) / determinant];
  // Nine digits are as many as a float32 holds.
  return Number.isFinite(p) && Number.isFinite(q)
    ? [Number(p.toPrecision(9)), Number(q.toPrecision(9))]
    : undefined;
}

function cheapest(
  tensors: readonly Floats[],
  values: Float32Array,
  among: readonly Prediction[],
): Prediction | undefined {
  const arrays = tensors.map((tensor) => tensor.values);
  const bits = new Int32Array(values.slice().buffer);
  let least = BITS_UNPREDICTED * values.length;
  let best: Prediction | undefined;
  for (const prediction of among) {
    const predicted = predict(prediction, arrays, values.length);
    // A description of one more tensor takes some 160 bits.
    let cost = 160 * prediction.length;
    for (let i = 0; i < values.length; i++) cost += 33 - Math.clz32(difference(bits[i]!, predicted[i]!));
    if (cost < least) [least, best] = [cost, prediction];
  }
  return best;
}
