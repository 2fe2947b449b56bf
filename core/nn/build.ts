// From a checked network spec to its list of layers: chooses the family that builds it.

import type { NetworkSpec } from '../spec/network.ts';
import { buildIresnet } from './iresnet.ts';
import { buildMobilefacenet } from './mobilefacenet.ts';
import type { Network } from './network.ts';
import { buildPocketnet } from './pocketnet.ts';

/** The layers of this network. */
export function buildNetwork(spec: NetworkSpec): Network {
  switch (spec.kind) {
    case 'pocketnet':
      return buildPocketnet(spec);
    case 'iresnet':
      return buildIresnet(spec);
    case 'mobilefacenet':
      return buildMobilefacenet(spec);
  }
}
