/** A place in a text that goes from line to line, as indented languages are read. */
export class LineCursor {
  protected readonly text: string;
  /** Of the line: where it starts, and where its end is. */
  protected start = 0;
  protected end = 0;
  /** Where reading is; the first character that is no blank where a line was just entered. */
  protected at = 0;

  constructor(text: string) {
    this.text = text;
    this.enter(0);
  }

  protected get isOver(): boolean {
    return this.start >= this.text.length;
  }

  protected get column(): number {
    return this.at - this.start;
  }

  /** A line between documents. */
  protected get isMark(): boolean {
    return this.text.startsWith('---', this.start) && this.end === this.start + 3;
  }

  protected enter(start: number): void {
    const end = this.text.indexOf('\n', start);
    this.start = start;
    this.end = end < 0 ? this.text.length : end;
    this.at = start;
    while (this.at < this.end && this.text[this.at] === ' ') this.at += 1;
  }

  protected next(): void {
    this.enter(Math.min(this.end + 1, this.text.length));
  }

  protected get isBlank(): boolean {
    return this.at === this.end;
  }

  /** To the next line that is neither blank nor a comment. */
  protected significant(): void {
    while (!this.isOver && (this.isBlank || this.text[this.at] === '#')) this.next();
  }

  /** Whether the line goes on with something that belongs into a block at this column or deeper. */
  protected isWithin(column: number): boolean {
    return !this.isOver && this.column >= column && !this.isMark;
  }

  protected blanks(from: number): number {
    let at = from;
    while (at < this.end && this.text[at] === ' ') at += 1;
    return at;
  }
}
