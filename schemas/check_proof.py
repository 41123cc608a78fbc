#!/usr/bin/env python3
"""Checks the proof of a record that a lakeseal archive holds, with Python and openssl alone.

Written from evidence.md beside this file; it shares no code with lakeseal, and believes nothing but
the keys that it is given. Verifies a whole archive: verify.py, which begins where this ends.

    python3 check_proof.py FILE --key VKEY [--tsa-ca PEM] [--witness VKEY]

Exit codes: 0 the proof holds, 1 it does not, 3 could not run.
"""
import argparse
import base64
import datetime
import functools
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
from collections import namedtuple


class Bad(ValueError):
    """Bytes that are not what they should be."""


class CannotRun(Exception):
    """Nothing can be said: exit code 3."""


# What reading bytes that somebody made up may end in; Bad is a ValueError.
BROKEN = (ValueError, LookupError, TypeError, AttributeError, RecursionError, struct.error)


def sha256(data):
    return hashlib.sha256(data).digest()


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    data = base64.b64decode(text, validate=True)
    if b64(data) != text:
        raise Bad("not base64 as it is written")
    return data


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


# --- the tree of RFC 6962 ------------------------------------------------------------------------

def leaf_hash(data):
    return sha256(b"\0" + data)


def node_hash(left, right):
    return sha256(b"\1" + left + right)


def is_included(index, size, node, path, root):
    """RFC 9162, section 2.1.3.2; hashes of the path and the root are base64."""
    at, last = index, size - 1
    if not 0 <= at <= last:
        return False
    for other in map(unb64, path):
        if last == 0 or len(other) != 32:
            return False
        if at & 1 or at == last:
            node = node_hash(other, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, other)
        at, last = at >> 1, last >> 1
    return last == 0 and b64(node) == root


# --- keys and signed notes -----------------------------------------------------------------------

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
    """A public key, from a C2SP vkey: of who signs checkpoints, or of a witness."""

    ED25519, ECDSA, WITNESS = b"\1", b"\2", b"\4"

    def __init__(self, vkey, types=(ED25519, ECDSA)):
        self.vkey = vkey.strip()
        self.name, key_id, material = (self.vkey.split("+", 2) + ["", ""])[:3]
        material = unb64(material)
        self.type, self.der = material[:1], material[1:]
        named = self.der if self.type == Key.ECDSA else self.name.encode() + b"\n" + material
        self.id = sha256(named)[:4]
        if self.id.hex() != key_id or self.type not in types:
            raise Bad("not a public key (NAME+KEYID+KEY) of the type that is asked for")
        if self.type != Key.ECDSA:
            self.der = bytes.fromhex("302a300506032b6570032100") + self.der

    @functools.lru_cache(maxsize=1000)
    def signed(self, text, signature):
        command = "pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in text -sigfile sig"
        if self.type == Key.ECDSA:
            command = "dgst -sha256 -verify key -keyform DER -signature sig text"
        if self.type == Key.WITNESS:
            time = int.from_bytes(signature[:8], "big")
            text, signature = b"cosignature/v1\ntime %d\n" % time + text, signature[8:]
        return openssl(command, key=self.der, text=text, sig=signature)


def parse_note(data):
    """Text and signatures (name, key id, signature) of a C2SP signed note."""
    whole = data.decode()
    text, _, lines = whole.rpartition("\n\n")
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


def signers(text, signatures, keys):
    """Those of the keys that signed; a wrong signature of one of them spoils the note."""
    known = [(key, signature) for name, key_id, signature in signatures for key in keys
             if (key.name, key.id) == (name, key_id)]
    for key, signature in known:
        if not key.signed(text.encode(), signature):
            raise Bad(f"the signature of {key.name} does not verify")
    return [key for key, _ in known]


def judge_witnesses(note, lines, witnesses):
    """Every line of a known witness must be its signature under the note's text."""
    text, _ = parse_note(note)
    same, signatures = parse_note(text.encode() + b"\n" + lines)
    if same != text:
        raise Bad("not signature lines alone")
    signers(text, signatures, witnesses)


Checkpoint = namedtuple("Checkpoint", "origin size root key")


def parse_checkpoint(data, keys):
    """Its root is base64; `key` that signed it, None where no trusted one did."""
    text, signatures = parse_note(data)
    match = re.fullmatch("(.+)\n(0|[1-9][0-9]{0,15})\n(.+)\n", text)
    if match is None or int(match[2]) >= 2 ** 53 or not HASH.fullmatch(match[3]):
        raise Bad("not the three lines of a checkpoint")
    try:
        key = (signers(text, signatures, keys) or [None])[0]
    except Bad:
        key = None
    return Checkpoint(match[1], int(match[2]), match[3], key)


# --- time stamps of RFC 3161 ---------------------------------------------------------------------

SHA2 = [bytes.fromhex("6086480165030402") + bytes([last]) for last in (1, 2, 3)]
# The extension of a certificate: extKeyUsage, critical, timeStamping alone.
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
    # The serial number of a certificate is behind its version, which has a tag of its own.
    certificates = [inside(one, 0) for _, one in elements(inside(signed, 3))]
    named = [one for one in certificates if inside(one, 1) == inside(signer, 1, 1)]
    if not named or STAMPS_ALONE not in [one for _, one in elements(inside(named[0], -1, 0))]:
        raise Bad("its certificate is not there, or not one for time stamps alone, critically")
    told = dict(elements(inside(signed, 2, 1, 0, 0)))[0x18].decode()
    match = re.fullmatch("([0-9]{4})" + "([0-9]{2})" * 5 + r"(\.[0-9]{1,9})?Z", told)
    time = seconds("%s-%s-%sT%s:%s:%sZ" % match.groups()[:6])
    command = (f"ts -verify -digest {sha256(note).hex()} -in answer -CAfile roots "
               f"-attime {time} -partial_chain -auth_level 2")
    if not openssl(command, answer=answer, roots=authorities):
        raise Bad("openssl does not verify it")
    return time


def is_timely(stamp, hour):
    return hour <= stamp <= hour + 86400


# --- leaves --------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=1000)
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
TEXT = re.compile("(?s).*")
LONG = re.compile("0|-?[1-9][0-9]{0,18}")
HEX = re.compile("[0-9a-f]{64}")
HASH = re.compile("[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
BASE64 = re.compile("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

# What a leaf holds, see `fits`: the keys that all have, then those of each kind that is judged.
HEAD = {"format": 1, "log": LOG, "sequence": number, "previous": (None, HEX), "tree": [HASH]}
ROOT = {"time": seconds, "logs": [[LOG, number, HASH]]}
ROTATION = {"time": seconds, "from": TEXT, "to": TEXT, "proof": BASE64}
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
    "encryption": (None, {"kind": ("none", "sse-s3")}, {"kind": "sse-kms", "key": TEXT}, {
        "kind": "envelope", "wrap": ("local", "kms"), "key": TEXT, "wrapped": BASE64,
        "plainSha256": HEX, "plainBytes": number}),
    "gap": (None, {"reason": TEXT, "logStartOffset": LONG}),
    "anomaly": (None, {"reason": REASON, "key": TEXT, "detail": TEXT}),
}


def fits(value, shape):
    """`shape`: a value, a pattern, a function that raises, a tuple of alternatives, a list of the
    shape of all items or of each of several, or a dict of keys in their order."""
    if isinstance(shape, tuple):
        return any(fits(value, one) for one in shape)
    if isinstance(shape, dict):
        return (isinstance(value, dict) and list(value) == list(shape)
                and all(fits(value[name], shape[name]) for name in shape))
    if isinstance(shape, list):
        row = shape * len(value) if isinstance(value, list) and len(shape) == 1 else shape
        return isinstance(value, list) and len(value) == len(row) and all(map(fits, value, row))
    if isinstance(shape, re.Pattern):
        return isinstance(value, str) and shape.fullmatch(value) is not None
    if not callable(shape):
        return type(value) is type(shape) and value == shape
    try:
        shape(value)
        return True
    except (ValueError, TypeError):
        return False


def check(items, shape):
    value = dict(items)
    wrong = [name for name in shape if not fits(value.get(name), shape[name])]
    if wrong or list(value) != list(shape):
        raise Bad(f"{', '.join(wrong) or 'its keys'} cannot be so")


def check_body(leaf, shape):
    """What follows the common keys in a leaf."""
    check(list(leaf.items())[len(HEAD):], shape)
    names = [log for log, _, _ in leaf["logs"]] if shape is ROOT else []
    if names != sorted(set(names)) or shape is ROOT and not leaf["time"].endswith(":00:00Z"):
        raise Bad("a root of no hour, or whose logs are not sorted")


def parse_leaf(data, shape=None):
    """A leaf; with the shape of what follows the common keys, it has exactly that."""
    try:
        leaf = json.loads(data.decode())
        written = json.dumps(leaf, separators=(",", ":"), ensure_ascii=False) + "\n"
    except RecursionError:
        raise Bad("nested too deep")
    if not isinstance(leaf, dict) or written.encode() != data:
        raise Bad("not as a writer writes it")
    check(list(leaf.items())[:len(HEAD)], HEAD)
    if len(leaf["tree"]) != bin(leaf["sequence"]).count("1"):
        raise Bad("tree has another number of hashes")
    if (leaf["previous"] is None) != (leaf["sequence"] == 0):
        raise Bad("only the first leaf has no previous")
    if shape is not None:
        check_body(leaf, shape)
    return leaf


def sized(data):
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def record_leaf(offset, timestamp, key, headers, value):
    parts = [struct.pack(">qq", offset, timestamp), sized(key), struct.pack(">i", len(headers))]
    for name, content in headers:
        parts += [sized(name), sized(content)]
    return b"".join(parts + [sized(value)])


# --- proofs --------------------------------------------------------------------------------------

Trust = namedtuple("Trust", "keys authorities witnesses")


def check_tlog_proof(proof, leaf, log, keys):
    """The checkpoint (and its note) of the log that a C2SP tlog-proof shows a leaf to be in."""
    top, _, note = proof.partition("\n\n")
    match = re.fullmatch("c2sp.org/tlog-proof@v1\n(extra .*\n)?index ([0-9]{1,16})((\n.+)*)", top)
    if match is None:
        raise Bad("not a tlog-proof")
    point = parse_checkpoint(note.encode(), keys)
    if point.key is None or point.origin != f"{point.key.name}/{log}":
        raise Bad("the checkpoint is of another log, or not signed by a key that was given")
    path = match[3].split("\n")[1:]
    if not is_included(int(match[2]), point.size, leaf_hash(leaf), path, point.root):
        raise Bad("the leaf is not in the tree of the checkpoint")
    return point, note.encode()


def check_record(proof, trust):
    """What the proof of a record shows, in words."""
    if proof["kind"] != "lakeseal-record-proof" or proof["format"] != 1:
        raise Bad("not a proof of a record")
    manifest, record, root = proof["manifest"].encode(), proof["record"], proof["root"]
    leaf, offset = parse_leaf(manifest, MANIFEST), int(record["offset"])
    log = "partition/{cluster}/{topic}/{topicId}/{partition:05d}".format(**proof)
    if leaf["log"] != log:
        raise Bad("the manifest is of another partition")

    def held(content):
        return None if content is None else unb64(content)

    headers = [(name.encode(), held(value)) for name, value in record["headers"]]
    key, value = held(record["key"]), held(record["value"])
    node = leaf_hash(record_leaf(offset, int(record["timestamp"]), key, headers, value))
    place = proof["recordIndex"], leaf["records"]
    if not is_included(*place, node, proof["recordHashes"], leaf["recordsRoot"]):
        raise Bad("the record is not one of those that the manifest tells of")
    if not int(leaf["firstOffset"]) <= offset < int(leaf["nextOffset"]):
        raise Bad("the record is outside the offsets of the manifest")
    point, _ = check_tlog_proof(proof["partitionProof"], manifest, log, trust.keys)
    told = f"{log} offset {offset}: checkpoint of {point.size} manifests, by {point.key.vkey}"
    return told if root is None else told + check_root(root, leaf, leaf_hash(manifest), trust)


def check_root(root, manifest, node, trust):
    """That the root covers the manifest, and what others say of it."""
    leaf = parse_leaf(root["leaf"].encode(), ROOT)
    states = {log: (size, tree) for log, size, tree in leaf["logs"]}
    size, tree = states.get(manifest["log"], (0, ""))
    if not is_included(manifest["sequence"], size, node, root["manifestHashes"], tree):
        raise Bad("the manifest is not in the tree that the root tells of")
    _, note = check_tlog_proof(root["proof"], root["leaf"].encode(), "root", trust.keys)
    told = f", root of {leaf['time']}"
    if root["stamp"] is not None and trust.authorities:
        moment = judge_stamp(note, unb64(root["stamp"]), trust.authorities)
        if not is_timely(moment, seconds(leaf["time"])):
            raise Bad("the time stamp is of another time than its root")
        told += f", time-stamped {moment - seconds(leaf['time'])} s later"
    if root["witness"] is not None and trust.witnesses:
        judge_witnesses(note, root["witness"].encode(), trust.witnesses)
    return told


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """Not with 2, which is a verdict."""
        self.exit(3, f"{self.prog}: error: {message}\n")


def command(parser, work):
    """Adds who is trusted to the options, and exits with what the work on them comes to."""
    parser.add_argument("--key", action="append", help="trusted public key (repeatable)")
    parser.add_argument("--tsa-ca", action="append", default=[], metavar="PEM",
                        help="root of a time stamp authority (repeatable)")
    parser.add_argument("--witness", action="append", default=[], metavar="VKEY",
                        help="public key of a witness (repeatable)")
    options = parser.parse_args()
    try:
        if not options.key:
            raise CannotRun("no public key was given: --key")
        trust = Trust([Key(one) for one in options.key],
                      b"\n".join(map(read_file, options.tsa_ca)),
                      [Key(one, [Key.WITNESS]) for one in options.witness])
        sys.exit(work(options, trust))
    except (CannotRun, ValueError, OSError) as problem:
        print(f"{parser.prog}: error: {problem}", file=sys.stderr)
        sys.exit(3)


def check_file(path, trust):
    data = read_file(path)
    try:
        print("holds: " + check_record(json.loads(data.decode()), trust))
        return 0
    except BROKEN as error:
        print(f"the proof does not hold: {error}")
        return 1


if __name__ == "__main__":
    PARSER = Parser(description="Checks the proof of a record.")
    PARSER.add_argument("file", help="as lakeseal prove writes it")
    command(PARSER, lambda options, trust: check_file(options.file, trust))
