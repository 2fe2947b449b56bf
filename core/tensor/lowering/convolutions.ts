// Lowerings of convolutions, plain and depthwise, and of their gradients: each is one StableHLO convolution.
//
// With stride s, dilation d, kernel k, padding (l, h), a map of length n and n' outputs:
//   dx is the convolution of dy, its elements s apart, with the kernel turned round: padding ((k-1) d - l, ...),
//   dk is the convolution of x, images taken for channels, with dy, its elements s apart, in steps of d.
// A depthwise convolution is one with as many groups as channels; for its dk each group of the batch axis, which
// holds the channels there, meets its own filters. Definitions: TensorFlow's nn_ops; StableHLO, "convolution".

import { type Call, type Lowering, type Lowerings, notLowered, outputOf } from './call.ts';
import { integers, pairs, type Ref } from './literals.ts';
import { highest, productOperand, productResult } from './products.ts';
import { type Slide, slidesOf } from './windows.ts';

/** A convolution in StableHLO's terms; lists are by spatial axis. */
interface Convolution {
  readonly map: Ref;
  readonly kernel: Ref;
  /** Dimension numbers in MLIR's form. */
  readonly numbers: string;
  readonly strides?: readonly number[];
  readonly padding: readonly (readonly [number, number])[];
  readonly mapDilation?: readonly number[];
  readonly kernelDilation?: readonly number[];
  readonly groups?: number;
  readonly batchGroups?: number;
  readonly shape: readonly number[];
}

function convolution(call: Call, options: Convolution): Ref {
  const { map, kernel, numbers, padding, groups = 1, batchGroups = 1, shape } = options;
  const ones = [1, 1];
  return call.text.generic({
    op: 'convolution',
    operands: [map, kernel],
    attributes: {
      batch_group_count: `${batchGroups} : i64`,
      dimension_numbers: `#stablehlo.conv<${numbers}>`,
      feature_group_count: `${groups} : i64`,
      lhs_dilation: integers(options.mapDilation ?? ones),
      padding: pairs(padding),
      precision_config: highest(call),
      rhs_dilation: integers(options.kernelDilation ?? ones),
      window_strides: integers(options.strides ?? ones),
    },
    element: productResult(call),
    shape,
  });
}

const both = (slides: readonly [Slide, Slide], of: (slide: Slide) => number): number[] => slides.map(of);

/** The axes of a kernel [k, k, in, out] that StableHLO is given. */
const NUMBERS = {
  forward: '[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]',
  map: '[b, 0, 1, f]x[0, 1, o, i]->[b, 0, 1, f]',
  kernel: '[f, 0, 1, b]x[i, 0, 1, o]->[0, 1, b, f]',
} as const;

const isDepthwise = ({ node }: Call) => node.op.startsWith('Depthwise');

/** Refuses what no network here records: a plain convolution whose channels come in groups. */
function checkGroups(call: Call, channels: number, kernel: readonly number[]): void {
  if (!isDepthwise(call) && kernel[2] !== channels)
    throw notLowered(call, `of ${channels} channels with a kernel [${kernel}] (groups)`);
}

const forward: Lowering = (call) => {
  const [x, kernel] = [productOperand(call, 0), productOperand(call, 1)];
  const channels = x.shape[3]!;
  checkGroups(call, channels, kernel.shape);
  const slides = slidesOf(call, x.shape, kernel.shape);
  const [height, width, inputs, multiplier] = kernel.shape as [number, number, number, number];
  return [
    convolution(call, {
      map: x,
      kernel: isDepthwise(call) ? call.text.reshape(kernel, [height, width, 1, inputs * multiplier]) : kernel,
      numbers: NUMBERS.forward,
      strides: both(slides, (slide) => slide.stride),
      padding: slides.map(({ low, high }) => [low, high] as const),
      kernelDilation: both(slides, (slide) => slide.dilation),
      groups: isDepthwise(call) ? channels : 1,
      shape: outputOf(call).shape,
    }),
  ];
};

/** Inputs: sizes of x, kernel, dy. */
const inputGradient: Lowering = (call) => {
  const sizes = call.integers(0);
  const [kernel, dy] = [productOperand(call, 1), productOperand(call, 2)];
  checkGroups(call, sizes[3]!, kernel.shape);
  const slides = slidesOf(call, sizes, kernel.shape);
  const turned = call.text.generic({
    op: 'reverse',
    operands: [kernel],
    attributes: { dimensions: integers([0, 1]) },
    element: kernel.element,
    shape: kernel.shape,
  });
  return [
    convolution(call, {
      map: dy,
      kernel: turned,
      numbers: NUMBERS.map,
      padding: slides.map((slide) => {
        const reach = (slide.window - 1) * slide.dilation;
        const low = reach - slide.low;
        // As many as make the result as long as x: n = (n' - 1) s + 1 + low + high - reach.
        return [low, slide.length - ((slide.outputs - 1) * slide.stride + 1) - low + reach] as const;
      }),
      mapDilation: both(slides, (slide) => slide.stride),
      kernelDilation: both(slides, (slide) => slide.dilation),
      groups: isDepthwise(call) ? sizes[3]! : 1,
      shape: outputOf(call).shape,
    }),
  ];
};

/** Inputs: x, sizes of the kernel, dy. */
const filterGradient: Lowering = (call) => {
  const [x, dy] = [productOperand(call, 0), productOperand(call, 2)];
  const sizes = call.integers(1) as readonly [number, number, number, number];
  const channels = x.shape[3]!;
  checkGroups(call, channels, sizes);
  const slides = slidesOf(call, x.shape, sizes);
  const [height, width, inputs, outputs] = sizes;
  const gradient = convolution(call, {
    map: x,
    kernel: dy,
    numbers: NUMBERS.kernel,
    strides: both(slides, (slide) => slide.dilation),
    padding: slides.map((slide) => {
      // As many as make the result as long as the kernel: reach = n + low + high - ((n' - 1) s + 1).
      const reach = (slide.window - 1) * slide.dilation;
      return [slide.low, reach + (slide.outputs - 1) * slide.stride + 1 - slide.length - slide.low] as const;
    }),
    kernelDilation: both(slides, (slide) => slide.stride),
    batchGroups: isDepthwise(call) ? channels : 1,
    shape: isDepthwise(call) ? [height, width, 1, inputs * outputs] : sizes,
  });
  return [call.text.reshape(gradient, sizes)];
};

export const convolutions: Lowerings = {
  Conv2D: forward,
  Conv2DBackpropFilter: filterGradient,
  Conv2DBackpropInput: inputGradient,
  DepthwiseConv2dNative: forward,
  DepthwiseConv2dNativeBackpropFilter: filterGradient,
  DepthwiseConv2dNativeBackpropInput: inputGradient,
};
