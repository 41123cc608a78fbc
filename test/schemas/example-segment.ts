/** The tiny segment that `schemas/segment.md` shows byte by byte. */
import { parseSpliceSchema, type SegmentHeader } from '../../schemas/segment.ts';
import { assembleSegment, BlockBuilder } from '../../schemas/segment-writer.ts';

export const EXAMPLE_SCHEMA =
  '{"type":"record","name":"Login","fields":[{"name":"user","type":"string"}]}';

export const EXAMPLE_HEADER: SegmentHeader = {
  kind: 'data',
  clusterId: 'c',
  topic: 't',
  topicId: 'i',
  partition: 3,
  firstOffset: 100n,
  nextOffset: 104n,
  recordCount: 3,
  lastOffset: 102n,
  timestampMin: 1000n,
  timestampMax: 2000n,
  schemaId: 7,
};

/** A spliced datum, a raw JSON value with a header, and a tombstone; 103 is a control record. */
export function exampleSegment(): Buffer {
  const schema = parseSpliceSchema(EXAMPLE_SCHEMA);
  if ('problem' in schema) throw new Error(schema.problem);
  const block = new BlockBuilder();
  const framed = Buffer.from('000000000706616461', 'hex');
  block.add({ offset: 100n, timestamp: 1000n, key: null, value: framed, headers: [] }, 7);
  const headers = [{ key: 'h', value: Buffer.from('v') }];
  const json = Buffer.from('{"a":1}');
  const key = Buffer.from('k');
  block.add({ offset: 101n, timestamp: 2000n, key, value: json, headers }, null);
  block.add({ offset: 102n, timestamp: 2000n, key, value: null, headers: [] }, null);
  return assembleSegment({
    header: EXAMPLE_HEADER,
    codec: 'null',
    writerSchema: EXAMPLE_SCHEMA,
    blocks: [block.take()],
  });
}

/** Sixteen bytes a line: offset, hex, text. */
export function hexDump(bytes: Buffer): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const line = bytes.subarray(at, at + 16);
    const hex = (line.toString('hex').match(/../g) ?? []).join(' ').padEnd(47);
    const text = [...line].map((byte) => printable(byte)).join('');
    lines.push(`${at.toString(16).padStart(4, '0')}  ${hex}  ${text}`.trimEnd());
  }
  return lines.join('\n');
}

function printable(byte: number): string {
  return byte > 0x20 && byte < 0x7f && byte !== 0x60 ? String.fromCharCode(byte) : '.';
}
