// A persistent map from strings to values: an update shares all but one path with the map before it. The
// state is plain readonly data, and a fold over 100,000 events must not copy 100,000 entries for each of
// them.
//
// It is a hash trie of 32 slots a node (P. Bagwell, Ideal Hash Trees, 2001, without its compression of empty
// slots): look-up and update touch one node a level, and seven levels use up the 32 bits of the hash.

const BITS = 5;
const WIDTH = 1 << BITS;
const MASK = WIDTH - 1;
/** 7 levels use up the 32 bits of the hash; keys that still collide share a leaf. */
const LEVELS_MAX = 7;

interface Leaf<V> {
  readonly hash: number;
  readonly entries: readonly (readonly [string, V])[];
}
interface Branch<V> {
  /** WIDTH slots. */
  readonly slots: readonly (Node<V> | undefined)[];
}
type Node<V> = Leaf<V> | Branch<V>;

/** A map that never changes; an update gives another one. */
export interface PersistentMap<V> {
  readonly size: number;
  readonly root: Node<V> | undefined;
}

/** A map without entries. */
export function emptyMap<V>(): PersistentMap<V> {
  return { size: 0, root: undefined };
}

/** The value of a key, or undefined. */
export function lookup<V>(map: PersistentMap<V>, key: string): V | undefined {
  const hash = hashOf(key);
  let node = map.root;
  for (let level = 0; node !== undefined; level++) {
    if ('entries' in node) return node.entries.find(([k]) => k === key)?.[1];
    node = node.slots[slotOf(hash, level)];
  }
  return undefined;
}

/** The map with `key` set to `value`; the one given stays as it is. */
export function withEntry<V>(map: PersistentMap<V>, key: string, value: V): PersistentMap<V> {
  const known = lookup(map, key) !== undefined;
  return {
    size: known ? map.size : map.size + 1,
    root: insert(map.root, { hash: hashOf(key), level: 0, key, value }),
  };
}

/** Every value, in no order that means anything. */
export function* valuesOf<V>(map: PersistentMap<V>): Generator<V> {
  if (map.root !== undefined) yield* walk(map.root);
}

function* walk<V>(node: Node<V>): Generator<V> {
  if ('entries' in node) for (const [, value] of node.entries) yield value;
  else for (const slot of node.slots) if (slot !== undefined) yield* walk(slot);
}

function insert<V>(
  node: Node<V> | undefined,
  at: { hash: number; level: number; key: string; value: V },
): Node<V> {
  const { hash, level, key, value } = at;
  if (node === undefined) return { hash, entries: [[key, value]] };
  if ('slots' in node) {
    const slots = node.slots.slice();
    const slot = slotOf(hash, level);
    slots[slot] = insert(slots[slot], { ...at, level: level + 1 });
    return { slots };
  }
  if (node.hash === hash || level >= LEVELS_MAX)
    return { hash: node.hash, entries: [...node.entries.filter(([k]) => k !== key), [key, value]] };
  const slots = new Array<Node<V> | undefined>(WIDTH).fill(undefined);
  slots[slotOf(node.hash, level)] = node;
  return insert({ slots }, at);
}

function slotOf(hash: number, level: number): number {
  return (hash >>> (level * BITS)) & MASK;
}

/** FNV-1a with a final mix: consecutive ids must not fall into the same slots of every level. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  return (hash ^ (hash >>> 12)) >>> 0;
}
