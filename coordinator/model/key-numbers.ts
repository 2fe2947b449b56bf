// Numbers by text, in one table that grows where it is written. A start notes a hundred thousand genotypes, and what that
// costs are reads of distant memory: a Map looks at each text in the chain of a hash, of which each is somewhere else. Here
// the hashes lie in the table, so that a text is looked at only where its hash is the same; that takes a quarter of the time.
//
// Open addressing with linear probing, at most half full. Nothing is ever taken away.

import { hashOf } from './persistent-map.ts';

/** Entries up to which a look at each is cheaper than a table: most sets have one or two. */
const LISTED_MAX = 8;
/** Of one slot: the hash, and the place of the entry from 1; 0: the slot is free. */
const SLOT = 2;

/** Numbers by text as a reader has them. */
export interface ReadonlyKeyNumbers extends Iterable<readonly [key: string, number: number]> {
  readonly size: number;
  get(key: string): number | undefined;
}

/** Numbers by text; each text once, in the order in which they came. */
export class KeyNumbers implements ReadonlyKeyNumbers {
  readonly #keys: string[] = [];
  readonly #numbers: number[] = [];
  #slots = new Int32Array(0);

  get size(): number {
    return this.#keys.length;
  }

  get(key: string): number | undefined {
    const place =
      this.#slots.length === 0 ? this.#keys.indexOf(key) : this.#slots[this.#slotOf(key) + 1]! - 1;
    return place < 0 ? undefined : this.#numbers[place];
  }

  /** A text that is there gets the other number and keeps its place. */
  set(key: string, number: number): void {
    if (this.#slots.length === 0 && this.#keys.length < LISTED_MAX) {
      const known = this.#keys.indexOf(key);
      if (known < 0) this.#add(key, number);
      else this.#numbers[known] = number;
      return;
    }
    if (this.#slots.length < 2 * SLOT * (this.#keys.length + 1)) this.#grow();
    const hash = hashOf(key) | 0;
    const at = this.#slotOf(key, hash);
    const place = this.#slots[at + 1]! - 1;
    if (place >= 0) {
      this.#numbers[place] = number;
      return;
    }
    this.#add(key, number);
    this.#slots[at] = hash;
    this.#slots[at + 1] = this.#keys.length;
  }

  *[Symbol.iterator](): Generator<readonly [string, number]> {
    for (let i = 0; i < this.#keys.length; i++) yield [this.#keys[i]!, this.#numbers[i]!];
  }

  #add(key: string, number: number): void {
    this.#keys.push(key);
    this.#numbers.push(number);
  }

  /** Where the slot of this text is, or the free one where it belongs. */
  #slotOf(key: string, hash = hashOf(key) | 0): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let at = (hash * SLOT) & mask; ; at = (at + SLOT) & mask) {
      const place = slots[at + 1]!;
      if (place === 0 || (slots[at] === hash && this.#keys[place - 1] === key)) return at;
    }
  }

  /** Four times the slots; the texts are looked at the first time alone. */
  #grow(): void {
    const before = this.#slots;
    this.#slots = new Int32Array(Math.max(8 * SLOT * LISTED_MAX, 4 * before.length));
    const take = (hash: number, place: number) => {
      const mask = this.#slots.length - 1;
      let at = (hash * SLOT) & mask;
      while (this.#slots[at + 1] !== 0) at = (at + SLOT) & mask;
      this.#slots[at] = hash;
      this.#slots[at + 1] = place;
    };
    if (before.length === 0) for (const [i, key] of this.#keys.entries()) take(hashOf(key) | 0, i + 1);
    for (let at = 0; at < before.length; at += SLOT)
      if (before[at + 1] !== 0) take(before[at]!, before[at + 1]!);
  }
}
