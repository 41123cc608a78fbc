#!/usr/bin/env node
/**
 * The entry of the command line. It only makes sure that this Node can run what follows: an older
 * one fails on a missing module or a syntax it does not know, which tells a user nothing. So this
 * file imports nothing by itself and keeps to what every Node with modules understands.
 */

/** zstd, which Kafka records and Avro blocks may use, is part of Node from here on. */
const MAJOR_MIN = 22;
const MINOR_MIN = 15;

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < MAJOR_MIN || (major === MAJOR_MIN && minor < MINOR_MIN)) {
  process.stderr.write(
    `lakeseal: error: needs Node ${MAJOR_MIN}.${MINOR_MIN} or later, this is ${process.versions.node} (NODE_TOO_OLD)\n` +
      'hint: install a newer Node, or from a checkout use: npm run -s lakeseal -- COMMAND\n',
  );
  process.exitCode = 1;
} else {
  const { main } = await import('./cli/program.ts');
  await main(process.argv.slice(2));
}
