"""Compares sealed segments with what Kafka holds, using only fastavro and the standard library.

It promises an opinion that shares no code with lakeseal: segments are opened as plain Avro object
container files, and every record is held against a dump of the topic.

  python compare_segments.py SEGMENTS_DIR KAFKA_DUMP.ndjson

SEGMENTS_DIR   files named PARTITION-FIRSTOFFSET.avro, copied from the archive
KAFKA_DUMP     one record a line: {"p", "o" (text), "t" (text), "k", "h": [[key, value]], "v"},
               key and values in base64 or null, read by an ordinary consumer

Prints one JSON object; exit code 0 whether or not the two agree (the caller judges).
"""

import base64
import io
import json
import os
import sys

import fastavro

DETAILS_MAX = 20


def load_dump(path):
    kafka = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            kafka[(record["p"], int(record["o"]))] = record
    return kafka


def unbase64(text):
    return None if text is None else base64.b64decode(text)


def branch_schema(envelope):
    """The schema of the third branch of Envelope.value, or None where the file has no such branch."""
    value = next(field for field in envelope["fields"] if field["name"] == "value")
    branches = value["type"]
    return branches[2] if len(branches) > 2 else None


class Comparison:
    def __init__(self, kafka):
        self.kafka = kafka
        self.seen = set()
        self.differences = []
        self.difference_count = 0
        self.records = 0
        self.typed = 0
        self.opaque = 0
        self.gaps = []
        self.ranges = {}

    def differ(self, where, what):
        self.difference_count += 1
        if len(self.differences) < DETAILS_MAX:
            self.differences.append(f"{where}: {what}")

    def record(self, name, partition, datum, schema):
        at = (partition, datum["offset"])
        where = f"{name} offset {datum['offset']}"
        self.records += 1
        if at in self.seen:
            self.differ(where, "sealed twice")
        self.seen.add(at)
        held = self.kafka.get(at)
        if held is None:
            self.differ(where, "not in Kafka")
            return
        self.compare_frame(where, datum, held)
        self.compare_value(where, datum, unbase64(held["v"]), schema)

    def compare_frame(self, where, datum, held):
        stamp = datum["timestamp"]
        millis = stamp if isinstance(stamp, int) else round(stamp.timestamp() * 1000)
        if millis != int(held["t"]):
            self.differ(where, f"timestamp {millis}, Kafka has {held['t']}")
        if datum["key"] != unbase64(held["k"]):
            self.differ(where, "key")
        sealed = [[header["key"], header["value"]] for header in datum["headers"]]
        if sealed != [[key, unbase64(value)] for key, value in held["h"]]:
            self.differ(where, "headers")

    def compare_value(self, where, datum, value, schema):
        sealed = datum["value"]
        if sealed is None or isinstance(sealed, bytes):
            self.opaque += 1
            if sealed != value:
                self.differ(where, "value bytes")
            return
        self.typed += 1
        if value is None or value[0] != 0 or int.from_bytes(value[1:5], "big") != datum["schemaId"]:
            self.differ(where, "frame of the value")
            return
        raw = io.BytesIO(value[5:])
        if fastavro.schemaless_reader(raw, schema, None) != sealed:
            self.differ(where, "datum")
        again = io.BytesIO()
        fastavro.schemaless_writer(again, schema, sealed)
        if again.getvalue() != value[5:]:
            self.differ(where, "datum bytes")

    def segment(self, directory, name):
        partition = int(name.split("-")[0])
        with open(os.path.join(directory, name), "rb") as file:
            reader = fastavro.reader(file)
            meta = {k: v for k, v in reader.metadata.items() if k.startswith("lakeseal.")}
            first, following = int(meta["lakeseal.firstOffset"]), int(meta["lakeseal.nextOffset"])
            self.ranges.setdefault(partition, []).append([first, following])
            if meta["lakeseal.kind"] == "gap":
                self.gaps.append([partition, first, following])
                return
            inner = branch_schema(reader.writer_schema)
            schema = None if inner is None else fastavro.parse_schema(inner)
            count = 0
            for datum in reader:
                count += 1
                if not first <= datum["offset"] < following:
                    self.differ(name, f"offset {datum['offset']} outside [{first}, {following})")
                self.record(name, partition, datum, schema)
            if count != int(meta["lakeseal.recordCount"]):
                self.differ(name, f"{count} records, header says {meta['lakeseal.recordCount']}")

    def tiling(self):
        """Holes and overlaps between neighbouring segments of a partition."""
        problems = []
        for partition, ranges in self.ranges.items():
            ranges.sort()
            for before, after in zip(ranges, ranges[1:]):
                if before[1] != after[0]:
                    kind = "hole" if before[1] < after[0] else "overlap"
                    problems.append(f"{kind} in partition {partition}: {before} then {after}")
        return problems


def main(directory, dump):
    comparison = Comparison(load_dump(dump))
    names = sorted(name for name in os.listdir(directory) if name.endswith(".avro"))
    for name in names:
        comparison.segment(directory, name)
    missing = sorted(set(comparison.kafka) - comparison.seen)
    json.dump(
        {
            "segments": len(names),
            "records": comparison.records,
            "typed": comparison.typed,
            "opaque": comparison.opaque,
            "gaps": comparison.gaps,
            "kafka": len(comparison.kafka),
            "missing": len(missing),
            "missingFirst": missing[:DETAILS_MAX],
            "differences": comparison.difference_count,
            "differencesFirst": comparison.differences,
            "tiling": comparison.tiling(),
        },
        sys.stdout,
    )


main(sys.argv[1], sys.argv[2])
