// PReLU as a native kernel. Where our own operations are (native/) it is one of them, each way. Elsewhere it is made from the
// library's: one map with any number of slopes at once, since the edges of a cell that read the same map each have their own, so
// that what does not depend on the slope is computed once, forward and backward.

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

// With p = max(x, 0) and n = min(x, 0): y = p + a n, right for any slope, where max(x, a x) is only right for slopes in
// [0, 1], and to the last bit what PyTorch computes. Backward: dx = dy + (a - 1) dy where x <= 0, and da = sum of n dy. The
// condition is ReluGrad's, which takes the sum over all slopes; so a map with E slopes costs 2 + 2 E passes forward and about
// 3 + E back (a sum of many is one pass), against 2 + 2 E and 7 E of one PReLU after the other.
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
    // Other numbers of maps are fold.ts' to give.
    const maps = [attr.int('N', 0), attr.int('parts', 1), attr.int('dparts', 1)];
    const [dSlope, dx] = execute('FleetPreluGrad', maps, [dy!, slope!, x!], 2);
    return { x: dx!, slope: dSlope! };
  },
});

/**
 * The smallest number that is not flushed to zero: less x, it is above 0 exactly where x is 0 or below. So the gradient at 0 is
 * that of the negative side, as in PyTorch.
 */
const SMALLEST = 2 ** -126;

/** min(x, 0). The gradient asks again, and a compiled graph computes it once. */
const negativePart = (x: Tensor): Tensor => elementwise('Minimum', x, tf.scalar(0));

/** One output for each slope [C]; x is [N, H, W, C]. */
export const nativePrelus = (x: Tensor, slopes: readonly Tensor[]): Tensor[] =>
  hasOwnKernels()
    ? slopes.map((slope) => runKernel(OWN_PRELU, { x, slope })[0]!)
    : runKernel(PRELU, [x, ...slopes]);
