// PReLU as a native kernel: one operation of our own each way where these exist (native/), else composed of
// the library's. The composed kernel takes one map with any number of slopes, because the edges of a cell
// that read the same map each have their own slopes: what does not depend on the slope is computed once,
// forward and backward.
//
// Rejected for the composed kernel: batch norm kernels as broadcast products, and doubling the products
// behind it (docs/performance.md, "Tried without gain").

import { hasOwnKernels, type Tensor, tf } from '../tf.ts';
import {
  addAll,
  attr,
  columnSums,
  defineKernel,
  elementwise,
  execute,
  executeOne,
  runKernel,
} from './kernels.ts';

const PRELU = 'FleetPrelu';

// With p = max(x, 0) and n = min(x, 0):
//     y = p + a n,
//     dx = sum over slopes of dy, plus the sum of (a - 1) dy where x <= 0,
//     da = sum over pixels of n dy.
// p + a n holds for any slope and has PyTorch's bits; max(x, a x) is right only for slopes in [0, 1]. The
// condition x <= 0 is ReluGrad's, applied once to the sum over slopes. So a map with E slopes costs 2 + 2 E
// passes forward and about 3 + E back (a sum of many tensors is one pass); one PReLU after the other costs 2
// + 2 E and 7 E.
defineKernel({
  name: PRELU,
  forward: (inputs) =>
    tf.tidy(() => {
      const [x, ...slopes] = Object.values(inputs);
      const positive = elementwise('Relu', x!);
      const negative = negativePart(x!);
      return slopes.map((slope) => elementwise('AddV2', positive, elementwise('Mul', negative, slope)));
    }),
  saveInputs: 'all',
  gradient: (dys, [x, ...slopes]) =>
    tf.tidy(() => {
      const negative = negativePart(x!);
      const scaled = slopes.map((slope, i) => elementwise('Mul', dys[i]!, tf.sub(slope, 1)));
      const sums = dys.map((dy) => columnSums(elementwise('Mul', dy, negative)));
      const notAbove = elementwise('Sub', tf.scalar(SMALLEST), x!);
      const change = elementwise('ReluGrad', addAll(scaled), notAbove);
      const gradients = [addAll([...dys, change]), ...sums];
      return Object.fromEntries(gradients.map((gradient, index) => [String(index), gradient]));
    }),
});

const OWN_PRELU = 'FleetOwnPrelu';

defineKernel({
  name: OWN_PRELU,
  forward: ({ x, slope }) => [executeOne('FleetPrelu', [attr.int('parts', 1)], [slope!, x!])],
  saveInputs: ['x', 'slope'],
  gradient: ([dy], [x, slope]) => {
    // One map each, nothing added: the passes over a recording (core/tensor/passes) change these numbers.
    const maps = [attr.int('N', 0), attr.int('parts', 1), attr.int('dparts', 1)];
    const [dSlope, dx] = execute('FleetPreluGrad', maps, [dy!, slope!, x!], 2);
    return { x: dx!, slope: dSlope! };
  },
});

/**
 * The smallest float32 that is not flushed to zero. SMALLEST - x is above 0 exactly where x is 0 or below, so
 * the gradient at 0 is that of the negative side, as in PyTorch.
 */
const SMALLEST = 2 ** -126;

/**
 * min(x, 0). Forward and gradient both call it; in a recording equal nodes are one, so a graph computes it
 * once.
 */
const negativePart = (x: Tensor): Tensor => elementwise('Minimum', x, tf.scalar(0));

/** One output for each slope [C]; x is [N, H, W, C]. */
export const nativePrelus = (x: Tensor, slopes: readonly Tensor[]): Tensor[] =>
  hasOwnKernels()
    ? slopes.map((slope) => runKernel(OWN_PRELU, { x, slope })[0]!)
    : runKernel(PRELU, [x, ...slopes]);
