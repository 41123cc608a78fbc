/** Counts what must be durable before something may follow. Pure bookkeeping, no I/O. */
export class Settling {
  #open = 0;
  #waiting: Array<() => void> = [];

  /** One more; what is returned is called once when it is durable. */
  begin(): () => void {
    this.#open += 1;
    let done = false;
    return () => {
      if (done) return;
      done = true;
      this.#open -= 1;
      if (this.#open === 0) for (const resolve of this.#waiting.splice(0)) resolve();
    };
  }

  /** Resolves when nothing is open; what never settles is waited for without end. */
  settled(): Promise<void> {
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
