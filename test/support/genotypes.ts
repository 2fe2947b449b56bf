// Cells that no paper published: every op, with strided skips, so that both branches of a factorised
// reduction occur as an op too.

import { type Genotype, genotypeSchema } from '../../core/spec/network.ts';

export const OWN_CELLS: Genotype = genotypeSchema.parse({
  normal: [
    [
      ['avg_pool_3x3', 0],
      ['dw_conv_7x7', 1],
    ],
    [
      ['max_pool_3x3', 2],
      ['skip_connect', 1],
    ],
    [
      ['dw_conv_1x1', 3],
      ['dw_conv_5x5', 0],
    ],
    [
      ['avg_pool_3x3', 4],
      ['dw_conv_3x3', 2],
    ],
  ],
  reduce: [
    [
      ['avg_pool_3x3', 0],
      ['skip_connect', 1],
    ],
    [
      ['dw_conv_1x1', 0],
      ['dw_conv_3x3', 1],
    ],
    [
      ['skip_connect', 0],
      ['dw_conv_7x7', 2],
    ],
    [
      ['max_pool_3x3', 1],
      ['avg_pool_3x3', 3],
    ],
  ],
});
