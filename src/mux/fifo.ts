/** First in, first out, in a circle that doubles when full: no cost that grows with what waits. */
export class Fifo<T> {
  #items: (T | undefined)[] = new Array(8).fill(undefined);
  #first = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  push(item: T): void {
    if (this.#count === this.#items.length) this.#double();
    this.#items[(this.#first + this.#count++) & (this.#items.length - 1)] = item;
  }

  peek(): T | undefined {
    return this.#items[this.#first];
  }

  shift(): T | undefined {
    const item = this.#items[this.#first];
    if (this.#count === 0) return undefined;
    this.#items[this.#first] = undefined;
    this.#first = (this.#first + 1) & (this.#items.length - 1);
    this.#count--;
    return item;
  }

  clear(): void {
    this.#items = new Array(8).fill(undefined);
    this.#first = 0;
    this.#count = 0;
  }

  #double(): void {
    const items = [...this.#items.slice(this.#first), ...this.#items.slice(0, this.#first)];
    this.#items = items.concat(new Array(items.length).fill(undefined));
    this.#first = 0;
  }
}
