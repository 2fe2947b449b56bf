// From a network spec to its list of layers: picks the family. Specs are values that core/spec/document.ts has checked; presets by
// name are resolved by whoever reads them.

import type { NetworkSpec } from '../spec/network.ts';
import { buildIresnet } from './iresnet.ts';
import { buildMobilefacenet } from './mobilefacenet.ts';
import type { Network } from './network.ts';
import { buildPocketnet } from './pocketnet.ts';

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
