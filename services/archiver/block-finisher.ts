/** Who finishes the blocks of segments that are being filled: this thread, or others. */
import type { RawBlock } from '../../schemas/segment-writer.ts';
import type { BlockCompressor } from './compress.ts';
import { FactsGatherer, type RecordFacts, type SegmentWriter } from './segment-facts.ts';

export interface BlockFinisher {
  /** For one segment. */
  segment(): SegmentFinisher;
}

export interface SegmentFinisher {
  /**
   * The block's bytes as they are stored. Blocks are given in their order, each with the writer of its
   * datums; the memory of the block is given away.
   */
  block(block: RawBlock, writer: SegmentWriter | null): Promise<Buffer> | Buffer;
  /** Of all blocks that were given. To be called once. */
  facts(): Promise<RecordFacts> | RecordFacts;
  /** Nothing more is wanted of it. */
  discard(): void;
}

/** In this thread, at once. */
export function finishHere(compress: BlockCompressor): BlockFinisher {
  return {
    segment() {
      const gatherer = new FactsGatherer();
      return {
        block(block, writer) {
          gatherer.add(block, writer);
          return compress(block.bytes);
        },
        facts: () => gatherer.facts(),
        discard: () => {},
      };
    },
  };
}
