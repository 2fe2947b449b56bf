// A persistent table of rows by number: plans, sweeps, trials and runs, whose ids are `noun-number`. An
// update shares all but one path with the table before it, and the difference of two tables costs as much as
// what differs between them.
//
// It is a radix trie over the number, 32 slots a node. The fold of a journal and a decision make thousands of
// updates that nobody looks at in between; they pass an `Edit`, and a node that was made under the same edit
// is changed in place (the "transients" of Clojure). A table that was handed out is never changed: whoever
// hands one out goes on with a new edit.
//
// Rows of a long past come in pages, which are made when one of their rows is looked at: a start that reads a
// snapshot has a hundred thousand rows, of which it needs those of what is open.

const BITS = 5;
const WIDTH = 1 << BITS;
const MASK = WIDTH - 1;

/**
 * The right to change in place what was made under it. It refers to nothing: nodes that live for long have their edit,
 * and would keep whatever it knew.
 */
export class Edit {
  /** Distinguishes edits for a debugger; identity alone counts. */
  readonly edit = true;
}

interface Node {
  readonly owner: Edit | undefined;
  /** Rows in the lowest level, nodes above it. */
  readonly slots: unknown[];
}

/** Rows of a page; it begins at a multiple of this number. */
export const PAGE_ROWS = 256;

/** Rows of a table that are made when one of them is looked at. */
export interface Page<V> {
  /** Its lowest number, a multiple of PAGE_ROWS. */
  readonly first: number;
  /** The number of rows, 1 to PAGE_ROWS. */
  readonly count: number;
  /** The rows with their numbers. Called once at most. */
  readonly load: () => Iterable<readonly [number: number, row: V]>;
  /** The same rows as they lie in a store, which stands for them as long as none was looked at. */
  readonly stored?: Uint8Array | undefined;
}

/** The rows of a page by their distance from its first, once they are made. */
class PageRows {
  readonly page: Page<unknown>;
  #rows: unknown[] | undefined;

  constructor(page: Page<unknown>) {
    this.page = page;
  }

  slotsFrom(first: number): unknown[] {
    if (this.#rows === undefined) {
      this.#rows = new Array<unknown>(PAGE_ROWS).fill(undefined);
      for (const [number, row] of this.page.load()) this.#rows[number - this.page.first] = row;
    }
    const from = first - this.page.first;
    return this.#rows.slice(from, from + WIDTH);
  }
}

/** A node of the lowest level whose rows are those of a page. No edit owns it: its first change copies it. */
class PageLeaf implements Node {
  readonly owner = undefined;
  readonly first: number;
  readonly #rows: PageRows;
  #slots: unknown[] | undefined;

  constructor(rows: PageRows, first: number) {
    this.#rows = rows;
    this.first = first;
  }

  get slots(): unknown[] {
    this.#slots ??= this.#rows.slotsFrom(this.first);
    return this.#slots;
  }

  /** Its page, as long as none of its rows was looked at. */
  get untouched(): Page<unknown> | undefined {
    return this.#slots === undefined ? this.#rows.page : undefined;
  }
}

/** Rows by number, 1 to 2^30. */
export interface Table<V> {
  /** The number of rows. */
  readonly size: number;
  /** Levels of the trie; it holds numbers below 32^levels. */
  readonly levels: number;
  readonly root: Node | undefined;
  /** No row has this type; it makes tables of different rows different types. */
  readonly row?: V;
}

const EMPTY: Table<never> = { size: 0, levels: 1, root: undefined };

/** A table without rows. */
export function emptyTable<V>(): Table<V> {
  return EMPTY as Table<V>;
}

/** The row with this number, or undefined. */
export function rowAt<V>(table: Table<V>, number: number): V | undefined {
  let node = table.root;
  if (node === undefined || number < 0 || number >= CAPACITY[table.levels]!) return undefined;
  for (let shift = (table.levels - 1) * BITS; shift > 0; shift -= BITS) {
    node = node.slots[(number >>> shift) & MASK] as Node | undefined;
    if (node === undefined) return undefined;
  }
  return node.slots[number & MASK] as V | undefined;
}

/** The table with this row; the one given stays as it is, except for nodes that were made under `edit`. */
export function withRow<V>(table: Table<V>, number: number, row: V, edit?: Edit): Table<V> {
  let { levels, root } = table;
  if (edit !== undefined && number < CAPACITY[levels]!) {
    const outcome = putInPlace(root, { number, row, shift: (levels - 1) * BITS, edit });
    if (outcome === 'replaced') return table;
    if (outcome === 'added') return { size: table.size + 1, levels, root };
  }
  while (number >= CAPACITY[levels]!) {
    if (root !== undefined) root = { owner: edit, slots: slotsWith(0, root) };
    levels += 1;
  }
  const added = { count: 0 };
  const changed = put(root, { number, row, shift: (levels - 1) * BITS, edit, added });
  return { size: table.size + added.count, levels, root: changed };
}

/** The table without this row. */
export function withoutRow<V>(table: Table<V>, number: number, edit?: Edit): Table<V> {
  if (rowAt(table, number) === undefined) return table;
  const root = remove(table.root!, number, (table.levels - 1) * BITS, edit);
  return root === undefined ? emptyTable() : { size: table.size - 1, levels: table.levels, root };
}

/** Every row with its number, in ascending order. */
export function* rowsOf<V>(table: Table<V>): Generator<[number, V]> {
  if (table.root !== undefined) yield* walk<V>(table.root, 0, (table.levels - 1) * BITS);
}

/** The table with the rows of a page; it had none of these numbers. */
export function withPage<V>(table: Table<V>, page: Page<V>, edit?: Edit): Table<V> {
  let { levels, root } = table;
  const end = page.first + PAGE_ROWS;
  for (; end > CAPACITY[levels]!; levels++)
    if (root !== undefined) root = { owner: edit, slots: slotsWith(0, root) };
  const rows = new PageRows(page);
  for (let number = page.first; number < end; number += WIDTH)
    root = put(root, {
      ...{ number, row: new PageLeaf(rows, number), shift: (levels - 1) * BITS, level: BITS, edit },
      added: { count: 0 },
    });
  return { size: table.size + page.count, levels, root };
}

/** Rows of one page of a table, ascending, or what stands for them in a store. */
export type PageOf<V> = Pick<Page<V>, 'first' | 'count'> &
  ({ readonly rows: readonly (readonly [number, V])[] } | { readonly stored: Uint8Array });

/** Every row, page by page, in ascending order. */
export function* pagesOf<V>(table: Table<V>): Generator<PageOf<V>> {
  let leaves: [base: number, leaf: Node][] = [];
  const firstOf = (base: number) => base - (base % PAGE_ROWS);
  for (const found of leavesOf(table.root, 0, (table.levels - 1) * BITS)) {
    const [before] = leaves;
    if (before !== undefined && firstOf(before[0]) !== firstOf(found[0])) {
      yield* pageOf<V>(firstOf(before[0]), leaves);
      leaves = [];
    }
    leaves.push(found);
  }
  if (leaves.length > 0) yield* pageOf<V>(firstOf(leaves[0]![0]), leaves);
}

/** The page that these leaves make, if they have any row. */
function* pageOf<V>(first: number, leaves: readonly (readonly [number, Node])[]): Generator<PageOf<V>> {
  const stored = storedPage(leaves);
  if (stored !== undefined) {
    yield stored;
    return;
  }
  const rows: [number, V][] = [];
  for (const [base, { slots }] of leaves)
    for (let i = 0; i < WIDTH; i++) if (slots[i] !== undefined) rows.push([base + i, slots[i] as V]);
  if (rows.length > 0) yield { first, count: rows.length, rows };
}

/** The page that all these leaves are, as it is stored, where none of its rows was looked at. */
function storedPage(leaves: readonly (readonly [number, Node])[]) {
  if (leaves.length < PAGE_ROWS / WIDTH) return undefined;
  const [page, ...others] = leaves.map(([, leaf]) => (leaf instanceof PageLeaf ? leaf.untouched : undefined));
  if (page?.stored === undefined || others.some((other) => other !== page)) return undefined;
  const { first, count, stored } = page;
  return { first, count, stored };
}

function* leavesOf(node: Node | undefined, base: number, shift: number): Generator<[number, Node]> {
  if (node === undefined) return;
  if (shift === 0) yield [base, node];
  else
    for (let i = 0; i < WIDTH; i++)
      yield* leavesOf(node.slots[i] as Node | undefined, base + i * 2 ** shift, shift - BITS);
}

/** A row that differs between two tables. */
export type Change<V> = readonly [number: number, before: V | undefined, after: V | undefined];

/** What differs between two tables, in ascending order. */
export function changesBetween<V>(before: Table<V>, after: Table<V>): Change<V>[] {
  const levels = Math.max(before.levels, after.levels);
  const changes: Change<V>[] = [];
  const [from, to] = [raised(before, levels), raised(after, levels)];
  addDifferences({ from, to, base: 0, shift: (levels - 1) * BITS }, changes);
  return changes;
}

/** Numbers below this one fit into so many levels. */
const CAPACITY = [0, 1, 2, 3, 4, 5, 6, 7].map((levels) => WIDTH ** levels);

/** Most updates of a fold: every node on the way is its own. `undefined`: one is not. */
function putInPlace(
  root: Node | undefined,
  at: { number: number; row: unknown; shift: number; edit: Edit },
): 'added' | 'replaced' | undefined {
  const { number, row, edit } = at;
  let { shift } = at;
  for (let node = root; node !== undefined && node.owner === edit; shift -= BITS) {
    const index = (number >>> shift) & MASK;
    const before = node.slots[index];
    if (shift === 0) {
      node.slots[index] = row;
      return before === undefined ? 'added' : 'replaced';
    }
    node = before as Node | undefined;
  }
  return undefined;
}

function slotsWith(index: number, value: unknown): unknown[] {
  const slots = new Array<unknown>(WIDTH).fill(undefined);
  slots[index] = value;
  return slots;
}

/** `level`: the shift at which the row is put; absent: in the lowest level. */
function put(
  node: Node | undefined,
  at: {
    number: number;
    row: unknown;
    shift: number;
    level?: number;
    edit: Edit | undefined;
    added: { count: number };
  },
): Node {
  const { number, row, shift, level = 0, edit, added } = at;
  const index = (number >>> shift) & MASK;
  const before = node?.slots[index];
  if (shift === level && before === undefined) added.count = 1;
  const value = shift === level ? row : put(before as Node | undefined, { ...at, shift: shift - BITS });
  if (node === undefined) return { owner: edit, slots: slotsWith(index, value) };
  if (edit !== undefined && node.owner === edit) {
    node.slots[index] = value;
    return node;
  }
  const slots = node.slots.slice();
  slots[index] = value;
  return { owner: edit, slots };
}

function remove(node: Node, number: number, shift: number, edit: Edit | undefined): Node | undefined {
  const index = (number >>> shift) & MASK;
  const value = shift === 0 ? undefined : remove(node.slots[index] as Node, number, shift - BITS, edit);
  const mine = edit !== undefined && node.owner === edit;
  const slots = mine ? node.slots : node.slots.slice();
  slots[index] = value;
  if (value === undefined && isEmpty(slots)) return undefined;
  return mine ? node : { owner: edit, slots };
}

function isEmpty(slots: readonly unknown[]): boolean {
  for (let i = 0; i < WIDTH; i++) if (slots[i] !== undefined) return false;
  return true;
}

function* walk<V>(node: Node, base: number, shift: number): Generator<[number, V]> {
  for (let i = 0; i < WIDTH; i++) {
    const slot = node.slots[i];
    if (slot === undefined) continue;
    const number = base + i * 2 ** shift;
    if (shift === 0) yield [number, slot as V];
    else yield* walk<V>(slot as Node, number, shift - BITS);
  }
}

/** The root of a trie of so many levels with the same rows. */
function raised({ root, levels }: Table<unknown>, to: number): Node | undefined {
  let raisedRoot = root;
  for (let level = levels; level < to && raisedRoot !== undefined; level++)
    raisedRoot = { owner: undefined, slots: slotsWith(0, raisedRoot) };
  return raisedRoot;
}

function addDifferences<V>(
  at: { from: Node | undefined; to: Node | undefined; base: number; shift: number },
  changes: Change<V>[],
): void {
  const { from, to, base, shift } = at;
  if (from === to) return;
  for (let i = 0; i < WIDTH; i++) {
    const [before, after] = [from?.slots[i], to?.slots[i]];
    if (before === after) continue;
    const number = base + i * 2 ** shift;
    if (shift === 0) changes.push([number, before as V | undefined, after as V | undefined]);
    else
      addDifferences(
        {
          from: before as Node | undefined,
          to: after as Node | undefined,
          base: number,
          shift: shift - BITS,
        },
        changes,
      );
  }
}
