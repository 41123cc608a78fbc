/**
 * Compresses the blocks of segments and hashes their records in threads of their own, so that the event
 * loop keeps reading and heart-beating. All blocks of a segment go to one thread, in their order; their
 * memory goes over and the stored bytes come back.
 *
 * A thread ends by itself only over a fault: of the machine, or of ours, for it is given blocks that were
 * just built. What it held is lost, and nothing of that was durable: every answer that is awaited
 * rejects, and `died` is told once, for the process to end and read the records again. This file is
 * both ends.
 */
import assert from 'node:assert';
import { type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';
import type { WriterSchema } from '../../schemas/datum.ts';
import { parseSpliceSchema, type SegmentCodec } from '../../schemas/segment.ts';
import type { RawBlock } from '../../schemas/segment-writer.ts';
import { Failure } from '../runtime/errors.ts';
import type { BlockFinisher, SegmentFinisher } from './block-finisher.ts';
import { type BlockCompressor, blockCompressor } from './compress.ts';
import { FactsGatherer, type RecordFacts, type SegmentWriter } from './segment-facts.ts';

const THREAD = 'lakeseal-blocks';

interface Setup {
  thread: typeof THREAD;
  codec: SegmentCodec;
  level: number | undefined;
}

type ToThread =
  | {
      segment: number;
      count: number;
      bytes: Uint8Array;
      ends: Uint32Array<ArrayBuffer>;
      schemaId: number | null;
      /** Text of the writer schema; null where there is no datum. */
      writer: string | null;
    }
  /** Answered with the facts, or with nothing where `discard`. */
  | { segment: number; discard: boolean };
/** In the order of what was asked. */
type FromThread = { stored: Uint8Array } | { facts: RecordFacts };

export interface BlockThreads extends BlockFinisher {
  /** Ends the threads. Answers that are awaited reject. */
  close(): Promise<void>;
}

export interface BlockThreadsOptions {
  codec: SegmentCodec;
  level: number | undefined;
  /** How many. */
  threads: number;
  /** A thread ended by itself. */
  died: (error: Failure) => void;
}

export function startBlockThreads({ threads, ...options }: BlockThreadsOptions): BlockThreads {
  const all = Array.from({ length: threads }, () => new Thread(options));
  let next = 0;
  return {
    segment: () => all[next++ % all.length]!.segment(),
    close: async () => {
      await Promise.all(all.map((thread) => thread.close()));
    },
  };
}

interface Waiting {
  resolve(answer: FromThread): void;
  reject(error: Failure): void;
}

class Thread implements BlockFinisher {
  readonly #worker: Worker;
  /** Answers come in the order of the questions. */
  readonly #waiting: Waiting[] = [];
  readonly #died: (error: Failure) => void;
  #segments = 0;
  #over: Failure | null = null;

  constructor({ codec, level, died }: Omit<BlockThreadsOptions, 'threads'>) {
    this.#died = died;
    const setup: Setup = { thread: THREAD, codec, level };
    this.#worker = new Worker(new URL(import.meta.url), { workerData: setup, name: THREAD });
    this.#worker.unref();
    this.#worker.on('message', (answer: FromThread) => this.#waiting.shift()?.resolve(answer));
    this.#worker.on('error', (error: unknown) => this.#end(String(error), true));
    this.#worker.on('exit', (code) => this.#end(`it ended with ${code}`, true));
  }

  segment(): SegmentFinisher {
    const segment = this.#segments++;
    return {
      block: async ({ count, bytes, ends }, writer) => {
        const writing = { schemaId: writer?.schemaId ?? null, writer: writer?.schema.text ?? null };
        const question = { segment, count, bytes, ends, ...writing };
        // Its memory is the builder's own, see `BlockBuilder.take`.
        const answer = await this.#ask(question, [bytes.buffer as ArrayBuffer, ends.buffer]);
        assert('stored' in answer, 'answers come in the order of the questions');
        return asBuffer(answer.stored);
      },
      facts: async () => {
        const answer = await this.#ask({ segment, discard: false }, []);
        assert('facts' in answer, 'answers come in the order of the questions');
        return { ...answer.facts, recordsRoot: asBuffer(answer.facts.recordsRoot) };
      },
      discard: () => {
        if (this.#over === null) this.#worker.postMessage({ segment, discard: true });
      },
    };
  }

  async close(): Promise<void> {
    this.#end('it was closed', false);
    await this.#worker.terminate();
  }

  #ask(question: ToThread, memory: ArrayBuffer[]): Promise<FromThread> {
    if (this.#over !== null) return Promise.reject(this.#over);
    this.#worker.postMessage(question, memory);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #end(why: string, byItself: boolean): void {
    if (this.#over !== null) return;
    this.#over = failure(why);
    for (const { reject } of this.#waiting.splice(0)) reject(this.#over);
    if (byItself) this.#died(this.#over);
  }
}

function failure(why: string): Failure {
  return new Failure(`a thread that finishes blocks of segments failed: ${why}`, {
    code: 'BLOCK_THREAD_FAILED',
    hint: 'Start the process anew: it reads again what was not sealed.',
    retryable: true,
  });
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}

// --- the other end -------------------------------------------------------------------------------

function serve(port: MessagePort, { codec, level }: Setup): void {
  const compress = blockCompressor(codec, level);
  const segments = new Map<number, FactsGatherer>();
  port.on('message', (question: ToThread) => {
    const { segment } = question;
    const gatherer = segments.get(segment) ?? new FactsGatherer();
    if ('discard' in question) {
      segments.delete(segment);
      if (!question.discard) tell(port, { facts: gatherer.facts() }, []);
      return;
    }
    segments.set(segment, gatherer);
    const { count, ends, schemaId, writer } = question;
    const block: RawBlock = { count, bytes: asBuffer(question.bytes), ends };
    gatherer.add(block, writerOf(schemaId, writer));
    const stored = ownMemory(compress, block.bytes);
    tell(port, { stored }, [stored.buffer as ArrayBuffer]);
  });
}

function tell(port: MessagePort, answer: FromThread, memory: ArrayBuffer[]): void {
  port.postMessage(answer, memory);
}

/** What zlib gives may be a small view on a large chunk, which would go over as a whole. */
function ownMemory(compress: BlockCompressor, bytes: Buffer): Uint8Array {
  const stored = compress(bytes);
  if (stored.buffer === bytes.buffer) return stored;
  const own = Buffer.allocUnsafeSlow(stored.length);
  own.set(stored);
  return own;
}

const schemas = new Map<string, WriterSchema>();

/** Parsed once for each text. @throws Error where it is not one that datums are spliced by. */
function writerOf(schemaId: number | null, text: string | null): SegmentWriter | null {
  if (schemaId === null || text === null) return null;
  let schema = schemas.get(text);
  if (schema === undefined) {
    const parsed = parseSpliceSchema(text);
    if ('problem' in parsed) throw new Error(parsed.problem);
    schema = parsed;
    schemas.set(text, schema);
  }
  return { schemaId, schema };
}

const setup = workerData as Partial<Setup> | null;
if (parentPort !== null && setup?.thread === THREAD) serve(parentPort, setup as Setup);
