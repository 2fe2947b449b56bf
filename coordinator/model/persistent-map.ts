// A persistent map from strings to values: an update shares all but one path with the map before it. The
// state is plain readonly data, and a fold over 100,000 events must not copy 100,000 entries for each of
// them.
//
// It is a hash trie of 32 slots a node (P. Bagwell, Ideal Hash Trees, 2001, without its compression of empty
// slots): look-up and update touch one node a level, and seven levels use up the 32 bits of the hash. With an
// `Edit` nodes are changed in place, as coordinator/model/table.ts describes.

import type { Edit } from './table.ts';

const BITS = 5;
const WIDTH = 1 << BITS;
const MASK = WIDTH - 1;
/** 7 levels use up the 32 bits of the hash; keys that still collide share a slot as a chain. */
const LEVELS_MAX = 7;

interface Leaf<V> {
  readonly hash: number;
  readonly key: string;
  readonly value: V;
  /** The next entry of the chain, which has another key. */
  readonly next: Leaf<V> | undefined;
}
interface Branch<V> {
  readonly owner: Edit | undefined;
  /** WIDTH slots. */
  readonly slots: (Node<V> | undefined)[];
}
type Node<V> = Leaf<V> | Branch<V>;

/** A map that never changes; an update gives another one. */
export interface PersistentMap<V> {
  readonly size: number;
  readonly root: Node<V> | undefined;
}

const EMPTY: PersistentMap<never> = { size: 0, root: undefined };

/** A map without entries. */
export function emptyMap<V>(): PersistentMap<V> {
  return EMPTY;
}

/** The value of a key, or undefined. */
export function lookup<V>(map: PersistentMap<V>, key: string): V | undefined {
  let node = map.root;
  if (node === undefined) return undefined;
  const hash = hashOf(key);
  for (let level = 0; node !== undefined; level++) {
    if ('key' in node) return inChain(node, key);
    node = node.slots[slotOf(hash, level)];
  }
  return undefined;
}

/** The map with `key` set to `value`; the one given stays as it is, except for nodes made under `edit`. */
export function withEntry<V>(map: PersistentMap<V>, key: string, value: V, edit?: Edit): PersistentMap<V> {
  const leaf = { hash: hashOf(key), key, value, next: undefined };
  if (edit !== undefined) {
    const outcome = insertInPlace(map.root, leaf, edit);
    if (outcome === 'replaced') return map;
    if (outcome === 'added') return { size: map.size + 1, root: map.root };
  }
  const added = { count: 0 };
  const root = insert(map.root, leaf, { level: 0, edit, added });
  return { size: map.size + added.count, root };
}

/** The map without `key`. */
export function withoutEntry<V>(map: PersistentMap<V>, key: string, edit?: Edit): PersistentMap<V> {
  if (lookup(map, key) === undefined) return map;
  const root = remove(map.root!, { hash: hashOf(key), key, level: 0, edit });
  return { size: map.size - 1, root };
}

/** Every value, in no order that means anything. */
export function* valuesOf<V>(map: PersistentMap<V>): Generator<V> {
  for (const [, value] of entriesOf(map)) yield value;
}

/** Every key with its value, in no order that means anything. */
export function* entriesOf<V>(map: PersistentMap<V>): Generator<readonly [string, V]> {
  if (map.root !== undefined) yield* walk(map.root);
}

/** The keys whose values differ between two maps: `[key, before, after]`, in no order that means anything. */
export function mapChanges<V>(
  before: PersistentMap<V>,
  after: PersistentMap<V>,
): [string, V | undefined, V | undefined][] {
  const changes: [string, V | undefined, V | undefined][] = [];
  addDifferences(before.root, after.root, changes);
  return changes;
}

function inChain<V>(leaf: Leaf<V>, key: string): V | undefined {
  for (let at: Leaf<V> | undefined = leaf; at !== undefined; at = at.next)
    if (at.key === key) return at.value;
  return undefined;
}

function* walk<V>(node: Node<V>): Generator<readonly [string, V]> {
  if ('key' in node)
    for (let at: Leaf<V> | undefined = node; at !== undefined; at = at.next) yield [at.key, at.value];
  else for (const slot of node.slots) if (slot !== undefined) yield* walk(slot);
}

interface At {
  readonly level: number;
  readonly edit: Edit | undefined;
  readonly added: { count: number };
}

/** Most updates of a fold: every branch on the way is its own. `undefined`: the way is another one. */
function insertInPlace<V>(
  root: Node<V> | undefined,
  leaf: Leaf<V>,
  edit: Edit,
): 'added' | 'replaced' | undefined {
  let node = root;
  for (let level = 0; node !== undefined && 'slots' in node && node.owner === edit; level++) {
    const slot = slotOf(leaf.hash, level);
    const child: Node<V> | undefined = node.slots[slot];
    if (child === undefined) {
      node.slots[slot] = leaf;
      return 'added';
    }
    if ('key' in child && child.key === leaf.key && child.next === undefined) {
      node.slots[slot] = leaf;
      return 'replaced';
    }
    node = child;
  }
  return undefined;
}

function insert<V>(node: Node<V> | undefined, leaf: Leaf<V>, at: At): Node<V> {
  if (node === undefined) {
    at.added.count = 1;
    return leaf;
  }
  if ('slots' in node) {
    const slot = slotOf(leaf.hash, at.level);
    return withSlot(node, slot, insert(node.slots[slot], leaf, { ...at, level: at.level + 1 }), at.edit);
  }
  if (node.hash === leaf.hash || at.level >= LEVELS_MAX) return chained(node, leaf, at.added);
  const slots = new Array<Node<V> | undefined>(WIDTH).fill(undefined);
  slots[slotOf(node.hash, at.level)] = node;
  return insert({ owner: at.edit, slots }, leaf, at);
}

/** The chain with this entry first, in place of one with its key. */
function chained<V>(chain: Leaf<V>, leaf: Leaf<V>, added: { count: number }): Leaf<V> {
  const others = withoutKey(chain, leaf.key);
  if (others === chain) added.count = 1;
  return { ...leaf, next: others };
}

function withoutKey<V>(chain: Leaf<V> | undefined, key: string): Leaf<V> | undefined {
  if (chain === undefined) return undefined;
  if (chain.key === key) return chain.next;
  const next = withoutKey(chain.next, key);
  return next === chain.next ? chain : { ...chain, next };
}

function withSlot<V>(
  node: Branch<V>,
  slot: number,
  value: Node<V> | undefined,
  edit: Edit | undefined,
): Branch<V> {
  if (edit !== undefined && node.owner === edit) {
    node.slots[slot] = value;
    return node;
  }
  const slots = node.slots.slice();
  slots[slot] = value;
  return { owner: edit, slots };
}

function remove<V>(
  node: Node<V>,
  at: { hash: number; key: string; level: number; edit: Edit | undefined },
): Node<V> | undefined {
  if ('key' in node) return withoutKey(node, at.key);
  const slot = slotOf(at.hash, at.level);
  const rest = remove(node.slots[slot]!, { ...at, level: at.level + 1 });
  const branch = withSlot(node, slot, rest, at.edit);
  return rest === undefined && branch.slots.every((one) => one === undefined) ? undefined : branch;
}

function addDifferences<V>(
  before: Node<V> | undefined,
  after: Node<V> | undefined,
  changes: [string, V | undefined, V | undefined][],
): void {
  if (before === after) return;
  if (before !== undefined && after !== undefined && 'slots' in before && 'slots' in after) {
    for (let slot = 0; slot < WIDTH; slot++) addDifferences(before.slots[slot], after.slots[slot], changes);
    return;
  }
  // One of them is a chain or nothing: at most a handful of entries stand on that side.
  const from = new Map(before === undefined ? [] : walk(before));
  for (const [key, value] of after === undefined ? [] : walk(after)) {
    const old = from.get(key);
    from.delete(key);
    if (old !== value) changes.push([key, old, value]);
  }
  for (const [key, old] of from) changes.push([key, old, undefined]);
}

function slotOf(hash: number, level: number): number {
  return (hash >>> (level * BITS)) & MASK;
}

/** Of a text, 0 to 2^32 - 1: FNV-1a with a final mix: consecutive ids must not fall into the same slots of every level. */
export function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  return (hash ^ (hash >>> 12)) >>> 0;
}
