#!/usr/bin/env python3
"""Prints the records of a sealed segment, with the Python standard library alone.

Written from segment.md beside this file; it shares no code with lakeseal. A line of JSON for each
record, as in a proof: bytes are base64 or null, numbers of 64 bits are text. A gap prints itself.

    python3 read_segment.py FILE

Exit codes: 0 it is a segment, 1 it is none, 3 could not run (its codec is not in this Python).
"""
import base64
import hashlib
import json
import struct
import sys
import zlib

# What reading bytes that somebody made up may end in.
INVALID = (ValueError, LookupError, TypeError, AttributeError, RecursionError, struct.error,
           zlib.error)
NESTED_MAX = 64


class Cursor:
    """Reads Avro's numbers and bytes, one after the other."""

    def __init__(self, data):
        self.data, self.at, self.depth = data, 0, 0

    def take(self, count):
        start = self.at
        self.at += count
        if count < 0 or self.at > len(self.data):
            raise ValueError("it is cut")
        return self.data[start:self.at]

    def long(self):
        value = shift = 0
        while shift < 70:
            byte = self.take(1)[0]
            value |= (byte & 0x7f) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7
        raise ValueError("a number of more than 64 bits")

    def bytes(self):
        return self.take(self.long())

    def items(self, read):
        found = []
        while count := self.long():
            if count < 0:
                self.long()
            found += [read(self) for _ in range(abs(count))]
        return found

    def record(self, fields):
        self.depth += 1
        if self.depth > NESTED_MAX:
            raise ValueError("nested too deep")
        found = {name: read(self) for name, read in fields}
        self.depth -= 1
        return found


SIMPLE = {
    "null": lambda cursor: None,
    "boolean": lambda cursor: cursor.take(1),
    "int": Cursor.long,
    "long": Cursor.long,
    "float": lambda cursor: cursor.take(4),
    "double": lambda cursor: cursor.take(8),
    "bytes": Cursor.bytes,
    "string": Cursor.bytes,
}


def reader(schema, space, names):
    """What reads a datum of this Avro schema from a cursor; `names` has what reads named types."""
    if isinstance(schema, list):
        branches = dict(enumerate(reader(one, space, names) for one in schema))
        return lambda cursor: branches[cursor.long()](cursor)
    if isinstance(schema, str):
        full = schema if "." in schema or not space else f"{space}.{schema}"
        return SIMPLE.get(schema) or (lambda cursor: (names.get(full) or names[schema])(cursor))
    kind = schema["type"]
    if kind == "array":
        item = reader(schema["items"], space, names)
        return lambda cursor: cursor.items(item)
    if kind == "map":
        value = reader(schema["values"], space, names)
        return lambda cursor: cursor.items(lambda _: (cursor.bytes(), value(cursor)))
    if kind not in ("record", "enum", "fixed"):
        return reader(kind, space, names)
    name = schema["name"]
    space = name.rpartition(".")[0] if "." in name else schema.get("namespace", space)
    fields = [(one["name"], reader(one["type"], space, names)) for one in schema.get("fields", ())]
    read = {
        "record": lambda cursor: cursor.record(fields),
        "enum": Cursor.long,
        "fixed": lambda cursor: cursor.take(schema["size"]),
    }[kind]
    names[name if "." in name or not space else f"{space}.{name}"] = read
    return read


def is_long(schema):
    return schema == "long" or isinstance(schema, dict) and schema.get("type") == "long"


class Segment:
    """`meta`: its metadata, without `lakeseal.` before the names. `key`: what it was made for."""

    def __init__(self, data):
        self.cursor = cursor = Cursor(data)
        if cursor.take(4) != b"Obj\1":
            raise ValueError("no container file")
        count = cursor.long()
        pairs = [(cursor.bytes().decode(), cursor.bytes().decode()) for _ in range(count)]
        self.meta = meta = {name.removeprefix("lakeseal."): value for name, value in pairs}
        if len(meta) != count or cursor.long() != 0 or meta["format"] != "1":
            raise ValueError("metadata twice, not in one block, or of another format")
        place = "data/{cluster}/{topic}/{topicId}/".format(**meta)
        self.key = f"{place}{int(meta['partition']):05d}/{int(meta['firstOffset']):020d}.avro"
        self.sync = cursor.take(16)
        texts = [self.key, *(f"{self.key}#{at}" for at in range(1, 8))]
        if self.sync not in [hashlib.sha256(text.encode()).digest()[:16] for text in texts]:
            raise ValueError("the sync marker is not that of the slot")

    def blocks(self):
        """Number of records, and a cursor over them, of each block."""
        cursor, codec = self.cursor, self.meta["avro.codec"]
        while cursor.at < len(cursor.data):
            count, data = cursor.long(), cursor.bytes()
            if cursor.take(16) != self.sync or count < 1:
                raise ValueError("a block without its sync marker")
            if codec == "deflate":
                inflate = zlib.decompressobj(-15)
                data = inflate.decompress(data)
                if not inflate.eof or inflate.unused_data:
                    raise ValueError("a block with bytes behind its end")
            elif codec != "null":
                raise NotImplementedError(f"the codec {codec} cannot be read here")
            block = Cursor(data)
            yield count, block
            if block.at != len(data):
                raise ValueError("a block with bytes left over")

    def gap(self):
        """Reason and first offset that Kafka held; None in a segment of records."""
        if self.meta["kind"] != "gap":
            return None
        read = reader(json.loads(self.meta["avro.schema"]), "", {})
        (gap,) = [read(block) for _, block in self.blocks()]
        return {"reason": gap["reason"].decode(), "logStartOffset": str(gap["logStartOffset"])}

    def records(self):
        """Offset, time, key, headers, and the value as Kafka held it, of each record; and the event
        time that it gives, or None."""
        schema, names, last = json.loads(self.meta["avro.schema"]), {}, -1
        *fields, value = schema["fields"]
        head = reader({**schema, "fields": fields}, "", names)
        values = dict(enumerate(reader(one, "", names) for one in value["type"]))
        fields = value["type"][2].get("fields", ()) if len(values) > 2 else ()
        is_timed = any(one["name"] == "eventTime" and is_long(one["type"]) for one in fields)
        for count, block in self.blocks():
            for _ in range(count):
                one, branch, time = head(block), block.long(), None
                start = block.at
                held = values[branch](block)
                if branch == 2:
                    time = held["eventTime"] if is_timed else None
                    held = b"\0" + struct.pack(">i", one["schemaId"]) + block.data[start:block.at]
                if one["offset"] <= last:
                    raise ValueError("offsets that do not ascend")
                last = one["offset"]
                headers = [(header["key"], header["value"]) for header in one["headers"]]
                yield last, one["timestamp"], one["key"], headers, held, time


def text_of(data):
    return None if data is None else base64.b64encode(data).decode()


def main(path):
    with open(path, "rb") as file:
        segment = Segment(file.read())
    gap = segment.gap()
    if gap is not None:
        print(json.dumps(gap))
        return
    for offset, timestamp, key, headers, value, _ in segment.records():
        named = [[name.decode(), text_of(content)] for name, content in headers]
        print(json.dumps({"offset": str(offset), "timestamp": str(timestamp), "key": text_of(key),
                          "headers": named, "value": text_of(value)}))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: read_segment.py FILE", file=sys.stderr)
        sys.exit(3)
    try:
        main(sys.argv[1])
    except INVALID as problem:
        sys.exit(f"read_segment.py: not a segment: {problem}")
    except (OSError, NotImplementedError) as problem:
        print(f"read_segment.py: error: {problem}", file=sys.stderr)
        sys.exit(3)
