// A list of whole numbers that grows where it is written. It has pages, so that growing copies nothing and a
// number far behind the others takes a page and no more. A page that was handed out to be stored is copied before
// it changes, and one that was read is made of its bytes when a number of it is asked for.

const BITS = 12;
const PAGE = 1 << BITS;
const NUMBER_BYTES = 4;

/** A page as it was when it was handed out. */
export interface NumberPage {
  /** Its place among the pages. */
  readonly page: number;
  /** Its numbers, each as its distance from the one before it, 32 bits with the lowest byte first. */
  bytes(): Uint8Array;
  /** The same as it lies in a store, where it was not looked at since it was read. */
  readonly stored?: Uint8Array | undefined;
}

/** Numbers from 0 to 2^32 - 1 by place; what was never written is 0. */
export class NumberList {
  #pages: (Uint32Array | undefined)[] = [];
  /** Pages that were read and not looked at. */
  readonly #unread = new Map<number, NumberPage>();
  /** Pages that somebody else has too. */
  readonly #shared = new Set<number>();

  at(place: number): number {
    const page = this.#pages[place >>> BITS];
    if (page !== undefined) return page[place & (PAGE - 1)]!;
    return this.#unread.size === 0 ? 0 : (this.#read(place >>> BITS)?.[place & (PAGE - 1)] ?? 0);
  }

  set(place: number, number: number): void {
    const at = place >>> BITS;
    let page = this.#pages[at];
    if (page === undefined) page = this.#read(at) ?? this.#put(at, new Uint32Array(PAGE));
    else if (this.#shared.size > 0 && this.#shared.delete(at)) page = this.#put(at, page.slice());
    page[place & (PAGE - 1)] = number;
  }

  /** All pages as they are now, whatever is written later. */
  pages(): NumberPage[] {
    const pages: NumberPage[] = [];
    for (const [page, numbers] of this.#pages.entries()) {
      if (numbers === undefined) continue;
      this.#shared.add(page);
      pages.push({ page, bytes: () => bytesOf(numbers) });
    }
    return [...pages, ...this.#unread.values()].sort((a, b) => a.page - b.page);
  }

  /** Takes a page that was stored. The list had none in that place. */
  take(page: NumberPage): void {
    this.#unread.set(page.page, page);
  }

  #read(at: number): Uint32Array | undefined {
    const page = this.#unread.get(at);
    if (page === undefined) return undefined;
    const numbers = numbersOf(page.bytes());
    this.#unread.delete(at);
    return this.#put(at, numbers);
  }

  #put(at: number, page: Uint32Array): Uint32Array {
    this.#pages[at] = page;
    return page;
  }
}

function bytesOf(numbers: Uint32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(PAGE * NUMBER_BYTES));
  let before = 0;
  for (let i = 0; i < PAGE; i++) {
    view.setInt32(i * NUMBER_BYTES, numbers[i]! - before, true);
    before = numbers[i]!;
  }
  return new Uint8Array(view.buffer);
}

/** Throws a RangeError when these are not the bytes of a page. */
function numbersOf(bytes: Uint8Array): Uint32Array {
  if (bytes.length !== PAGE * NUMBER_BYTES)
    throw new RangeError(`a page of numbers has ${PAGE * NUMBER_BYTES} bytes, and these are ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const numbers = new Uint32Array(PAGE);
  let before = 0;
  for (let i = 0; i < PAGE; i++) {
    before = (before + view.getInt32(i * NUMBER_BYTES, true)) >>> 0;
    numbers[i] = before;
  }
  return numbers;
}
