// The operations that have a lowering, by TensorFlow's names.

import type { Lowering } from './call.ts';
import { convolutions } from './convolutions.ts';
import { elementwise } from './elementwise.ts';
import { norms } from './norms.ts';
import { pools } from './pools.ts';
import { products } from './products.ts';
import { rearrangements } from './rearrangements.ts';
import { reductions } from './reductions.ts';

export const LOWERINGS: ReadonlyMap<string, Lowering> = new Map(
  [elementwise, rearrangements, reductions, products, convolutions, norms, pools].flatMap((family) =>
    Object.entries(family),
  ),
);
