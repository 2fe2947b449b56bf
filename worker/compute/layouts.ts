// Layouts of networks by content: what the compute thread works on names networks and not their layouts, which take
// a moment to build.

import { LRUCache } from 'lru-cache';
import { buildNetwork } from '../../core/nn/build.ts';
import { type Attached, type Layout, layoutOf } from '../../core/nn/layout.ts';
import { buildSupernet, type SupernetSpec } from '../../core/nn/supernet.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';

/** So many layouts are kept; they are cheap, but a search brings a new network each minute. */
const LAYOUTS_MAX = 32;

/** The layout of a network with what is attached to it. */
export type LayoutFor = (network: NetworkSpec | SupernetSpec, attached: Attached) => Layout;

export function createLayouts(): LayoutFor {
  const layouts = new LRUCache<string, Layout>({ max: LAYOUTS_MAX });
  return (network, attached) => {
    const key = canonicalJson({ network, attached });
    const kept = layouts.get(key);
    if (kept) return kept;
    const built = network.kind === 'supernet' ? buildSupernet(network) : buildNetwork(network);
    const layout = layoutOf(built, attached);
    layouts.set(key, layout);
    return layout;
  };
}
