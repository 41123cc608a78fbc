#!/usr/bin/env python3
"""Verifies a copy of a lakeseal archive with the Python standard library and openssl alone.

Written from evidence.md and segment.md beside this file; it shares no code with lakeseal. It reads
a folder whose paths are the keys of the bucket, and trusts nothing but the keys it is given.

    python3 verify.py DIR --key VKEY [--prefix P] [--from NOTE] [--tsa-ca PEM] [--expect-stamps]
                      [--witness VKEY] [--deep] [--json]
    python3 verify.py --check-proof FILE --key VKEY [--tsa-ca PEM] [--witness VKEY]

Exit codes: 0 verified (or the proof holds), 1 tampered with (or it does not), 2 incomplete or
nothing to verify, 3 could not run.
"""
import argparse
import base64
import datetime
import functools
import hashlib
import heapq
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import defaultdict, namedtuple
from itertools import groupby
from operator import itemgetter

INCOMPLETE = ("segment_unsealed", "checkpoint_missing", "stamp_missing", "nothing")
STATEMENTS = ("access", "baseline", "holds", "wraps")
HOUR_S, DAY_S = 3600, 86400


class Bad(ValueError):
    """Bytes that are not what they should be."""


class CannotRun(Exception):
    """Nothing can be said: exit code 3."""


# What reading bytes that somebody made up may end in.
BROKEN = (ValueError, LookupError, TypeError, AttributeError, RecursionError, struct.error, zlib.error)


def sha256(data):
    return hashlib.sha256(data).digest()


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text, length=None):
    data = base64.b64decode(text, validate=True)
    if b64(data) != text or length not in (None, len(data)):
        raise Bad("not the base64 that it should be")
    return data


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


# --- the tree of RFC 6962 --------------------------------------------------------------------------

def leaf_hash(data):
    return sha256(b"\0" + data)


def node_hash(left, right):
    return sha256(b"\1" + left + right)


class Tree:
    """The roots of the perfect subtrees of the leaves so far, largest first."""

    def __init__(self):
        self.size, self.hashes = 0, []

    def append(self, node):
        rest = self.size
        while rest & 1:
            node = node_hash(self.hashes.pop(), node)
            rest >>= 1
        self.hashes.append(node)
        self.size += 1

    def root(self):
        if not self.hashes:
            return sha256(b"")
        return functools.reduce(lambda right, left: node_hash(left, right), self.hashes[::-1])


def is_included(index, size, node, path, root):
    """RFC 9162, section 2.1.3.2; the path is base64, from the leaf up."""
    at, last = index, size - 1
    if not 0 <= at <= last:
        return False
    for other in (unb64(text, 32) for text in path):
        if last == 0:
            return False
        if at & 1 or at == last:
            node = node_hash(other, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, other)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


# --- keys and signed notes -------------------------------------------------------------------------

def openssl(command, **files):
    """Whether openssl is content; the command names files that hold these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        try:
            done = subprocess.run(["openssl", *command.split()], cwd=folder, capture_output=True)
        except OSError as error:
            raise CannotRun(f"openssl cannot be run: {error}")
    return done.returncode == 0


class Key:
    """A public key, from a C2SP vkey: of who signs checkpoints, or of a witness (type 04)."""

    ED25519, ECDSA, WITNESS = b"\1", b"\2", b"\4"

    def __init__(self, vkey, witness=False):
        self.vkey = vkey.strip()
        parts = self.vkey.split("+", 2)
        if len(parts) != 3:
            raise Bad("a public key looks like NAME+KEYID+KEY")
        self.name, material = parts[0], unb64(parts[2])
        self.type, self.der = material[:1], material[1:]
        named = self.der if self.type == Key.ECDSA else self.name.encode() + b"\n" + material
        self.id = sha256(named)[:4]
        if self.id.hex() != parts[1]:
            raise Bad("the key id is not that of this name and key")
        if self.type not in ((Key.WITNESS,) if witness else (Key.ED25519, Key.ECDSA)):
            raise Bad("a witness has a key of type 04, who signs checkpoints one of 01 or 02")
        if self.type != Key.ECDSA:
            self.der = bytes.fromhex("302a300506032b6570032100") + self.der

    @functools.lru_cache(maxsize=1000)
    def signed(self, text, signature):
        if self.type == Key.ECDSA:
            command = "dgst -sha256 -verify key -keyform DER -signature signature text"
            return openssl(command, key=self.der, text=text, signature=signature)
        if self.type == Key.WITNESS:
            time = int.from_bytes(signature[:8], "big")
            text, signature = b"cosignature/v1\ntime %d\n" % time + text, signature[8:]
        command = "pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in text -sigfile signature"
        return openssl(command, key=self.der, text=text, signature=signature)


def parse_note(data):
    """Text and signatures (name, key id, signature) of a C2SP signed note."""
    whole = data.decode()
    text, blank, lines = whole.rpartition("\n\n")
    if not text or not lines.endswith("\n") or re.search("[\0-\x09\x0b-\x1f]", whole):
        raise Bad("not a signed note")
    signatures = []
    for line in lines[:-1].split("\n"):
        match = re.fullmatch("\u2014 ([^ +]+) ([^ ]+)", line)
        material = unb64(match[2]) if match else b""
        if len(material) <= 4:
            raise Bad("not a signature line")
        signatures.append((match[1], material[:4], material[4:]))
    return text + "\n", signatures


Checkpoint = namedtuple("Checkpoint", "origin size root text signatures")


def parse_checkpoint(data):
    text, signatures = parse_note(data)
    match = re.fullmatch("(.+)\n(0|[1-9][0-9]{0,15})\n(.+)\n", text)
    if match is None or int(match[2]) >= 2 ** 53:
        raise Bad("not the three lines of a checkpoint")
    return Checkpoint(match[1], int(match[2]), unb64(match[3], 32), text, signatures)


def judge_signatures(text, signatures, keys):
    """Those of the keys that signed; a wrong signature of one of them spoils the note."""
    found = []
    for name, key_id, signature in signatures:
        for key in keys:
            if (key.name, key.id) == (name, key_id):
                if not key.signed(text.encode(), signature):
                    raise Bad(f"the signature of {name} does not verify")
                found.append(key)
    return found


def signer_of(point, keys):
    """The key that signed the checkpoint; None where no trusted one did."""
    try:
        return (judge_signatures(point.text, point.signatures, keys) or [None])[0]
    except Bad:
        return None


def judge_witnesses(note, lines, witnesses):
    """Every line of a known witness must be its signature under the note's text."""
    text, _ = parse_note(note)
    same, signatures = parse_note(text.encode() + b"\n" + lines)
    if same != text:
        raise Bad("not signature lines alone")
    judge_signatures(text, signatures, witnesses)


# --- time stamps of RFC 3161 -----------------------------------------------------------------------

SHA2 = [bytes.fromhex("6086480165030402") + bytes([last]) for last in (1, 2, 3)]
# extKeyUsage, critical, of timeStamping alone.
STAMPS_ALONE = bytes.fromhex("0603551d250101ff040c300a06082b06010505070308")


def elements(data):
    """The DER elements that these bytes are: tag and content of each."""
    found, at = [], 0
    while at < len(data):
        tag, length, start = data[at], data[at + 1], at + 2
        if length > 127:
            width = length - 128
            length, start = int.from_bytes(data[start:start + width], "big"), start + width
            if length < max(128, 256 ** (width - 1)):
                raise Bad("not DER")
        at = start + length
        if at > len(data):
            raise Bad("it is cut")
        found.append((tag, data[start:at]))
    return found


def inside(data, *path):
    """Content of the element at the end of a path of positions."""
    for step in path:
        data = elements(data)[step][1]
    return data


def judge_stamp(note, answer, authorities):
    """Seconds since the epoch of a stamp over the note. openssl verifies it, as of its own time."""
    (_, response), = elements(answer)
    if inside(response, 0, 0) not in (b"\0", b"\1"):
        raise Bad("the authority did not grant it")
    signed = inside(response, 1, 1, 0)
    (_, signer), = elements(inside(signed, -1))
    if inside(signer, 2, 0) not in SHA2:
        raise Bad("it is not signed with SHA-2")
    certificates = [inside(one, 0) for _, one in elements(inside(signed, 3))]
    # In a certificate the version, which has a tag of its own, stands before the serial number.
    its_own = [one for one in certificates if inside(one, 1) == inside(signer, 1, 1)]
    if not its_own or STAMPS_ALONE not in [one for _, one in elements(inside(its_own[0], -1, 0))]:
        raise Bad("its certificate is not there, or not one for time stamps alone, critically")
    time = dict(elements(inside(signed, 2, 1, 0, 0)))[0x18].decode()
    match = re.fullmatch(r"([0-9]{4})([0-9]{2})" + "([0-9]{2})" * 4 + r"(\.[0-9]{1,9})?Z", time)
    moment = seconds("%s-%s-%sT%s:%s:%sZ" % match.groups()[:6])
    command = (f"ts -verify -digest {sha256(note).hex()} -in answer -CAfile roots "
               f"-attime {moment} -partial_chain -auth_level 2")
    if not openssl(command, answer=answer, roots=authorities):
        raise Bad("openssl does not verify it")
    return moment


def is_timely(stamp, root):
    return root <= stamp <= root + DAY_S


# --- leaves ----------------------------------------------------------------------------------------

def seconds(text):
    """Since the epoch, of a time like 2026-11-28T07:00:00Z."""
    moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    if moment.isoformat() + "Z" != text:
        raise Bad("not a time")
    return int(moment.replace(tzinfo=datetime.timezone.utc).timestamp())


def number(value):
    if type(value) is not int or not 0 <= value < 2 ** 53:
        raise Bad("not a number")


LOG = re.compile("access|baseline|holds|keys|root|wraps|"
                 r"partition(/(?!\.{1,2}/)[A-Za-z0-9._-]{1,249}){3}/[0-9]{5}")
LONG = re.compile("0|-?[1-9][0-9]{0,18}")
HEX = re.compile("[0-9a-f]{64}")
HASH = re.compile("[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
BASE64 = re.compile("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

# What a leaf holds, see `fits`: the keys of all of them, then of those that are judged.
HEAD = {"format": 1, "log": LOG, "sequence": number, "previous": (None, HEX), "tree": [HASH]}
ROOT = {"time": seconds, "logs": list}
ROTATION = {"time": seconds, "from": str, "to": str, "proof": BASE64}
REASON = ("mismatch", "versions", "not_our_segment", "tiling", "ahead_of_kafka", "rewound")
MANIFEST = {
    "kind": ("data", "gap", "anomaly"),
    "firstOffset": LONG,
    "nextOffset": LONG,
    "records": number,
    "lastOffset": (None, LONG),
    "timestampMin": (None, LONG),
    "timestampMax": (None, LONG),
    "eventTimeMin": (None, LONG),
    "eventTimeMax": (None, LONG),
    "eventTimes": number,
    "schemaId": (None, number),
    "bytes": number,
    "sha256": HEX,
    "recordsRoot": HASH,
    "retention": (None, {"mode": ("COMPLIANCE", "GOVERNANCE"), "until": seconds}),
    "encryption": (
        None,
        {"kind": ("none", "sse-s3")},
        {"kind": "sse-kms", "key": str},
        {"kind": "envelope", "wrap": ("local", "kms"), "key": str, "wrapped": BASE64,
         "plainSha256": HEX, "plainBytes": number},
    ),
    "gap": (None, {"reason": str, "logStartOffset": LONG}),
    "anomaly": (None, {"reason": REASON, "key": str, "detail": str}),
}


def fits(value, shape):
    """`shape`: a value, a type, a pattern, a function that raises, a tuple of alternatives, a list
    of the shape of all items, or a dict of keys in their order."""
    if isinstance(shape, dict):
        return (isinstance(value, dict) and list(value) == list(shape)
                and all(fits(value[name], shape[name]) for name in shape))
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(one, shape[0]) for one in value)
    if isinstance(shape, tuple):
        return any(fits(value, one) for one in shape)
    if isinstance(shape, re.Pattern):
        return isinstance(value, str) and shape.fullmatch(value) is not None
    if isinstance(shape, type):
        return isinstance(value, shape)
    if not callable(shape):
        return type(value) is type(shape) and value == shape
    try:
        shape(value)
        return True
    except (ValueError, TypeError):
        return False


def check(items, shape):
    value = dict(items)
    if list(value) != list(shape):
        raise Bad("its keys are not " + " ".join(shape))
    for name in shape:
        if not fits(value[name], shape[name]):
            raise Bad(f"{name} cannot be {value[name]!r}"[:200])


def parse_leaf(data, body=None):
    """A leaf; with the shape of what follows the common keys, it has exactly that."""
    try:
        leaf = json.loads(data.decode())
        written = json.dumps(leaf, separators=(",", ":"), ensure_ascii=False) + "\n"
        if not isinstance(leaf, dict) or written.encode() != data:
            raise Bad("not as a writer writes it")
    except RecursionError:
        raise Bad("nested too deep")
    fields = list(leaf.items())
    check(fields[:len(HEAD)], HEAD)
    if len(leaf["tree"]) != bin(leaf["sequence"]).count("1"):
        raise Bad("tree has another number of hashes")
    if (leaf["previous"] is None) != (leaf["sequence"] == 0):
        raise Bad("only the first leaf has no previous")
    if body is not None:
        check(fields[len(HEAD):], body)
    return leaf


def parse_root(data):
    leaf = parse_leaf(data, ROOT)
    for entry in leaf["logs"]:
        check(zip(("log", "size", "root"), entry), {"log": LOG, "size": number, "root": HASH})
    names = [name for name, _, _ in leaf["logs"]]
    if names != sorted(set(names)) or not leaf["time"].endswith(":00:00Z"):
        raise Bad("its time is no hour, or its logs are not sorted")
    return leaf


# --- segments --------------------------------------------------------------------------------------

class Cursor:
    """Reads Avro's numbers and bytes, one after the other."""

    def __init__(self, data):
        self.data, self.at, self.depth = data, 0, 0

    def take(self, count):
        start = self.at
        self.at += count
        if count < 0 or self.at > len(self.data):
            raise Bad("it is cut")
        return self.data[start:self.at]

    def long(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7f) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7
            if shift > 63:
                raise Bad("a number of more than 64 bits")

    def bytes(self):
        return self.take(self.long())

    def items(self, read, is_map):
        found = []
        while count := self.long():
            if count < 0:
                self.long()
            for _ in range(abs(count)):
                if is_map:
                    self.bytes()
                found.append(read(self))
        return found

    def record(self, fields):
        self.depth += 1
        if self.depth > 64:
            raise Bad("nested too deep")
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
    if kind in ("array", "map"):
        item = reader(schema["items" if kind == "array" else "values"], space, names)
        return lambda cursor: cursor.items(item, kind == "map")
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


def read_header(data):
    """Metadata of a segment, the key it was made for, its sync marker, and a cursor behind them."""
    cursor, meta = Cursor(data), {}
    if cursor.take(4) != b"Obj\1":
        raise Bad("no container file")
    count = cursor.long()
    for _ in range(count):
        name = cursor.bytes().decode()
        meta[name] = cursor.bytes().decode()
    if len(meta) != count or cursor.long() != 0:
        raise Bad("metadata twice, or not in one block")
    slot = [meta["lakeseal." + name] for name in ("cluster", "topic", "topicId")]
    partition, offset = int(meta["lakeseal.partition"]), int(meta["lakeseal.firstOffset"])
    key = f"data/{'/'.join(slot)}/{partition:05d}/{offset:020d}.avro"
    sync = cursor.take(16)
    markers = [sha256((key + end).encode())[:16] for end in ["", *(f"#{at}" for at in range(1, 8))]]
    if sync not in markers or meta["lakeseal.format"] != "1":
        raise Bad("the sync marker is not that of the slot")
    return meta, key, sync, cursor


def blocks(codec, sync, cursor):
    """Number of records, and a cursor over them, of each block."""
    while cursor.at < len(cursor.data):
        count, data = cursor.long(), cursor.bytes()
        if cursor.take(16) != sync or count < 1:
            raise Bad("a block without its sync marker")
        if codec == "deflate":
            inflate = zlib.decompressobj(-15)
            data = inflate.decompress(data)
            if not inflate.eof or inflate.unused_data:
                raise Bad("a block with bytes behind its end")
        elif codec != "null":
            raise CannotRun(f"the codec {codec} cannot be read here: verify without --deep")
        block = Cursor(data)
        yield count, block
        if block.at != len(data):
            raise Bad("a block with bytes left over")


def sized(data):
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def record_leaf(offset, timestamp, key, headers, value):
    parts = [struct.pack(">qq", offset, timestamp), sized(key), struct.pack(">i", len(headers))]
    for name, content in headers:
        parts += [sized(name), sized(content)]
    return b"".join(parts + [sized(value)])


def text(value):
    return None if value is None else str(value)


def digest(data, deep):
    """The key that a segment was made for, and what a manifest of it says as far as it tells."""
    meta, key, sync, cursor = read_header(data)
    names = ("kind", "firstOffset", "nextOffset", "lastOffset", "timestampMin", "timestampMax")
    told = {name: meta.get("lakeseal." + name) for name in names}
    told["records"] = int(meta["lakeseal.recordCount"])
    told["schemaId"] = int(meta["lakeseal.schemaId"]) if "lakeseal.schemaId" in meta else None
    told["anomaly"] = None
    if deep:
        schema, found = json.loads(meta["avro.schema"]), blocks(meta["avro.codec"], sync, cursor)
        gap, seen = None, digest_records([] if told["kind"] == "gap" else found, schema)
        if told["kind"] == "gap":
            (gap,) = [reader(schema, "", {})(block) for _, block in found]
            gap = {"reason": gap["reason"].decode(), "logStartOffset": str(gap["logStartOffset"])}
        if any(told.get(name, value) != value for name, value in seen.items()):
            raise Bad("its header does not tell of its records")
        told.update(seen, gap=gap)
    return key, told


def digest_records(found, schema):
    """What the records in these blocks tell."""
    *fields, last = schema["fields"]
    names, tree, offset, times, events = {}, Tree(), None, [], []
    head = reader({**schema, "fields": fields}, "", names)
    values = dict(enumerate(reader(one, "", names) for one in last["type"]))
    datum = last["type"][2] if len(values) > 2 else {}
    types = [one["type"] for one in datum.get("fields", ()) if one["name"] == "eventTime"]
    is_timed = bool(types) and (types[0] == "long" or fits(types[0], dict) and types[0]["type"] == "long")
    for count, block in found:
        for _ in range(count):
            one, branch = head(block), block.long()
            start = block.at
            value = values[branch](block)
            if branch == 2:
                events += [value["eventTime"]] if is_timed else []
                value = b"\0" + struct.pack(">i", one["schemaId"]) + block.data[start:block.at]
            if offset is not None and one["offset"] <= offset:
                raise Bad("offsets that do not ascend")
            offset = one["offset"]
            times.append(one["timestamp"])
            headers = [(header["key"], header["value"]) for header in one["headers"]]
            leaf = record_leaf(offset, one["timestamp"], one["key"], headers, value)
            tree.append(leaf_hash(leaf))
    return {
        "records": tree.size,
        "lastOffset": text(offset),
        "timestampMin": text(min(times, default=None)),
        "timestampMax": text(max(times, default=None)),
        "eventTimeMin": text(min(events, default=None)),
        "eventTimeMax": text(max(events, default=None)),
        "eventTimes": len(events),
        "recordsRoot": b64(tree.root()),
    }


# --- the archive -----------------------------------------------------------------------------------

class Archive:
    """A folder whose paths are keys. `versions.jsonl` in it tells of the versions of each."""

    def __init__(self, folder, prefix):
        self.folder, self.prefix = folder, prefix
        self.listing = os.path.join(folder, "versions.jsonl")
        if not os.path.isdir(folder):
            raise CannotRun(f"{folder} is not a folder")
        self.listed = os.path.exists(self.listing)
        # Where in the listing the keys of each folder begin: it is never held as a whole.
        self.places = defaultdict(list)
        before, at = None, 0
        for line in open(self.listing, "rb") if self.listed else ():
            place = json.loads(line)["key"].rpartition("/")[0]
            if place != before:
                self.places[place].append(at)
            before, at = place, at + len(line)

    def folders(self, start):
        """Those with keys that begin so."""
        found = set(self.places)
        for path, inner, names in os.walk(self.folder):
            if path == self.folder:
                inner[:] = [name for name in inner if name != "versions"]
            found.update([os.path.relpath(path, self.folder).replace(os.sep, "/")] if names else [])
        return sorted(one for one in found if f"{one}/".startswith(start))

    def files(self, folder):
        """Versions of each key right in this folder, newest first, in the order of the keys."""
        path = os.path.join(self.folder, folder)
        names = sorted(os.listdir(path)) if os.path.isdir(path) else []
        # What lies in the folder beside what was listed came later, and has one version.
        plain = ([{"key": f"{folder}/{name}", "versionId": "", "isLatest": True,
                   "isDeleteMarker": False}]
                 for name in names if os.path.isfile(os.path.join(path, name)))
        listed = (list(same) for _, same in groupby(self.lines(folder), key=itemgetter("key")))
        key_of = lambda versions: versions[0]["key"]
        for _, both in groupby(heapq.merge(listed, plain, key=key_of), key=key_of):
            yield next(both)

    def lines(self, folder):
        for at in self.places.get(folder, ()):
            with open(self.listing, "rb") as file:
                file.seek(at)
                for line in file:
                    one = {"retention": None, "encryption": None, **json.loads(line)}
                    if one["key"].rpartition("/")[0] != folder:
                        break
                    yield one

    def read(self, version):
        parts = version["key"].split("/")
        if not version["isLatest"]:
            parts = ["versions", *parts, version["versionId"]]
        try:
            return read_file(os.path.join(self.folder, *parts))
        except FileNotFoundError:
            return None


FILE = re.compile(r"([0-9]{20})\.(json|note|tsr|witness)")
SEGMENT = re.compile(r"(?=0|[1-8]|9[01]|92[01])[0-9]{20}\.avro")
Rotation = namedtuple("Rotation", "size time old new")


class Verification:
    def __init__(self, archive, keys, anchors, deep):
        self.archive, self.keys, self.anchors, self.deep = archive, list(keys), anchors, deep
        self.findings, self.sizes = {}, {}
        # What others tell of a log: by size, roots and who told them; the first root of a size.
        self.told, self.rooted = defaultdict(dict), defaultdict(dict)
        # By the key before: time of the rotation, and sizes of logs that it may have signed.
        self.rotated, self.limits = {}, {}
        # By number of a root: its leaf and checkpoint, and retention of what it is first to cover.
        self.roots, self.covered = defaultdict(list), defaultdict(list)

    def find(self, code, where, expected, found):
        """`where`: a version of an object, or the key of what is not there."""
        version = where if isinstance(where, dict) else {"key": where, "versionId": ""}
        finding = {"code": code, "class": "incomplete" if code in INCOMPLETE else "tampered",
                   "key": version["key"], "versionId": version["versionId"],
                   "expected": str(expected), "found": str(found)}
        self.findings.setdefault(tuple(finding.values()), finding)

    def only(self, versions):
        """The version that was sealed is the oldest; markers and further versions are findings."""
        for one in versions:
            if one["isDeleteMarker"]:
                self.find("delete_marker", one, "no marker", "a marker")
        objects = [one for one in versions if not one["isDeleteMarker"]]
        if len(objects) > 1:
            self.find("extra_version", objects[0]["key"], "one version", f"{len(objects)} versions")
        return objects[-1] if objects else None

    def planted(self, versions):
        version = self.only(versions)
        if version is not None:
            self.find("planted_object", version, "no such object", "an object")

    def open(self, versions):
        """The sealed version of a file of evidence, and its bytes or None."""
        version = self.only(versions)
        data = None if version is None else self.archive.read(version)
        if data is None and version is not None:
            self.find("leaf_missing", version, "its bytes", "nothing")
        return version, data

    def key(self, log, count, kind):
        return f"{self.archive.prefix}evidence/{log}/{count:020d}.{kind}"

    def run(self, kept):
        logs, sealed = self.logs_in("evidence/", ""), self.logs_in("data/", "partition/")
        self.key_log()
        for data in kept:
            self.keep(data)
        self.root_log()
        # What roots and kept checkpoints tell of the keys was not known before.
        for log in ("keys", *STATEMENTS):
            for _ in self.walk(log):
                pass
        told = {log for log, sizes in self.told.items() if max(sizes) > 0}
        for log in sorted(logs | sealed | told):
            if log.startswith("partition/"):
                self.partition(log, log in logs)
            if log.startswith("partition/") and log in told - logs:
                self.find("truncated", self.key(log, 0, "")[:-21], max(self.told[log]), "nothing")
        for sequence, wanted in self.covered.items():
            for version in self.roots[sequence]:
                for retention in wanted:
                    self.protection(version, retention)
        if not any(self.sizes.values()):
            self.find("nothing", self.archive.prefix + "evidence/", "evidence", "no leaf of any log")

    def logs_in(self, start, of):
        """Logs whose files lie below this; whatever else lies there was planted."""
        start, logs = self.archive.prefix + start, set()
        for folder in self.archive.folders(start):
            log = of + folder[len(start):]
            if LOG.fullmatch(log):
                logs.add(log)
            else:
                for versions in self.archive.files(folder):
                    self.planted(versions)
        return logs

    def keep(self, data):
        """A checkpoint that somebody kept elsewhere."""
        point = parse_checkpoint(data)
        key = signer_of(point, self.keys)
        if key is None or not point.origin.startswith(key.name + "/"):
            raise CannotRun("a checkpoint that was given is not signed by a trusted key")
        told = self.told[point.origin[len(key.name) + 1:]].setdefault(point.size, {})
        told[point.root] = "a checkpoint that was kept"

    def numbered(self, log):
        """Number, kind and versions of each file of a log."""
        for versions in self.archive.files(f"{self.archive.prefix}evidence/{log}"):
            match = FILE.fullmatch(versions[0]["key"].rpartition("/")[2])
            if match is None:
                self.planted(versions)
            else:
                yield int(match[1]), match[2], versions

    def walk(self, log):
        """Judges chain, tree, places and signatures of a log. Gives each good checkpoint with the
        key that signed it, what lies beside it, and each leaf, as (kind, number, version, bytes,
        key), in order."""
        tree, previous, broken, signed, told = Tree(), None, False, 0, self.told.get(log, {})
        for count, group in groupby(self.numbered(log), key=itemgetter(0)):
            files, by = {kind: versions for _, kind, versions in group}, None
            for kind in ("note", "tsr", "witness"):
                if kind in files and "note" not in files:
                    self.planted(files[kind])
                elif kind in files:
                    version, data = self.open(files[kind])
                    if kind == "note" and data is not None:
                        by = self.checkpoint(log, count, version, data, None if broken else tree)
                        signed = count if by else signed
                    if by is not None and data is not None:
                        yield kind, count, version, data, by
            if "json" not in files:
                continue
            if count > tree.size and not broken:
                broken = True
                self.find("leaf_missing", self.key(log, tree.size, "json"), "a leaf", "nothing")
            version, data = self.open(files["json"])
            if data is None:
                broken = True
                continue
            is_leaf = self.leaf(log, count, version, data, None if broken else (previous, tree))
            if not broken:
                tree.append(leaf_hash(data))
                previous = sha256(data).hex()
                for root, by in told.get(tree.size, {}).items():
                    if root != tree.root():
                        self.find("fork", self.key(log, tree.size, "note"), b64(tree.root()),
                                  f"{b64(root)}, tells {by}")
            if is_leaf:
                yield "json", count, version, data, None
        self.sizes[log] = tree.size
        beyond = [size for size in told if size > tree.size]
        if beyond and not broken:
            self.find("truncated", self.key(log, tree.size, "json"), min(beyond), tree.size)
        if signed < tree.size and not broken:
            self.find("checkpoint_missing", self.key(log, tree.size, "note"), tree.size, signed)

    def leaf(self, log, count, version, data, end):
        """Whether it is a leaf; one of this place must follow the end of the log."""
        try:
            leaf = parse_leaf(data)
        except ValueError as error:
            self.find("leaf_invalid", version, "a leaf", error)
            return False
        if (leaf["log"], leaf["sequence"]) != (log, count):
            there = f"{leaf['log']} {leaf['sequence']}"
            self.find("leaf_misplaced", version, f"{log} {count}", there)
        elif end is not None:
            previous, tree = end
            if leaf["previous"] != previous:
                self.find("leaf_chain", version, previous, leaf["previous"])
            if leaf["tree"] != [b64(node) for node in tree.hashes]:
                self.find("leaf_tree", version, "the tree of the leaves", "another")
        return True

    def checkpoint(self, log, size, version, data, tree):
        """The key that signed it, where all of it is good; no tree: it cannot be told."""
        try:
            point = parse_checkpoint(data)
        except ValueError as error:
            return self.find("checkpoint_invalid", version, "a checkpoint", error)
        key = signer_of(point, self.keys)
        limit = self.limits.get(key and key.vkey, {}).get(log, 0)
        if key is None:
            self.find("checkpoint_signature", version, "a signature of a trusted key", "none")
        elif (point.origin, point.size) != (f"{key.name}/{log}", size):
            there = f"{point.origin} {point.size}"
            self.find("checkpoint_invalid", version, f"{key.name}/{log} {size}", there)
        elif tree is None:
            return None
        elif size != tree.size:
            self.find("truncated", version, f"{size} leaves", tree.size)
        elif point.root != tree.root():
            self.find("checkpoint_root", version, b64(tree.root()), b64(point.root))
        else:
            if key.vkey in self.limits and log not in ("keys", "root") and size > limit:
                self.find("signed_after_rotation", version, f"{limit} leaves at most", size)
            return key
        return None

    def key_log(self):
        pending = None
        for kind, count, version, data, key in self.walk("keys"):
            if kind == "json":
                if pending is not None:
                    self.find("key_rotation", version, "the old key's consent", "no checkpoint")
                pending = self.rotation(count, version, data)
            elif kind == "note" and pending and (count, key.vkey) == (pending.size, pending.old):
                self.rotated[pending.old] = pending.time
                if pending.new.vkey not in [one.vkey for one in self.keys]:
                    self.keys.append(pending.new)
                pending = None

    def rotation(self, count, version, data):
        """What takes effect once the old key has signed the checkpoint of that size."""
        try:
            leaf = parse_leaf(data, ROTATION)
            old, new = Key(leaf["from"]), Key(leaf["to"])
            signed = f"lakeseal key {new.name}\n{leaf['from']}\n{leaf['to']}\n"
            if old.name != new.name or not new.signed(signed.encode(), unb64(leaf["proof"])):
                raise Bad("the new key did not sign its taking over")
            if old.vkey in self.rotated or old.vkey not in [key.vkey for key in self.keys]:
                raise Bad("it is not from the key in force")
        except ValueError as error:
            return self.find("key_rotation", version, "a rotation", error)
        return Rotation(count + 1, seconds(leaf["time"]), old.vkey, new)

    def root_log(self):
        authorities, expected, witnesses = self.anchors
        before, unstamped, note = {"time": "", "logs": []}, [], b""
        for kind, count, version, data, key in self.walk("root"):
            hour = seconds(before["time"]) if before["time"] else None
            if kind == "json":
                self.roots[count].append(version)
                before = self.root(version, count, data, before)
            elif kind == "note":
                self.roots[count - 1].append(version)
                note = data
                if expected and hour is not None:
                    unstamped.append((version["key"], hour))
                if hour is not None and hour > self.rotated.get(key.vkey, hour) + HOUR_S:
                    self.find("signed_after_rotation", version, "its successor's", key.vkey)
            elif kind == "tsr" and authorities:
                unstamped = self.stamp(version, note, data, hour, unstamped)
            elif kind == "witness" and witnesses:
                try:
                    judge_witnesses(note, data, witnesses)
                except ValueError as error:
                    self.find("witness_invalid", version, "signatures of witnesses", error)
        self.stamp_missing(unstamped)

    def root(self, version, count, data, before):
        """The leaf of a root, or where it is none the one before."""
        try:
            leaf = parse_root(data)
        except (ValueError, TypeError) as error:
            self.find("leaf_invalid", version, "a root", error)
            return before
        if leaf["time"] <= before["time"]:
            self.find("root_order", version, f"a time after {before['time']}", leaf["time"])
        sizes = {log: size for log, size, _ in leaf["logs"]}
        for log, size, _ in before["logs"]:
            if sizes.get(log, -1) < size:
                self.find("root_order", version, f"{log} of {size} at least", sizes.get(log))
        for vkey, rotated in self.rotated.items():
            behind = seconds(leaf["time"]) - rotated
            if behind > 0 and (behind <= DAY_S or vkey not in self.limits):
                self.limits[vkey] = sizes
        for log, size, root in leaf["logs"]:
            self.told[log].setdefault(size, {}).setdefault(unb64(root), f"root {count}")
            self.rooted[log].setdefault(size, count)
        return leaf

    def stamp(self, version, note, answer, hour, unstamped):
        """Checkpoints, with their hours, that are still without a stamp behind this one."""
        try:
            moment = judge_stamp(note, answer, self.anchors[0])
        except BROKEN as error:
            self.find("stamp_invalid", version, "a stamp of this checkpoint", error)
            return unstamped
        if hour is not None and not is_timely(moment, hour):
            self.find("stamp_time", version, f"within a day after {hour}", moment)
            return unstamped
        self.stamp_missing([one for one in unstamped if not is_timely(moment, one[1])])
        return []

    def stamp_missing(self, unstamped):
        for key, _ in unstamped:
            self.find("stamp_missing", key, "a stamp within a day, over it or a later root", "none")

    def partition(self, log, has_log):
        """Manifests beside segments, which are in the same order."""
        folder = f"{self.archive.prefix}data{log[len('partition'):]}"
        segments = self.archive.files(folder)
        segment, following, sealed = next(segments, None), 0, None
        for kind, count, version, data, _ in self.walk(log) if has_log else ():
            if kind == "note":
                self.protection(version, sealed)
            if kind != "json":
                continue
            try:
                leaf = parse_leaf(data, MANIFEST)
            except ValueError as error:
                self.find("leaf_invalid", version, "a manifest", error)
                following = None
                continue
            first = int(leaf["firstOffset"])
            if following not in (None, first):
                self.find("tiling", version, f"offset {following}", f"offset {first}")
            following = int(leaf["nextOffset"])
            if leaf["kind"] == "anomaly":
                self.find("anomaly", version, "none", leaf["anomaly"])
                continue
            sealed = leaf["retention"]
            self.protection(version, sealed)
            covered = self.covered[self.rooted[log].get(count + 1)]
            covered += [sealed] if sealed not in covered else []
            key = f"{folder}/{first:020d}.avro"
            while segment is not None and segment[0]["key"] < key:
                self.planted(segment)
                segment = next(segments, None)
            found = None
            if segment is not None and segment[0]["key"] == key:
                found = self.only(segment)
                segment = next(segments, None)
            self.segment(leaf, key, found)
        unsealed = []
        while segment is not None:
            key = segment[0]["key"]
            name = key[len(folder) + 1:]
            if not SEGMENT.fullmatch(name) or has_log and (following is None or int(name[:20]) < following):
                self.planted(segment)
            else:
                self.only(segment)
                unsealed.append(key)
            segment = next(segments, None)
        if unsealed:
            self.find("segment_unsealed", unsealed[0], "a manifest of each", f"{len(unsealed)} without")

    def protection(self, version, sealed):
        """Evidence is protected as the segment is that it speaks of."""
        if sealed is None or "retention" not in version:
            return
        for code in weaker(version["retention"], sealed):
            self.find("retention_differs", version, sealed, version["retention"])

    def segment(self, leaf, key, version):
        data = None if version is None else self.archive.read(version)
        if data is None:
            return self.find("segment_missing", version or key, f"{leaf['bytes']} bytes", "nothing")
        stored = (len(data), sha256(data).hex())
        if stored != (leaf["bytes"], leaf["sha256"]):
            return self.find("segment_altered", version, (leaf["bytes"], leaf["sha256"]), stored)
        now, sealed, encryption = version.get("encryption"), leaf["retention"], leaf["encryption"]
        if "retention" in version and sealed is not None:
            for code in weaker(version["retention"], sealed):
                self.find(code, version, sealed, version["retention"])
        is_envelope = encryption is not None and encryption["kind"] == "envelope"
        if encryption is not None and now is not None and not is_envelope and encryption != now:
            self.find("encryption_differs", version, encryption, now)
        try:
            if is_envelope:
                return check_envelope(data, encryption, key[len(self.archive.prefix):])
            place, told = digest(data, self.deep)
        except BROKEN as error:
            return self.find("segment_invalid", version, "a segment", error)
        told = {"key": self.archive.prefix + place, **told}
        for name, value in told.items():
            wanted = key if name == "key" else leaf[name]
            if wanted != value:
                self.find("segment_differs", version, f"{name} {wanted}", f"{name} {value}")


def weaker(now, sealed):
    """Codes of the ways in which a retention protects less than the one that was sealed."""
    if now is None:
        return ["retention_missing"]
    codes = ["retention_mode"] if now["mode"] != "COMPLIANCE" == sealed["mode"] else []
    return codes + (["retention_short"] if seconds(now["until"]) < seconds(sealed["until"]) else [])


def check_envelope(data, wanted, slot):
    """What an encrypted segment says in the clear; what is inside takes a key."""
    length = int.from_bytes(data[8:12], "big")
    header = json.loads(data[12:12 + length])
    if data[:8] != b"LAKESEAL" or {"format": 1, "slot": slot, **wanted} != {"kind": "envelope", **header}:
        raise Bad("not the encrypted segment that the manifest tells of")


# --- proofs ----------------------------------------------------------------------------------------

def check_tlog_proof(proof, leaf, keys):
    """The key and checkpoint (with its note) that a C2SP tlog-proof shows the leaf to be under."""
    top, _, note = proof.partition("\n\n")
    match = re.fullmatch("c2sp.org/tlog-proof@v1\n(extra .*\n)?index (0|[1-9][0-9]*)((\n.+)*)", top)
    if match is None:
        raise Bad("not a tlog-proof")
    point = parse_checkpoint(note.encode())
    key = signer_of(point, keys)
    if key is None:
        raise Bad("the checkpoint is not signed by the key that was given")
    path = match[3].split("\n")[1:]
    if not is_included(int(match[2]), point.size, leaf_hash(leaf), path, point.root):
        raise Bad("the leaf is not in the tree of the checkpoint")
    return key, point, note.encode()


def check_proof(proof, keys, anchors):
    """What the proof of a record shows, in words."""
    if proof["kind"] != "lakeseal-record-proof" or proof["format"] != 1:
        raise Bad("not a proof of a record")
    log = "partition/{cluster}/{topic}/{topicId}/{partition:05d}".format(**proof)
    record, manifest, root = proof["record"], proof["manifest"].encode(), proof["root"]
    leaf = parse_leaf(manifest, MANIFEST)
    if leaf["log"] != log:
        raise Bad("the manifest is of another partition")
    offset = int(record["offset"])
    held = lambda content: None if content is None else unb64(content)
    headers = [(name.encode(), held(value)) for name, value in record["headers"]]
    node = leaf_hash(record_leaf(offset, int(record["timestamp"]), held(record["key"]), headers,
                                 held(record["value"])))
    if not is_included(proof["recordIndex"], leaf["records"], node, proof["recordHashes"],
                       unb64(leaf["recordsRoot"])):
        raise Bad("the record is not one of those that the manifest tells of")
    if not int(leaf["firstOffset"]) <= offset < int(leaf["nextOffset"]):
        raise Bad("the record is outside the offsets of the manifest")
    key, point, _ = check_tlog_proof(proof["partitionProof"], manifest, keys)
    if point.origin != f"{key.name}/{log}":
        raise Bad("the checkpoint is of another log")
    told = f"{log} offset {offset}: checkpoint of {point.size} manifests, signed by {key.vkey}"
    return told if root is None else told + check_root(root, leaf, manifest, keys, anchors)


def check_root(root, manifest, data, keys, anchors):
    """That the root covers the manifest, and what others say of it."""
    leaf = parse_root(root["leaf"].encode())
    states = {log: (size, unb64(tree)) for log, size, tree in leaf["logs"]}
    size, tree = states.get(manifest["log"], (0, b""))
    if not is_included(manifest["sequence"], size, leaf_hash(data), root["manifestHashes"], tree):
        raise Bad("the manifest is not in the tree that the root tells of")
    key, point, note = check_tlog_proof(root["proof"], root["leaf"].encode(), keys)
    if point.origin != key.name + "/root":
        raise Bad("the checkpoint of the root is of another log")
    told, (authorities, _, witnesses) = f", root of {leaf['time']}", anchors
    if root["stamp"] is not None and authorities:
        moment, hour = judge_stamp(note, unb64(root["stamp"]), authorities), seconds(leaf["time"])
        if not is_timely(moment, hour):
            raise Bad("the time stamp is of another time than its root")
        told += f", time-stamped {moment - hour} s later"
    if root["witness"] is not None and witnesses:
        judge_witnesses(note, root["witness"].encode(), witnesses)
    return told


# --- the command -----------------------------------------------------------------------------------

def notes_in(path):
    """The checkpoint, or all that lie in the folder."""
    if not os.path.isdir(path):
        return [read_file(path)]
    names = sorted(name for name in os.listdir(path) if name.endswith(".note"))
    if not names:
        raise CannotRun(f"there is no checkpoint (.note) in {path}")
    return [read_file(os.path.join(path, name)) for name in names]


def parse_arguments():
    parser = argparse.ArgumentParser(description="Verifies a copy of a lakeseal archive, or a proof.")
    add = parser.add_argument
    many = {"action": "append", "default": []}
    add("folder", nargs="?", help="a copy of the bucket")
    add("--key", **many, help="public key that is trusted (repeatable)")
    add("--prefix", default="", help="key prefix of the archive in the bucket")
    add("--from", **many, dest="kept", help="a checkpoint kept elsewhere, or a folder of them")
    add("--tsa-ca", **many, help="PEM root of a time stamp authority (repeatable)")
    add("--expect-stamps", action="store_true", help="tell roots that no stamp within a day covers")
    add("--witness", **many, help="public key of a witness (repeatable)")
    add("--deep", action="store_true", help="read every record")
    add("--check-proof", metavar="FILE", help="check the proof of a record")
    add("--json", action="store_true", help="findings as JSON")
    return parser.parse_args()


def run(options):
    keys, authorities = [Key(one) for one in options.key], b"".join(map(read_file, options.tsa_ca))
    anchors = authorities, options.expect_stamps, [Key(one, True) for one in options.witness]
    if not keys:
        raise CannotRun("no public key was given: --key")
    if options.expect_stamps and not authorities:
        raise CannotRun("time stamps are expected, but of no authority: --tsa-ca")
    if options.check_proof is not None:
        data = read_file(options.check_proof)
        try:
            print("holds: " + check_proof(json.loads(data.decode()), keys, anchors))
            return 0
        except BROKEN as error:
            print(f"the proof does not hold: {error}")
            return 1
    if options.folder is None:
        raise CannotRun("name a copy of the archive")
    archive = Archive(options.folder, options.prefix)
    verification = Verification(archive, keys, anchors, options.deep)
    verification.run([note for path in options.kept for note in notes_in(path)])
    findings = list(verification.findings.values())
    classes = {one["class"] for one in findings}
    code = 1 if "tampered" in classes else 2 if classes else 0
    if options.json:
        told = {"exitCode": code, "sizes": verification.sizes, "findings": findings}
        print(json.dumps(told, indent=2))
        return code
    for one in findings:
        print("%(class)s: %(code)s: %(key)s %(versionId)s" % one)
        print("  expected  %(expected)s\n  found     %(found)s" % one)
    print(["VERIFIED", "TAMPERED", "INCOMPLETE"][code])
    if not archive.listed:
        print("Not checked: versions, markers, retention and encryption, of which there is no "
              "versions.jsonl")
    return code


if __name__ == "__main__":
    try:
        sys.exit(run(parse_arguments()))
    except (CannotRun, ValueError, OSError) as problem:
        print(f"verify.py: error: {problem}", file=sys.stderr)
        sys.exit(3)
