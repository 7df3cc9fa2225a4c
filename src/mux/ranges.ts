/** A set of whole numbers as sorted, disjoint, not touching ranges. Costs follow the count of ranges, not of numbers. */

export class Ranges {
  /** start, end (excluded), start, end, …, ascending. Not to be changed from outside. */
  readonly bounds: number[] = [];

  /** How many ranges. */
  get count(): number {
    return this.bounds.length >> 1;
  }

  get empty(): boolean {
    return this.bounds.length === 0;
  }

  has(value: number): boolean {
    return (this.#firstAbove(value) & 1) === 1;
  }

  /** Adds start..end-1. */
  add(start: number, end: number): void {
    if (start >= end) return;
    const { bounds } = this;
    const last = bounds.length - 1;
    if (last < 0 || start > bounds[last]) {
      bounds.push(start, end);
    } else if (start === bounds[last]) {
      bounds[last] = end;
    } else {
      // A bound at an odd index ends a range: what touches or overlaps one melts into it.
      const from = this.#firstAbove(start - 1);
      const to = this.#firstAbove(end);
      this.#replace(from, to, start, end, (from & 1) === 0, (to & 1) === 0);
    }
  }

  /** Takes start..end-1 out. */
  remove(start: number, end: number): void {
    if (start >= end || this.empty) return;
    const from = this.#firstAbove(start - 1);
    const to = this.#firstAbove(end);
    this.#replace(from, to, start, end, (from & 1) === 1, (to & 1) === 1);
  }

  /** Forgets the lowest ranges until at most `countMax` are left. */
  keepNewest(countMax: number): void {
    if (this.count > countMax) this.bounds.splice(0, 2 * (this.count - countMax));
  }

  /** Adds the numbers between the two lowest ranges. */
  closeLowestGap(): void {
    if (this.count > 1) this.bounds.splice(1, 2);
  }

  clear(): void {
    this.bounds.length = 0;
  }

  /** Puts `start` and `end`, where wanted, in place of the bounds at from..to-1. */
  #replace(from: number, to: number, start: number, end: number, withStart: boolean, withEnd: boolean): void {
    const { bounds } = this;
    if (withStart && withEnd) bounds.splice(from, to - from, start, end);
    else if (withStart) bounds.splice(from, to - from, start);
    else if (withEnd) bounds.splice(from, to - from, end);
    else bounds.splice(from, to - from);
  }

  /** Index of the first bound greater than `value`. */
  #firstAbove(value: number): number {
    const { bounds } = this;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (bounds[middle] > value) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
