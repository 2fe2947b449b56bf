// The window of a convolution or pool as numbers: TensorFlow's attributes strides, dilations and padding become
// the padding of each axis that StableHLO takes. Maps are NHWC, so axes 1 and 2 have windows.

import { attributeOf, type Call, notLowered } from './call.ts';

/** How a window slides along one axis. */
export interface Slide {
  /** Length of the map before padding. */
  readonly length: number;
  /** Number of outputs. */
  readonly outputs: number;
  readonly window: number;
  readonly stride: number;
  readonly dilation: number;
  /** Padding before and after; what lies behind the last window is no part of it. */
  readonly low: number;
  readonly high: number;
}

/** Both axes of a map [N, H, W, C]. `window` is [height, width]. */
export function slidesOf(
  call: Call,
  map: readonly number[],
  window: readonly number[],
): readonly [Slide, Slide] {
  if ((attributeOf(call, 'data_format') ?? 'NHWC') !== 'NHWC') throw notLowered(call, 'with channels first');
  return [slideOf(call, map, window, 1), slideOf(call, map, window, 2)];
}

function slideOf(call: Call, map: readonly number[], window: readonly number[], axis: 1 | 2): Slide {
  const length = map[axis]!;
  const size = window[axis - 1]!;
  const stride = ((attributeOf(call, 'strides') as number[] | undefined) ?? [1, 1, 1, 1])[axis]!;
  const dilation = ((attributeOf(call, 'dilations') as number[] | undefined) ?? [1, 1, 1, 1])[axis]!;
  const reach = (size - 1) * dilation + 1;
  const slide = { length, window: size, stride, dilation };
  switch (attributeOf(call, 'padding')) {
    case 'VALID':
      return { ...slide, low: 0, high: 0, outputs: Math.floor((length - reach) / stride) + 1 };
    case 'SAME': {
      // The smaller half stands before the map (TensorFlow, GetWindowedOutputSizeVerbose).
      const outputs = Math.ceil(length / stride);
      const total = Math.max(0, (outputs - 1) * stride + reach - length);
      return { ...slide, outputs, low: Math.floor(total / 2), high: total - Math.floor(total / 2) };
    }
    case 'EXPLICIT': {
      const explicit = attributeOf(call, 'explicit_paddings') as number[];
      const [low, high] = [explicit[2 * axis]!, explicit[2 * axis + 1]!];
      return { ...slide, low, high, outputs: Math.floor((length + low + high - reach) / stride) + 1 };
    }
    default:
      throw notLowered(call, `with padding ${String(attributeOf(call, 'padding'))}`);
  }
}
