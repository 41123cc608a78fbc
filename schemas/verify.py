#!/usr/bin/env python3
"""Verifies a copy of a lakeseal archive with the Python standard library and openssl alone.

Written from evidence.md and segment.md beside this file; it shares no code with lakeseal. It reads a
folder whose paths are the keys of the bucket, and trusts nothing but the public keys it is given.

    python3 verify.py DIR --key VKEY [--prefix P] [--from NOTE] [--tsa-ca PEM] [--expect-stamps] [--witness VKEY] [--deep] [--json]
    python3 verify.py --check-proof FILE --key VKEY [--tsa-ca PEM] [--witness VKEY]

Exit codes: 0 verified (or the proof holds), 1 tampered with (or it does not), 2 incomplete or nothing
to verify, 3 could not run.
"""
import argparse
import base64
import binascii
import datetime
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib

INCOMPLETE = {"segment_unsealed", "checkpoint_missing", "root_stale", "root_behind", "stamp_missing", "nothing"}
STATEMENTS = ("access", "baseline", "holds", "keys", "root", "wraps")
SAFE = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
LONG = re.compile(r"0|-?[1-9]\d{0,18}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
FILE = re.compile(r"(.+)/(\d{20})\.(json|note|tsr|witness)")
SLOT = re.compile(r"([^/]+)/([^/]+)/([^/]+)/(\d{5})/(\d{20})\.avro")
ED25519_SPKI = bytes.fromhex("302a300506032b6570032100")


class Bad(Exception):
    """Bytes that are not what they should be."""


class CannotRun(Exception):
    """Nothing can be said: exit code 3."""


def sha256(data):
    return hashlib.sha256(data).digest()


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text, length=None):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Bad("not base64")
    if b64(data) != text or (length is not None and len(data) != length):
        raise Bad("not base64 of %s bytes" % length)
    return data


# --- the tree of RFC 6962 ------------------------------------------------------------------------

def leaf_hash(data):
    return sha256(b"\0" + data)


def node_hash(left, right):
    return sha256(b"\1" + left + right)


class Tree:
    """The roots of the perfect subtrees of the leaves so far, largest first."""

    def __init__(self):
        self.size = 0
        self.hashes = []

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
        node = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            node = node_hash(left, node)
        return node


def is_included(index, size, node, path, root):
    """RFC 9162, section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    at, last = index, size - 1
    for other in path:
        if last == 0 or len(other) != 32:
            return False
        if at & 1 or at == last:
            node = node_hash(other, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, other)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


# --- keys and notes ------------------------------------------------------------------------------

def openssl(arguments):
    """Whether it is content, and what it says."""
    try:
        done = subprocess.run(["openssl"] + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise CannotRun("openssl cannot be run: %s" % error)
    return done.returncode == 0, done.stdout.decode("utf-8", "replace")


class Key:
    def __init__(self, vkey, witness=False):
        parts = vkey.strip().split("+", 2)
        if len(parts) != 3 or not re.fullmatch("[0-9a-f]{8}", parts[1]):
            raise Bad("a public key looks like NAME+KEYID+KEY")
        self.vkey, self.name, self.id = vkey.strip(), parts[0], bytes.fromhex(parts[1])
        material = unb64(parts[2])
        self.type, body = material[0], material[1:]
        if self.type in (1, 4) and len(body) == 32:
            self.der = ED25519_SPKI + body
            made = sha256(self.name.encode() + b"\n" + material)[:4]
        elif self.type == 2:
            self.der, made = body, sha256(body)[:4]
        else:
            raise Bad("a public key of an unknown type")
        if made != self.id:
            raise Bad("the key id is not that of this name and key")
        if (self.type == 4) != witness:
            raise Bad("a witness has a key of type 04, and nobody else")
        self.known = {}

    def signed(self, text, signature):
        fact = (text, signature)
        if fact not in self.known:
            self.known[fact] = self.ask(text, signature)
        return self.known[fact]

    def ask(self, text, signature):
        if self.type == 4:
            time = int.from_bytes(signature[:8], "big")
            text, signature = b"cosignature/v1\ntime %d\n" % time + text, signature[8:]
        with tempfile.TemporaryDirectory() as folder:
            names = {}
            for name, data in (("key", self.der), ("sig", signature), ("text", text)):
                names[name] = os.path.join(folder, name)
                with open(names[name], "wb") as file:
                    file.write(data)
            if self.type != 2:
                command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", names["key"],
                           "-rawin", "-in", names["text"], "-sigfile", names["sig"]]
            else:
                command = ["openssl", "dgst", "-sha256", "-verify", names["key"], "-keyform", "DER",
                           "-signature", names["sig"], names["text"]]
            return openssl(command[1:])[0]


def parse_note(data):
    """Text and signatures (name, key id, signature) of a C2SP signed note."""
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Bad("not UTF-8")
    if re.search("[\0-\x09\x0b-\x1f]", whole):
        raise Bad("a control character")
    split = whole.rfind("\n\n")
    if split < 1 or not whole.endswith("\n") or split + 2 >= len(whole):
        raise Bad("not a signed note")
    signatures = []
    for line in whole[split + 2:-1].split("\n"):
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014" or parts[1] == "" or "+" in parts[1]:
            raise Bad("not a signature line")
        material = unb64(parts[2])
        if len(material) <= 4:
            raise Bad("not a signature")
        signatures.append((parts[1], material[:4], material[4:]))
    return whole[:split + 1], signatures


def signer_of(text, signatures, keys):
    """The trusted key that signed, or None; a wrong signature of a known key spoils the note."""
    found = None
    for name, key_id, signature in signatures:
        for key in keys:
            if key.name == name and key.id == key_id:
                if not key.signed(text.encode(), signature):
                    return None
                found = found or key
    return found


def judge_witnesses(text, lines, witnesses):
    """Every line of a known witness must be its cosignature."""
    same, signatures = parse_note(text.encode() + b"\n" + lines)
    if same != text:
        raise Bad("not signature lines alone")
    for name, key_id, signature in signatures:
        for key in witnesses:
            if (key.name, key.id) == (name, key_id) and not key.signed(text.encode(), signature):
                raise Bad("the signature of the witness %s does not verify" % name)


# --- time stamps ---------------------------------------------------------------------------------

DIGESTS = [bytes.fromhex("6086480165030402") + bytes([last]) for last in (1, 2, 3)]


def elements(data):
    """The DER elements that these bytes are: tag, content and the whole."""
    found, at = [], 0
    while at < len(data):
        if at + 2 > len(data):
            raise Bad("it is cut")
        length, start = data[at + 1], at + 2
        if length >= 0x80:
            count = length & 0x7f
            length, start = int.from_bytes(data[start:start + count], "big"), start + count
            if not 1 <= count <= 4 or length < max(0x80, 256 ** (count - 1)):
                raise Bad("not DER")
        if start + length > len(data):
            raise Bad("it is cut")
        found.append((data[at], data[start:start + length], data[at:start + length]))
        at = start + length
    return found


def inside(element, tag):
    if element[0] != tag:
        raise Bad("tag %d where %d should be" % (element[0], tag))
    return elements(element[1])


def judge_stamp(note, answer, authorities):
    """Seconds since the epoch of a stamp over the note. openssl verifies it, as of its own time."""
    try:
        response, = elements(answer)
        info, token = inside(response, 0x30)
        if int.from_bytes(inside(info, 0x30)[0][1], "big") not in (0, 1):
            raise Bad("the authority did not grant it")
        data = inside(inside(inside(token, 0x30)[1], 0xa0)[0], 0x30)
        stamped = elements(inside(inside(data[2], 0x30)[1], 0xa0)[0][1])[0]
        time = [one[1] for one in inside(stamped, 0x30) if one[0] == 0x18][0]
        signer, = inside(data[-1], 0x31)
        serial = inside(inside(signer, 0x30)[1], 0x30)[1][1]
        digest = inside(inside(signer, 0x30)[2], 0x30)[0][1]
        certificates = [one[2] for one in inside(data[3], 0xa0) if certificate_serial(one) == serial]
    except (ValueError, IndexError):
        raise Bad("not a time stamp")
    match = re.fullmatch(rb"(\d{14})(\.\d{1,9})?Z", time)
    if match is None or digest not in DIGESTS or not certificates:
        raise Bad("not a time stamp")
    text = match[1].decode()
    moment = seconds("%s-%s-%sT%s:%s:%sZ" % (text[:4], text[4:6], text[6:8], text[8:10], text[10:12], text[12:]))
    with tempfile.TemporaryDirectory() as folder:
        names = {}
        for name, content in (("answer", answer), ("roots", authorities), ("certificate", certificates[0])):
            names[name] = os.path.join(folder, name)
            with open(names[name], "wb") as file:
                file.write(content)
        good, _ = openssl(["ts", "-verify", "-digest", sha256(note).hex(), "-in", names["answer"], "-CAfile", names["roots"],
                           "-attime", str(moment), "-partial_chain", "-auth_level", "2"])
        _, purpose = openssl(["x509", "-inform", "DER", "-in", names["certificate"], "-noout", "-ext", "extendedKeyUsage"])
    if not good:
        raise Bad("openssl does not verify it")
    if [line.strip() for line in purpose.splitlines()] != ["X509v3 Extended Key Usage: critical", "Time Stamping"]:
        raise Bad("its certificate is not one for time stamps alone, critically")
    return moment


def certificate_serial(element):
    fields = inside(inside(element, 0x30)[0], 0x30)
    return fields[1 if fields[0][0] == 0xa0 else 0][1]


def timely(stamp, root):
    return root <= stamp <= root + 86400


def parse_checkpoint(text):
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] != "" or lines[0] == "":
        raise Bad("a checkpoint has three lines")
    if not re.fullmatch(r"0|[1-9]\d{0,15}", lines[1]) or int(lines[1]) > 2 ** 53 - 1:
        raise Bad("the size of a checkpoint is a number")
    return lines[0], int(lines[1]), unb64(lines[2], 32)


# --- leaves --------------------------------------------------------------------------------------

def pairs(items):
    if len({name for name, _ in items}) != len(items):
        raise Bad("a key twice")
    return dict(items)


def parse_leaf(data):
    try:
        leaf = json.loads(data.decode("utf-8"), object_pairs_hook=pairs)
    except (UnicodeDecodeError, ValueError):
        raise Bad("not JSON")
    written = json.dumps(leaf, separators=(",", ":"), ensure_ascii=False) + "\n"
    if not isinstance(leaf, dict) or written.encode("utf-8") != data:
        raise Bad("not as a writer writes it")
    head = list(leaf)[:5]
    if head != ["format", "log", "sequence", "previous", "tree"] or leaf["format"] != 1:
        raise Bad("it does not begin as a leaf does")
    number(leaf["sequence"])
    if not is_log(leaf["log"]):
        raise Bad("not a log")
    if leaf["previous"] is not None and not is_hex(leaf["previous"]):
        raise Bad("previous is no hash")
    tree = leaf["tree"]
    if not isinstance(tree, list) or len(tree) != bin(leaf["sequence"]).count("1"):
        raise Bad("tree has another number of hashes")
    for text in tree:
        unb64(text, 32)
    if (leaf["previous"] is None) != (leaf["sequence"] == 0):
        raise Bad("only the first leaf has no previous")
    return leaf


def number(value):
    if type(value) is not int or not 0 <= value <= 2 ** 53 - 1:
        raise Bad("not a number: %r" % (value,))
    return value


def is_hex(value):
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def seconds(text):
    if not isinstance(text, str) or not TIME.fullmatch(text):
        raise Bad("not a time")
    try:
        moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise Bad("not a time")
    return int(moment.replace(tzinfo=datetime.timezone.utc).timestamp())


MANIFEST = ["kind", "firstOffset", "nextOffset", "records", "lastOffset", "timestampMin", "timestampMax", "eventTimeMin",
            "eventTimeMax", "eventTimes", "schemaId", "bytes", "sha256", "recordsRoot", "retention", "encryption", "gap", "anomaly"]
ANOMALIES = ("mismatch", "versions", "not_our_segment", "tiling", "ahead_of_kafka", "rewound")


def check_manifest(leaf):
    if list(leaf)[5:] != MANIFEST or leaf["kind"] not in ("data", "gap", "anomaly"):
        raise Bad("not the keys of a manifest")
    for name in ("firstOffset", "nextOffset", "lastOffset", "timestampMin", "timestampMax", "eventTimeMin", "eventTimeMax"):
        value = leaf[name]
        if value is None and name not in ("firstOffset", "nextOffset"):
            continue
        if not isinstance(value, str) or not LONG.fullmatch(value):
            raise Bad("%s is no number" % name)
    for name in ("records", "eventTimes", "bytes"):
        number(leaf[name])
    if leaf["schemaId"] is not None:
        number(leaf["schemaId"])
    if not is_hex(leaf["sha256"]):
        raise Bad("sha256 is no hash")
    unb64(leaf["recordsRoot"], 32)
    retention, anomaly = leaf["retention"], leaf["anomaly"]
    if retention is not None:
        if list(retention) != ["mode", "until"] or retention["mode"] not in ("COMPLIANCE", "GOVERNANCE"):
            raise Bad("retention")
        seconds(retention["until"])
    if leaf["encryption"] is not None and leaf["encryption"].get("kind") not in ("none", "sse-s3", "sse-kms", "envelope"):
        raise Bad("encryption")
    if leaf["gap"] is not None and list(leaf["gap"]) != ["reason", "logStartOffset"]:
        raise Bad("gap")
    if anomaly is not None and (list(anomaly) != ["reason", "key", "detail"] or anomaly["reason"] not in ANOMALIES):
        raise Bad("anomaly")


def check_root_leaf(leaf):
    if list(leaf)[5:] != ["time", "logs"] or seconds(leaf["time"]) % 3600 != 0:
        raise Bad("not a root leaf")
    before = ""
    for entry in leaf["logs"]:
        if not isinstance(entry, list) or len(entry) != 3 or not is_log(entry[0]) or entry[0] <= before:
            raise Bad("logs are not sorted")
        number(entry[1])
        unb64(entry[2], 32)
        before = entry[0]


def is_log(log):
    if not isinstance(log, str):
        return False
    if log in STATEMENTS:
        return True
    parts = log.split("/")
    return (len(parts) == 5 and parts[0] == "partition" and all(SAFE.fullmatch(part) for part in parts[1:4])
            and re.fullmatch(r"\d{5}", parts[4]) is not None)


# --- segments ------------------------------------------------------------------------------------

class Cursor:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise Bad("it is cut")
        part = self.data[self.at:self.at + count]
        self.at += count
        return part

    def long(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7f) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise Bad("a number of more than 64 bits")
        return (value >> 1) ^ -(value & 1)

    def bytes(self):
        return self.take(self.long())


def read_header(data):
    cursor = Cursor(data)
    if cursor.take(4) != b"Obj\1":
        raise Bad("no container file")
    meta = {}
    count = cursor.long()
    for _ in range(count):
        name = cursor.bytes().decode("utf-8")
        if name in meta:
            raise Bad("metadata twice")
        meta[name] = cursor.bytes().decode("utf-8")
    if count < 0 or cursor.long() != 0:
        raise Bad("metadata is not in one block")
    sync = cursor.take(16)
    try:
        key = "data/%s/%s/%s/%05d/%020d.avro" % (meta["lakeseal.cluster"], meta["lakeseal.topic"], meta["lakeseal.topicId"],
                                                 int(meta["lakeseal.partition"]), int(meta["lakeseal.firstOffset"]))
    except (KeyError, ValueError):
        raise Bad("metadata is missing")
    markers = [sha256((key + ("" if at == 0 else "#%d" % at)).encode())[:16] for at in range(8)]
    if sync not in markers or meta.get("lakeseal.format") != "1":
        raise Bad("the sync marker is not that of the slot")
    return meta, key, sync, cursor


def blocks(meta, sync, cursor):
    while cursor.at < len(cursor.data):
        count = cursor.long()
        data = cursor.take(cursor.long())
        if cursor.take(16) != sync or count < 1:
            raise Bad("a block without its sync marker")
        codec = meta.get("avro.codec")
        if codec == "deflate":
            inflate = zlib.decompressobj(-15)
            try:
                data = inflate.decompress(data)
            except zlib.error as error:
                raise Bad("a block that does not inflate: %s" % error)
            if not inflate.eof or inflate.unused_data:
                raise Bad("a block with bytes behind its end")
        elif codec != "null":
            raise CannotRun("the codec %s cannot be read here: verify without --deep" % codec)
        yield count, data


class Skip:
    """Steps over one datum of a writer schema."""

    def __init__(self, schema):
        self.schema, self.names = schema, {}
        self.define(schema, "")

    def define(self, schema, space):
        if isinstance(schema, list):
            for one in schema:
                self.define(one, space)
        elif isinstance(schema, dict):
            kind = schema.get("type")
            if kind in ("record", "enum", "fixed"):
                name = schema["name"]
                inner = name.rpartition(".")[0] if "." in name else schema.get("namespace", space)
                full = name if "." in name or not inner else inner + "." + name
                self.names[full] = (schema, inner)
                for field in schema.get("fields", ()):
                    self.define(field["type"], inner)
            elif kind in ("array", "map"):
                self.define(schema["items" if kind == "array" else "values"], space)
            elif isinstance(kind, (dict, list)):
                self.define(kind, space)

    def over(self, cursor, schema=None, space="", depth=0):
        schema = self.schema if schema is None else schema
        if depth > 64:
            raise Bad("nested too deep")
        if isinstance(schema, list):
            at = cursor.long()
            if not 0 <= at < len(schema):
                raise Bad("no such branch")
            return self.over(cursor, schema[at], space, depth + 1)
        if isinstance(schema, str):
            if schema == "null":
                return None
            if schema in ("int", "long"):
                return cursor.long()
            if schema in ("bytes", "string"):
                return cursor.bytes()
            if schema in ("boolean", "float", "double"):
                return cursor.take({"boolean": 1, "float": 4, "double": 8}[schema])
            named = self.names.get(schema if "." in schema or not space else space + "." + schema) or self.names.get(schema)
            if named is None:
                raise Bad("an unknown type")
            return self.over(cursor, named[0], named[1], depth)
        kind = schema["type"]
        if kind == "record":
            name = schema["name"]
            inner = name.rpartition(".")[0] if "." in name else schema.get("namespace", space)
            found = {}
            for field in schema["fields"]:
                found[field["name"]] = self.over(cursor, field["type"], inner, depth + 1)
            return found
        if kind in ("array", "map"):
            while True:
                count = cursor.long()
                if count == 0:
                    return None
                if count < 0:
                    cursor.long()
                for _ in range(abs(count)):
                    if kind == "map":
                        cursor.bytes()
                    self.over(cursor, schema["items" if kind == "array" else "values"], space, depth + 1)
        if kind == "enum":
            return cursor.long()
        if kind == "fixed":
            return cursor.take(schema["size"])
        return self.over(cursor, kind, space, depth)


def sized(data):
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def record_leaf(offset, timestamp, key, headers, value):
    parts = [struct.pack(">qq", offset, timestamp), sized(key), struct.pack(">i", len(headers))]
    for name, content in headers:
        parts += [sized(name), sized(content)]
    return b"".join(parts + [sized(value)])


def digest(data, deep):
    """What a manifest says of a segment, as far as the segment tells it."""
    meta, key, sync, cursor = read_header(data)
    kind = meta.get("lakeseal.kind")
    told = {"kind": kind, "key": key, "schemaId": None if "lakeseal.schemaId" not in meta else int(meta["lakeseal.schemaId"])}
    for name in ("firstOffset", "nextOffset", "lastOffset", "timestampMin", "timestampMax"):
        told[name] = meta.get("lakeseal." + name)
    told["records"] = int(meta.get("lakeseal.recordCount", "-1"))
    if not deep:
        return told
    if kind == "gap":
        (count, block), = blocks(meta, sync, cursor)
        inner = Cursor(block)
        inner.long(), inner.long()
        told["gap"] = {"reason": inner.bytes().decode(), "logStartOffset": str(inner.long())}
        told["recordsRoot"] = b64(sha256(b""))
        return told
    envelope = json.loads(meta["avro.schema"])
    union = envelope["fields"][-1]["type"]
    skip = Skip(union[2]) if len(union) > 2 else None
    tree, times, last = Tree(), [], None
    for count, block in blocks(meta, sync, cursor):
        inner = Cursor(block)
        for _ in range(count):
            offset, timestamp = inner.long(), inner.long()
            record_key = inner.bytes() if inner.long() == 1 else None
            headers = []
            while True:
                some = inner.long()
                if some == 0:
                    break
                for _ in range(some):
                    name = inner.bytes()
                    headers.append((name, inner.bytes() if inner.long() == 1 else None))
            schema_id = inner.long() if inner.long() == 1 else None
            branch = inner.long()
            value = None
            if branch == 1:
                value = inner.bytes()
            elif branch == 2:
                if skip is None or schema_id is None:
                    raise Bad("a datum without a schema")
                start = inner.at
                found = skip.over(inner)
                value = b"\0" + struct.pack(">i", schema_id) + bytes(inner.data[start:inner.at])
                if isinstance(found.get("eventTime"), int):
                    times.append(found["eventTime"])
            if last is not None and offset <= last:
                raise Bad("offsets that do not ascend")
            last = offset
            tree.append(leaf_hash(record_leaf(offset, timestamp, record_key, headers, value)))
        if inner.at != len(block):
            raise Bad("a block with bytes left over")
    told.update(records=tree.size, recordsRoot=b64(tree.root()), lastOffset=None if last is None else str(last), eventTimes=len(times),
                eventTimeMin=str(min(times)) if times else None, eventTimeMax=str(max(times)) if times else None)
    return told


# --- the archive ---------------------------------------------------------------------------------

class Archive:
    """Keys in their order, each with its versions, newest first."""

    def __init__(self, folder, prefix):
        self.folder, self.prefix = folder, prefix
        self.listing = os.path.join(folder, "versions.jsonl")
        if not os.path.isdir(folder):
            raise CannotRun("%s is not a folder" % folder)
        self.told = {}
        if os.path.exists(self.listing):
            with open(self.listing, encoding="utf-8") as lines:
                for line in lines:
                    one = json.loads(line)
                    self.told.setdefault(one["key"], []).append(one)
        self.listed = bool(self.told)

    def keys(self):
        found = set(self.told)
        for path, _, names in os.walk(self.folder):
            relative = os.path.relpath(path, self.folder).replace(os.sep, "/")
            if relative == "versions" or relative.startswith("versions/"):
                continue
            for name in names:
                key = name if relative == "." else relative + "/" + name
                if key != "versions.jsonl":
                    found.add(key)
        return sorted((key for key in found if key.startswith(self.prefix)), key=lambda key: key.encode())

    def versions(self, key):
        return self.told.get(key) or [{"key": key, "versionId": "", "isLatest": True, "isDeleteMarker": False}]

    def read(self, version):
        parts = version["key"].split("/")
        if not version["isLatest"]:
            parts = ["versions"] + parts + [version["versionId"]]
        try:
            with open(os.path.join(self.folder, *parts), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None


class Verification:
    def __init__(self, archive, keys, deep, anchors):
        self.archive, self.keys, self.deep, self.anchors = archive, list(keys), deep, anchors
        self.findings, self.seen = [], set()
        self.told, self.rotated, self.pending, self.sizes = {}, {}, None, {}
        self.limits = {}
        self.roots, self.wanted = {}, {}

    def find(self, code, key, expected, found, version=""):
        fact = (code, key, version, str(found))
        if fact not in self.seen:
            self.seen.add(fact)
            self.findings.append({"code": code, "class": "incomplete" if code in INCOMPLETE else "tampered", "key": key,
                                  "versionId": version, "expected": str(expected), "found": str(found)})

    def only(self, key):
        """The version that was sealed is the oldest; markers and further versions are findings."""
        versions = self.archive.versions(key)
        for one in versions:
            if one["isDeleteMarker"]:
                self.find("delete_marker", key, "no marker", "a marker", one["versionId"])
        objects = [one for one in versions if not one["isDeleteMarker"]]
        if len(objects) > 1:
            self.find("extra_version", key, "one version", "%d versions" % len(objects))
        return objects[-1] if objects else None

    def planted(self, key):
        version = self.only(key)
        if version is not None:
            self.find("planted_object", key, "no such object", "an object", version["versionId"])

    def keep(self, data):
        text, signatures = parse_note(data)
        origin, size, root = parse_checkpoint(text)
        key = signer_of(text, signatures, self.keys)
        if key is None or not origin.startswith(key.name + "/"):
            raise CannotRun("a checkpoint that was given is not signed by a trusted key")
        self.told.setdefault(origin[len(key.name) + 1:], []).append((size, root, "a checkpoint that was kept"))

    def run(self, kept):
        prefix, logs, segments = self.archive.prefix, {}, {}
        for key in self.archive.keys():
            if key.startswith(prefix + "evidence/"):
                match = FILE.fullmatch(key[len(prefix) + 9:])
                if match is None or not is_log(match[1]):
                    self.planted(key)
                else:
                    logs.setdefault(match[1], {}).setdefault(int(match[2]), {})[match[3]] = key
            elif key.startswith(prefix + "data/"):
                match = SLOT.fullmatch(key[len(prefix) + 5:])
                if match is None or not all(SAFE.fullmatch(part) for part in match.groups()[:3]) or int(match[5]) >= 2 ** 63:
                    self.planted(key)
                else:
                    segments.setdefault("partition/" + "/".join(match.groups()[:4]), {})[int(match[5])] = key
        self.log("keys", logs.get("keys", {}), self.rotation)
        for data in kept:
            self.keep(data)
        self.root(logs.get("root", {}))
        self.log("keys", logs.get("keys", {}), lambda *_: None)
        for log in sorted(set(logs) | set(segments)):
            if log.startswith("partition/"):
                self.partition(log, logs.get(log), segments.get(log, {}))
            elif log not in ("keys", "root"):
                self.log(log, logs[log], lambda *_: None)
        for sequence, wanted in self.wanted.items():
            for path in self.roots.get(sequence, ()):
                for sealed in wanted:
                    self.evidence_protection(sealed, path)
        for log, told in self.told.items():
            if log.startswith("partition/") and log not in logs and max(size for size, _, _ in told) > 0:
                self.find("truncated", prefix + "evidence/" + log + "/", "%d leaves" % max(told)[0], "nothing")
        if not any(self.sizes.values()):
            self.find("nothing", prefix + "evidence/", "evidence", "no leaf of any log")

    def key(self, log, count, suffix):
        return "%sevidence/%s/%020d.%s" % (self.archive.prefix, log, count, suffix)

    def log(self, log, files, each, signed=lambda *_: None):
        """Chain, tree, places and signatures of one log."""
        tree, previous, broken, signed_size, any_leaf = Tree(), None, False, 0, False
        told = sorted(self.told.get(log, []), key=lambda one: one[0])
        for count in sorted(files):
            kinds = files[count]
            for kind in ("tsr", "witness"):
                if kind in kinds and "note" not in kinds:
                    self.planted(kinds[kind])
                elif kind in kinds:
                    self.bytes(kinds[kind])
            if "note" in kinds:
                key = self.note(log, count, kinds["note"], tree, broken)
                if key is not None:
                    signed_size = count
                    signed(count, kinds, key)
                    if log == "keys":
                        self.consented(count, key)
                    elif log != "root" and key.vkey in self.limits and count > self.limits[key.vkey].get(log, 0):
                        self.find("signed_after_rotation", kinds["note"], "%d leaves at most" % self.limits[key.vkey].get(log, 0), count)
            if "json" not in kinds:
                continue
            any_leaf, path = True, kinds["json"]
            if count > tree.size and not broken:
                broken = True
                self.find("leaf_missing", self.key(log, tree.size, "json"), "leaf %d" % tree.size, "nothing")
            version = self.only(path)
            data = None if version is None else self.archive.read(version)
            if data is None:
                broken = True
                if version is not None:
                    self.find("leaf_missing", path, "its bytes", "nothing", version["versionId"])
                continue
            leaf = None
            try:
                leaf = parse_leaf(data)
                if leaf["log"] != log or leaf["sequence"] != count:
                    self.find("leaf_misplaced", path, "%s %d" % (log, count), "%s %d" % (leaf["log"], leaf["sequence"]), version["versionId"])
                elif not broken:
                    if leaf["previous"] != previous:
                        self.find("leaf_chain", path, previous, leaf["previous"], version["versionId"])
                    if leaf["tree"] != [b64(node) for node in tree.hashes]:
                        self.find("leaf_tree", path, "the tree of the leaves", "another", version["versionId"])
            except Bad as error:
                self.find("leaf_invalid", path, "a leaf", error, version["versionId"])
            if not broken:
                tree.append(leaf_hash(data))
                previous = sha256(data).hex()
                for size, root, by in told:
                    if size == tree.size and root != tree.root():
                        self.find("fork", self.key(log, size, "note"), "one root of %d leaves" % size, "another, tells " + by)
            if leaf is not None:
                try:
                    each(leaf, path, version)
                except Bad as error:
                    self.find("leaf_invalid", path, "a leaf of " + log, error, version["versionId"])
                    if log.startswith("partition/"):
                        self.next = None
        self.sizes[log] = tree.size
        beyond = [one for one in told if one[0] > tree.size]
        if not broken and beyond:
            self.find("truncated", self.key(log, tree.size, "json"), "%d leaves" % beyond[0][0], "%d" % tree.size)
        if not broken and any_leaf and signed_size < tree.size:
            self.find("checkpoint_missing", self.key(log, tree.size, "note"), "a checkpoint of %d" % tree.size, "one of %d" % signed_size)

    def bytes(self, path):
        version = self.only(path)
        data = None if version is None else self.archive.read(version)
        if data is None and version is not None:
            self.find("leaf_missing", path, "its bytes", "nothing", version["versionId"])
        return version, data

    def note(self, log, size, path, tree, broken):
        version, data = self.bytes(path)
        if data is None:
            return None
        try:
            text, signatures = parse_note(data)
            origin, told, root = parse_checkpoint(text)
        except Bad as error:
            self.find("checkpoint_invalid", path, "a checkpoint", error, version["versionId"])
            return None
        key = signer_of(text, signatures, self.keys)
        if key is None:
            self.find("checkpoint_signature", path, "a valid signature of a trusted key", "none", version["versionId"])
        elif origin != key.name + "/" + log or told != size:
            self.find("checkpoint_invalid", path, "%s/%s %d" % (key.name, log, size), "%s %d" % (origin, told), version["versionId"])
        elif broken:
            return None
        elif size != tree.size:
            self.find("truncated", path, "%d leaves" % size, "%d leaves" % tree.size, version["versionId"])
        elif root != tree.root():
            self.find("checkpoint_root", path, b64(tree.root()), b64(root), version["versionId"])
        else:
            return key
        return None

    def rotation(self, leaf, path, version):
        if self.pending is not None:
            self.find("key_rotation", path, "the consent of the key before", "no checkpoint of it", version["versionId"])
        self.pending = None
        if list(leaf)[5:] != ["time", "from", "to", "proof"]:
            raise Bad("not a rotation")
        time, old, new = seconds(leaf["time"]), Key(leaf["from"]), Key(leaf["to"])
        text = "lakeseal key %s\n%s\n%s\n" % (new.name, leaf["from"], leaf["to"])
        try:
            if old.name != new.name or not new.signed(text.encode(), unb64(leaf["proof"])):
                raise Bad("the new key did not sign its taking over")
        except Bad as error:
            self.find("key_rotation", path, "a rotation", error, version["versionId"])
            return
        if old.vkey not in [key.vkey for key in self.keys] or old.vkey in self.rotated:
            self.find("key_rotation", path, "the key in force", old.vkey, version["versionId"])
            return
        self.pending = (leaf["sequence"] + 1, time, old, new)

    def consented(self, size, key):
        if self.pending is not None and self.pending[0] == size and self.pending[2].vkey == key.vkey:
            _, time, old, new = self.pending
            self.pending = None
            self.rotated[old.vkey] = time
            if new.vkey not in [one.vkey for one in self.keys]:
                self.keys.append(new)

    def root(self, files):
        state = {"time": None, "sizes": {}, "unstamped": []}
        authorities, expected, witnesses = self.anchors

        def missing(key):
            self.find("stamp_missing", key, "a time stamp within a day, over it or a later root", "none")

        def each(leaf, path, version):
            self.roots.setdefault(leaf["sequence"], []).append(path)
            check_root_leaf(leaf)
            if state["time"] is not None and leaf["time"] <= state["time"]:
                self.find("root_order", path, "a time after " + state["time"], leaf["time"])
            state["time"] = leaf["time"]
            sizes = {log: size for log, size, _ in leaf["logs"]}
            for log, size in state["sizes"].items():
                if sizes.get(log, -1) < size:
                    self.find("root_order", path, "%s of %d at least" % (log, size), sizes.get(log, "not told"))
            state["sizes"] = sizes
            for vkey, rotated in self.rotated.items():
                moment = seconds(leaf["time"])
                if rotated < moment and (moment <= rotated + 86400 or vkey not in self.limits):
                    self.limits[vkey] = sizes
            for log, size, root in leaf["logs"]:
                self.told.setdefault(log, []).append((size, unb64(root, 32), "root %d" % leaf["sequence"]))

        def signed(size, kinds, key):
            self.roots.setdefault(size - 1, []).append(kinds["note"])
            rotated = self.rotated.get(key.vkey)
            if rotated is not None and state["time"] is not None and seconds(state["time"]) > rotated + 3600:
                self.find("signed_after_rotation", kinds["note"], "its successor's signature", key.vkey)
            time = None if state["time"] is None else seconds(state["time"])
            _, note = self.bytes(kinds["note"])
            if expected and time is not None:
                state["unstamped"].append((kinds["note"], time))
            if "tsr" in kinds and authorities:
                stamp(kinds["tsr"], note, time)
            lines = self.bytes(kinds["witness"])[1] if "witness" in kinds and witnesses else None
            if lines is not None:
                try:
                    judge_witnesses(parse_note(note)[0], lines, witnesses)
                except Bad as error:
                    self.find("witness_invalid", kinds["witness"], "signatures of witnesses", error)

        def stamp(path, note, time):
            _, answer = self.bytes(path)
            if answer is None:
                return
            try:
                moment = judge_stamp(note, answer, authorities)
            except Bad as error:
                self.find("stamp_invalid", path, "a stamp of this checkpoint", error)
                return
            if time is not None and not timely(moment, time):
                self.find("stamp_time", path, "within a day after %d" % time, moment)
                return
            for key, hour in state["unstamped"]:
                if not timely(moment, hour):
                    missing(key)
            state["unstamped"] = []

        self.log("root", files, each, signed)
        for key, _ in state["unstamped"]:
            missing(key)

    def partition(self, log, files, segments):
        self.next, left, self.sealed, rooted = 0, dict(segments), None, {}
        for size, _, by in self.told.get(log, []):
            if by.startswith("root "):
                rooted.setdefault(size, int(by[5:]))

        def each(leaf, path, version):
            check_manifest(leaf)
            first = int(leaf["firstOffset"])
            if self.next is not None and first != self.next:
                self.find("tiling", path, "offset %d" % self.next, "offset %d" % first)
            self.next = int(leaf["nextOffset"])
            if leaf["kind"] == "anomaly":
                self.find("anomaly", path, "none", json.dumps(leaf["anomaly"]), version["versionId"])
                return
            self.sealed = leaf["retention"]
            self.evidence_protection(self.sealed, path)
            if leaf["sequence"] + 1 in rooted:
                self.wanted.setdefault(rooted[leaf["sequence"] + 1], []).append(self.sealed)
            for offset in [one for one in left if one < first]:
                self.planted(left.pop(offset))
            name = "%sdata/%s/%020d.avro" % (self.archive.prefix, log[len("partition/"):], first)
            key = left.pop(first, None)
            segment = None if key is None else self.only(key)
            data = None if segment is None else self.archive.read(segment)
            if data is None:
                self.find("segment_missing", name, "%d bytes" % leaf["bytes"], "nothing")
            else:
                self.segment(leaf, key, segment, data)

        if files is not None:
            self.log(log, files, each, lambda size, kinds, key: self.evidence_protection(self.sealed, kinds["note"]))
        unsealed = []
        for offset, key in sorted(left.items()):
            if files is not None and (self.next is None or offset < self.next):
                self.planted(key)
            else:
                self.only(key)
                unsealed.append(key)
        if unsealed:
            self.find("segment_unsealed", unsealed[0], "a manifest of each", "%d segments without" % len(unsealed))

    def evidence_protection(self, sealed, path):
        version = self.only(path)
        if sealed is None or not self.archive.listed or version is None:
            return
        now = version.get("retention")
        if (now is None or (sealed["mode"] == "COMPLIANCE" and now["mode"] != "COMPLIANCE")
                or seconds(now["until"]) < seconds(sealed["until"])):
            self.find("retention_differs", path, sealed, now, version["versionId"])

    def segment(self, leaf, key, version, data):
        name = version["versionId"]
        hashed = sha256(data).hex()
        if len(data) != leaf["bytes"] or hashed != leaf["sha256"]:
            self.find("segment_altered", key, leaf["sha256"], hashed, name)
            return
        sealed = leaf["retention"]
        if self.archive.listed and sealed is not None:
            now = version.get("retention")
            if now is None:
                self.find("retention_missing", key, sealed, "no retention", name)
            else:
                if sealed["mode"] == "COMPLIANCE" and now["mode"] != "COMPLIANCE":
                    self.find("retention_mode", key, sealed, now, name)
                if seconds(now["until"]) < seconds(sealed["until"]):
                    self.find("retention_short", key, sealed, now, name)
        wanted = leaf["encryption"]
        if wanted is not None and wanted["kind"] == "envelope":
            try:
                self.envelope(key, data, wanted)
            except (Bad, KeyError, ValueError, IndexError, TypeError) as error:
                self.find("segment_invalid", key, "an encrypted segment", error, name)
            return
        there = version.get("encryption")
        if self.archive.listed and wanted is not None and there is not None and wanted != there:
            self.find("encryption_differs", key, wanted, there, name)
        try:
            told = digest(data, self.deep)
        except (Bad, KeyError, ValueError, IndexError, TypeError) as error:
            self.find("segment_invalid", key, "a segment", error, name)
            return
        place = self.archive.prefix + told.pop("key")
        if place != key:
            self.find("segment_differs", key, key, place, name)
        for field, value in told.items():
            if leaf[field] != value:
                self.find("segment_differs", key, "%s %s" % (field, leaf[field]), "%s %s" % (field, value), name)

    def envelope(self, key, data, wanted):
        """What an encrypted segment says in the clear; what is inside takes a key."""
        length = int.from_bytes(data[8:12], "big")
        if data[:8] != b"LAKESEAL" or len(data) < 12 + length:
            raise Bad("not an encrypted segment")
        header = json.loads(data[12:12 + length])
        told = {"kind": "envelope", **{name: header[name] for name in ("wrap", "key", "wrapped", "plainSha256", "plainBytes")}}
        if told != wanted:
            raise Bad("its header is not what the manifest says")
        if self.archive.prefix + header["slot"] != key:
            raise Bad("it was encrypted for another slot")


# --- proofs --------------------------------------------------------------------------------------

def check_tlog_proof(text, leaf, keys):
    """Origin, size and key of the checkpoint that the leaf is shown to be under, and its note."""
    top, _, note = text.partition("\n\n")
    lines = top.split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1":
        raise Bad("not a tlog-proof")
    lines = lines[1:]
    if lines and lines[0].startswith("extra "):
        unb64(lines.pop(0)[6:])
    if not lines:
        raise Bad("a proof without an index")
    index = re.fullmatch(r"index (0|[1-9]\d*)", lines[0])
    if index is None:
        raise Bad("a proof without an index")
    body, signatures = parse_note(note.encode())
    origin, size, root = parse_checkpoint(body)
    key = signer_of(body, signatures, keys)
    if key is None:
        raise Bad("the checkpoint is not signed by the key that was given")
    if not is_included(int(index[1]), size, leaf_hash(leaf), [unb64(line, 32) for line in lines[1:]], root):
        raise Bad("the leaf is not in the tree of the checkpoint")
    return origin, size, key, note.encode()


def check_proof(path, keys, anchors):
    proof = json.loads(read_file(path).decode("utf-8"), object_pairs_hook=pairs)
    if proof.get("kind") != "lakeseal-record-proof" or proof.get("format") != 1:
        raise Bad("not a proof of a record")
    log = "partition/%s/%s/%s/%05d" % (proof["cluster"], proof["topic"], proof["topicId"], proof["partition"])
    record, manifest = proof["record"], proof["manifest"].encode()

    def data(text):
        return None if text is None else unb64(text)

    leaf = parse_leaf(manifest)
    check_manifest(leaf)
    if leaf["log"] != log:
        raise Bad("the manifest is of another partition")
    offset = int(record["offset"])
    headers = [(name.encode("utf-8"), data(value)) for name, value in record["headers"]]
    node = leaf_hash(record_leaf(offset, int(record["timestamp"]), data(record["key"]), headers, data(record["value"])))
    path_up = [unb64(text, 32) for text in proof["recordHashes"]]
    if not is_included(proof["recordIndex"], leaf["records"], node, path_up, unb64(leaf["recordsRoot"])):
        raise Bad("the record is not one of those that the manifest tells of")
    if not int(leaf["firstOffset"]) <= offset < int(leaf["nextOffset"]):
        raise Bad("the record is outside the offsets of the manifest")
    origin, size, key, _ = check_tlog_proof(proof["partitionProof"], manifest, keys)
    if origin != key.name + "/" + log:
        raise Bad("the checkpoint is of another log")
    told = "checkpoint of %d manifests, signed by %s" % (size, key.vkey)
    root = proof["root"]
    if root is not None:
        root_leaf = parse_leaf(root["leaf"].encode())
        check_root_leaf(root_leaf)
        states = [state for state in root_leaf["logs"] if state[0] == log]
        up = [unb64(text, 32) for text in root["manifestHashes"]]
        if not states or not is_included(leaf["sequence"], states[0][1], leaf_hash(manifest), up, unb64(states[0][2])):
            raise Bad("the manifest is not in the tree that the root tells of")
        origin, _, key, note = check_tlog_proof(root["proof"], root["leaf"].encode(), keys)
        if origin != key.name + "/root":
            raise Bad("the checkpoint of the root is of another log")
        told += ", root of " + root_leaf["time"]
        authorities, _, witnesses = anchors
        if root["stamp"] is not None and authorities:
            moment = judge_stamp(note, unb64(root["stamp"]), authorities)
            if not timely(moment, seconds(root_leaf["time"])):
                raise Bad("the time stamp is of another time than its root")
            told += ", time-stamped %d s later" % (moment - seconds(root_leaf["time"]))
        if root["witness"] is not None and witnesses:
            judge_witnesses(parse_note(note)[0], root["witness"].encode(), witnesses)
    return "%s offset %d: %s" % (log, offset, told)


def notes_in(path):
    """The file, or the checkpoints in a folder."""
    if not os.path.isdir(path):
        return [path]
    names = sorted(name for name in os.listdir(path) if name.endswith(".note"))
    if not names:
        raise CannotRun("there is no checkpoint (.note) in %s" % path)
    return [os.path.join(path, name) for name in names]


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    parser = argparse.ArgumentParser(description="Verifies a copy of a lakeseal archive, or a proof.")
    parser.add_argument("folder", nargs="?", help="a copy of the bucket")
    parser.add_argument("--key", action="append", default=[], help="public key that is trusted (repeatable)")
    parser.add_argument("--prefix", default="", help="key prefix of the archive in the bucket")
    parser.add_argument("--from", dest="kept", action="append", default=[], help="a checkpoint kept elsewhere, or a folder of them (repeatable)")
    parser.add_argument("--tsa-ca", action="append", default=[], help="PEM root of a time stamp authority (repeatable)")
    parser.add_argument("--expect-stamps", action="store_true", help="a root that no time stamp covers within a day is a finding")
    parser.add_argument("--witness", action="append", default=[], help="public key of a witness (repeatable)")
    parser.add_argument("--deep", action="store_true", help="read every record")
    parser.add_argument("--check-proof", help="check the proof of a record")
    parser.add_argument("--json", action="store_true", help="findings as JSON")
    options = parser.parse_args()
    try:
        keys = [Key(text) for text in options.key]
        if not keys:
            raise CannotRun("no public key was given: --key")
        authorities = b"".join(read_file(path) for path in options.tsa_ca)
        if options.expect_stamps and not authorities:
            raise CannotRun("time stamps are expected, but of no authority: --tsa-ca")
        anchors = authorities, options.expect_stamps, [Key(text, True) for text in options.witness]
        if options.check_proof is not None:
            try:
                print("holds: " + check_proof(options.check_proof, keys, anchors))
                return 0
            except (Bad, KeyError, ValueError, TypeError, IndexError) as error:
                print("the proof does not hold: %s" % error)
                return 1
        if options.folder is None:
            raise CannotRun("name a copy of the archive")
        verification = Verification(Archive(options.folder, options.prefix), keys, options.deep, anchors)
        verification.run([read_file(path) for given in options.kept for path in notes_in(given)])
    except (CannotRun, Bad, OSError) as error:
        print("verify.py: error: %s" % error, file=sys.stderr)
        return 3
    findings = verification.findings
    classes = {finding["class"] for finding in findings}
    code = 1 if "tampered" in classes else 2 if classes else 0
    if options.json:
        print(json.dumps({"exitCode": code, "sizes": verification.sizes, "findings": findings}, indent=2))
    else:
        for one in findings:
            print("%(class)s: %(code)s: %(key)s %(versionId)s\n  expected  %(expected)s\n  found     %(found)s" % one)
        print(["VERIFIED", "TAMPERED", "INCOMPLETE"][code])
        if not verification.archive.listed:
            print("Not checked: versions, markers, retention and encryption, of which there is no versions.jsonl")
    return code


if __name__ == "__main__":
    sys.exit(main())
