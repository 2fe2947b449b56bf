// A list of whole numbers that grows where it is written. It has pages, so that growing copies nothing and a
// number far behind the others takes a page and no more.

const BITS = 12;
const PAGE = 1 << BITS;

/** Numbers from 0 to 2^32 - 1 by place; what was never written is 0. */
export class NumberList {
  #pages: (Uint32Array | undefined)[] = [];

  at(place: number): number {
    return this.#pages[place >>> BITS]?.[place & (PAGE - 1)] ?? 0;
  }

  set(place: number, number: number): void {
    let page = this.#pages[place >>> BITS];
    if (page === undefined) {
      page = new Uint32Array(PAGE);
      this.#pages[place >>> BITS] = page;
    }
    page[place & (PAGE - 1)] = number;
  }
}
