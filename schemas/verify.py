#!/usr/bin/env python3
"""Verifies a copy of a lakeseal archive with the Python standard library and openssl alone.

Written from evidence.md and segment.md beside this file; it shares no code with lakeseal. It reads
a folder whose paths are the keys of the bucket, and trusts nothing but the keys it is given. Uses
two smaller tools beside it: check_proof.py knows what a leaf, a signature, a stamp and the proof of
one record are, read_segment.py what a segment is.

    python3 verify.py DIR --key VKEY [--prefix P] [--from NOTE] [--tsa-ca PEM] [--expect-stamps]
                      [--witness VKEY] [--deep] [--json]
    python3 verify.py --check-proof FILE --key VKEY [--tsa-ca PEM] [--witness VKEY]

Exit codes: 0 verified (or the proof holds), 1 tampered with (or it does not), 2 incomplete or
nothing to verify, 3 could not run.
"""
import functools
import heapq
import json
import os
import re
import sys
from collections import defaultdict, namedtuple
from itertools import groupby

sys.dont_write_bytecode = True
from check_proof import (  # noqa: E402
    BROKEN, LOG, MANIFEST, ROOT, ROTATION, Bad, CannotRun, Key, Parser, b64, check_body, check_file,
    command, is_timely, judge_stamp, judge_witnesses, leaf_hash, node_hash, parse_checkpoint,
    parse_leaf, read_file, record_leaf, seconds, sha256, unb64)
from read_segment import INVALID, Segment  # noqa: E402

INCOMPLETE = ("segment_unsealed", "checkpoint_missing", "stamp_missing", "nothing")
STATEMENTS = ("access", "baseline", "holds", "keys", "wraps")


# --- trees and segments --------------------------------------------------------------------------

class Tree:
    """RFC 6962: the roots of the perfect subtrees of the leaves so far, largest first."""

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


def digest(data, deep):
    """The key that a segment was made for, and what a manifest of it says as far as it tells."""
    segment = Segment(data)
    meta = segment.meta
    texts = ("kind", "firstOffset", "nextOffset", "lastOffset", "timestampMin", "timestampMax")
    told = {name: meta.get(name) for name in texts}
    told.update(records=int(meta["recordCount"]), anomaly=None,
                schemaId=int(meta["schemaId"]) if "schemaId" in meta else None)
    if not deep:
        return segment.key, told
    tree, last, times, events, gap = Tree(), None, [], [], segment.gap()
    for *record, time in segment.records() if gap is None else ():
        tree.append(leaf_hash(record_leaf(*record)))
        last = record[0]
        times.append(record[1])
        events += [] if time is None else [time]
    seen = [tree.size, last, min(times, default=None), max(times, default=None)]
    names = ("records", "lastOffset", "timestampMin", "timestampMax")
    if [str(one) for one in seen] != [str(told[name]) for name in names]:
        raise Bad("its header does not tell of its records")
    least, greatest = (str(of(events)) if events else None for of in (min, max))
    told.update(gap=gap, recordsRoot=b64(tree.root()), eventTimes=len(events),
                eventTimeMin=least, eventTimeMax=greatest)
    return segment.key, told


def check_envelope(data, wanted, slot):
    """What an encrypted segment says in the clear; what is inside takes a key."""
    header = json.loads(data[12:12 + int.from_bytes(data[8:12], "big")])
    told = {"format": 1, "slot": slot, **wanted}
    if data[:8] != b"LAKESEAL" or told != {"kind": "envelope", **header}:
        raise Bad("not the encrypted segment that the manifest tells of")


# --- the folder ----------------------------------------------------------------------------------

def key_of(versions):
    return versions[0]["key"]


def folder_of(version):
    return version["key"].rpartition("/")[0]


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
            place = folder_of(json.loads(line))
            if place != before:
                self.places[place].append(at)
            before, at = place, at + len(line)

    def folders(self, start):
        """Those with keys that begin so."""
        found = set(self.places)
        for path, inner, names in os.walk(self.folder):
            if path == self.folder:
                inner[:] = [name for name in inner if name != "versions"]
            if names:
                found.add(os.path.relpath(path, self.folder).replace(os.sep, "/"))
        return sorted(one for one in found if f"{one}/".startswith(start))

    def files(self, folder):
        """Versions of each key right in this folder, newest first, in the order of the keys."""
        path = os.path.join(self.folder, folder)
        names = sorted(os.listdir(path)) if os.path.isdir(path) else []
        # What lies in the folder beside what was listed came later, and has one version.
        plain = ([{"key": f"{folder}/{name}", "versionId": "", "isLatest": True,
                   "isDeleteMarker": False}]
                 for name in names if os.path.isfile(os.path.join(path, name)))
        listed = (list(same) for _, same in groupby(self.lines(folder), lambda one: one["key"]))
        for _, both in groupby(heapq.merge(listed, plain, key=key_of), key_of):
            yield next(both)

    def lines(self, folder):
        for at in self.places.get(folder, ()):
            with open(self.listing, "rb") as file:
                file.seek(at)
                for line in file:
                    one = {"retention": None, "encryption": None, **json.loads(line)}
                    if folder_of(one) != folder:
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


# --- the archive ---------------------------------------------------------------------------------

FILE = re.compile(r"([0-9]{20})\.(json|note|tsr|witness)")
SEGMENT = re.compile(r"(0[0-9]{19})\.avro")
Rotation = namedtuple("Rotation", "size time old new")


class Verification:
    def __init__(self, archive, trust, stamps_since, deep):
        self.archive, self.trust, self.deep = archive, trust, deep
        self.keys, self.stamps_since = list(trust.keys), stamps_since
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
            self.find("extra_version", key_of(objects), "one version", f"{len(objects)} versions")
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
        # Also of the keys once more: roots and kept checkpoints tell of them, too.
        for log in STATEMENTS:
            for _ in self.walk(log):
                pass
        told = {log: max(sizes) for log, sizes in self.told.items() if max(sizes) > 0}
        for log in sorted(logs | sealed | set(told)):
            if log.startswith("partition/"):
                self.partition(log, log in logs)
                if log not in logs and log in told:
                    where = f"{self.archive.prefix}evidence/{log}/"
                    self.find("truncated", where, f"{told[log]} leaves", "nothing")
        for sequence, wanted in self.covered.items():
            for version in self.roots[sequence]:
                for retention in wanted:
                    self.protection(version, retention)
        if not any(self.sizes.values()):
            self.find("nothing", self.archive.prefix + "evidence/", "evidence", "no leaf")

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
        point = parse_checkpoint(data, self.keys)
        if point.key is None or not point.origin.startswith(point.key.name + "/"):
            raise CannotRun("a checkpoint that was given is not signed by a trusted key")
        log = point.origin[len(point.key.name) + 1:]
        self.told[log].setdefault(point.size, {})[point.root] = "a checkpoint that was kept"

    def numbered(self, log):
        """Number, kind and versions of each file of a log."""
        for versions in self.archive.files(f"{self.archive.prefix}evidence/{log}"):
            match = FILE.fullmatch(key_of(versions).rpartition("/")[2])
            if match is None:
                self.planted(versions)
            else:
                yield int(match[1]), match[2], versions

    def walk(self, log):
        """Judges chain, tree, places and signatures of a log. Gives in order its leaves, its good
        checkpoints and what lies beside these: kind, number, version, leaf or bytes, who signed."""
        tree, previous, broken, signed, told = Tree(), None, False, 0, self.told.get(log, {})
        for count, group in groupby(self.numbered(log), lambda one: one[0]):
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
            broken = broken or data is None
            if data is None:
                continue
            leaf = self.leaf(log, count, version, data, None if broken else (previous, tree))
            if not broken:
                tree.append(leaf_hash(data))
                previous, root = sha256(data).hex(), b64(tree.root())
                for other, by in told.get(tree.size, {}).items():
                    if other != root:
                        self.find("fork", self.key(log, tree.size, "note"), root, f"{by}: {other}")
            if leaf is not None:
                yield "json", count, version, leaf, None
        self.sizes[log] = tree.size
        beyond = [size for size in told if size > tree.size]
        if beyond and not broken:
            self.find("truncated", self.key(log, tree.size, "json"), min(beyond), tree.size)
        if signed < tree.size and not broken:
            self.find("checkpoint_missing", self.key(log, tree.size, "note"), tree.size, signed)

    def leaf(self, log, count, version, data, end):
        """A leaf, None where it is none; one of this place must follow the end of the log."""
        try:
            leaf = parse_leaf(data)
        except ValueError as error:
            return self.find("leaf_invalid", version, "a leaf", error)
        if (leaf["log"], leaf["sequence"]) != (log, count):
            there = f"{leaf['log']} {leaf['sequence']}"
            self.find("leaf_misplaced", version, f"{log} {count}", there)
        elif end is not None:
            previous, tree = end
            if leaf["previous"] != previous:
                self.find("leaf_chain", version, previous, leaf["previous"])
            if leaf["tree"] != [b64(node) for node in tree.hashes]:
                self.find("leaf_tree", version, "the tree of the leaves", "another")
        return leaf

    def checkpoint(self, log, size, version, data, tree):
        """The key that signed it, where all of it is good; no tree: it cannot be told."""
        try:
            origin, told, root, key = parse_checkpoint(data, self.keys)
        except ValueError as error:
            return self.find("checkpoint_invalid", version, "a checkpoint", error)
        if key is None:
            return self.find("checkpoint_signature", version, "that of a trusted key", "none")
        if (origin, told) != (f"{key.name}/{log}", size):
            place = f"{key.name}/{log} {size}"
            return self.find("checkpoint_invalid", version, place, f"{origin} {told}")
        if tree is None:
            return None
        if size != tree.size:
            return self.find("truncated", version, f"{size} leaves", tree.size)
        if root != b64(tree.root()):
            return self.find("checkpoint_root", version, b64(tree.root()), root)
        limit = self.limits.get(key.vkey, {}).get(log, 0)
        if key.vkey in self.limits and log not in ("keys", "root") and size > limit:
            self.find("signed_after_rotation", version, f"{limit} leaves at most", size)
        return key

    def key_log(self):
        pending = None
        for kind, count, version, leaf, key in self.walk("keys"):
            if kind == "json":
                if pending is not None:
                    self.find("key_rotation", version, "the old key's consent", "no checkpoint")
                pending = self.rotation(version, leaf)
            elif kind == "note" and pending and (count, key.vkey) == (pending.size, pending.old):
                self.rotated[pending.old] = pending.time
                if pending.new.vkey not in [one.vkey for one in self.keys]:
                    self.keys.append(pending.new)
                pending = None

    def rotation(self, version, leaf):
        """What takes effect once the old key has signed the checkpoint of that size."""
        try:
            check_body(leaf, ROTATION)
            old, new = Key(leaf["from"]), Key(leaf["to"])
            signed = f"lakeseal key {new.name}\n{leaf['from']}\n{leaf['to']}\n"
            if old.name != new.name or not new.signed(signed.encode(), unb64(leaf["proof"])):
                raise Bad("the new key did not sign its taking over")
            if old.vkey in self.rotated or old.vkey not in [key.vkey for key in self.keys]:
                raise Bad("it is not from the key in force")
        except ValueError as error:
            return self.find("key_rotation", version, "a rotation", error)
        return Rotation(leaf["sequence"] + 1, seconds(leaf["time"]), old.vkey, new)

    def root_log(self):
        before, unstamped, note = None, [], b""
        for kind, count, version, data, key in self.walk("root"):
            hour = None if before is None else seconds(before["time"])
            if kind == "json":
                self.roots[data["sequence"]].append(version)
                before = self.root(version, data, before)
            elif kind == "note":
                self.roots[count - 1].append(version)
                note = data
                since = self.stamps_since
                if None not in (since, hour) and (since == "first" or hour >= since):
                    unstamped.append((version["key"], hour))
                if hour is not None and hour > self.rotated.get(key.vkey, hour) + 3600:
                    self.find("signed_after_rotation", version, "its successor's", key.vkey)
            elif kind == "tsr" and self.trust.authorities:
                unstamped = self.stamp(version, note, data, hour, unstamped)
            elif kind == "witness" and self.trust.witnesses:
                try:
                    judge_witnesses(note, data, self.trust.witnesses)
                except ValueError as error:
                    self.find("witness_invalid", version, "signatures of witnesses", error)
        self.stamp_missing(unstamped)

    def root(self, version, leaf, before):
        """The leaf of a root, or where it is none the one before."""
        try:
            check_body(leaf, ROOT)
        except ValueError as error:
            self.find("leaf_invalid", version, "a root", error)
            return before
        sizes = {log: size for log, size, _ in leaf["logs"]}
        if before is not None and leaf["time"] <= before["time"]:
            self.find("root_order", version, f"a time after {before['time']}", leaf["time"])
        for log, size, _ in before["logs"] if before is not None else ():
            if sizes.get(log, -1) < size:
                self.find("root_order", version, f"{log} of {size} at least", sizes.get(log))
        for vkey, rotated in self.rotated.items():
            behind = seconds(leaf["time"]) - rotated
            if behind > 0 and (behind <= 86400 or vkey not in self.limits):
                self.limits[vkey] = sizes
        for log, size, root in leaf["logs"]:
            self.told[log].setdefault(size, {}).setdefault(root, f"root of {leaf['time']}")
            self.rooted[log].setdefault(size, leaf["sequence"])
        return leaf

    def stamp(self, version, note, answer, hour, unstamped):
        """Checkpoints, with their hours, that are still without a stamp behind this one."""
        try:
            moment = judge_stamp(note, answer, self.trust.authorities)
        except BROKEN as error:
            self.find("stamp_invalid", version, "a stamp of this checkpoint", error)
            return unstamped
        if hour is not None and not is_timely(moment, hour):
            self.find("stamp_time", version, f"within a day after {hour}", moment)
            return unstamped
        if self.stamps_since == "first":
            unstamped, self.stamps_since = [], 0
        self.stamp_missing(one for one in unstamped if not is_timely(moment, one[1]))
        return []

    def stamp_missing(self, unstamped):
        for key, _ in unstamped:
            self.find("stamp_missing", key, "a stamp within a day, over it or a later root", "none")

    def partition(self, log, has_log):
        """Its manifests, and beside them its segments, which are in the same order."""
        folder = f"{self.archive.prefix}data{log[len('partition'):]}"
        segments = self.archive.files(folder)
        segment, following, sealed, unsealed = next(segments, None), 0, None, []
        for kind, _, version, leaf, _ in self.walk(log) if has_log else ():
            if kind == "note":
                self.protection(version, sealed)
            if kind != "json":
                continue
            try:
                check_body(leaf, MANIFEST)
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
            root = self.rooted[log].get(leaf["sequence"] + 1)
            if root is not None and sealed not in self.covered[root]:
                self.covered[root].append(sealed)
            key = f"{folder}/{first:020d}.avro"
            while segment is not None and key_of(segment) < key:
                self.planted(segment)
                segment = next(segments, None)
            if segment is not None and key_of(segment) == key:
                self.segment(leaf, key, self.only(segment))
                segment = next(segments, None)
            else:
                self.segment(leaf, key, None)
        while segment is not None:
            match = SEGMENT.fullmatch(key_of(segment)[len(folder) + 1:])
            if match and (not has_log or following is not None and int(match[1]) >= following):
                self.only(segment)
                unsealed.append(key_of(segment))
            else:
                self.planted(segment)
            segment = next(segments, None)
        if unsealed:
            told = f"{len(unsealed)} segments without"
            self.find("segment_unsealed", unsealed[0], "a manifest of each", told)

    def protection(self, version, sealed):
        """Evidence is protected as the segment is that it speaks of."""
        if weaker(version, sealed):
            self.find("retention_differs", version, sealed, version["retention"])

    def segment(self, leaf, key, version):
        data = None if version is None else self.archive.read(version)
        if data is None:
            return self.find("segment_missing", version or key, f"{leaf['bytes']} bytes", "nothing")
        sealed, stored = (leaf["bytes"], leaf["sha256"]), (len(data), sha256(data).hex())
        if stored != sealed:
            return self.find("segment_altered", version, sealed, stored)
        for code in weaker(version, leaf["retention"]):
            self.find(code, version, leaf["retention"], version["retention"])
        now, wanted = version.get("encryption"), leaf["encryption"]
        try:
            if wanted is not None and wanted["kind"] == "envelope":
                return check_envelope(data, wanted, key[len(self.archive.prefix):])
            if wanted is not None and now not in (None, wanted):
                self.find("encryption_differs", version, wanted, now)
            place, told = digest(data, self.deep)
        except INVALID as error:
            return self.find("segment_invalid", version, "a segment", error)
        except NotImplementedError as error:
            raise CannotRun(f"{key}: {error}: verify without --deep")
        if self.archive.prefix + place != key:
            self.find("segment_differs", version, key, place)
        for name, value in told.items():
            if leaf[name] != value:
                self.find("segment_differs", version, f"{name} {leaf[name]}", f"{name} {value}")


def weaker(version, sealed):
    """Codes of how the version is protected less, as far as the store told, than was sealed."""
    if sealed is None or "retention" not in version:
        return []
    now = version["retention"]
    if now is None:
        return ["retention_missing"]
    codes = ["retention_mode"] if sealed["mode"] == "COMPLIANCE" != now["mode"] else []
    return codes + ["retention_short"] * (seconds(now["until"]) < seconds(sealed["until"]))


# --- the command ---------------------------------------------------------------------------------

def notes_in(path):
    """The checkpoint, or all that lie in the folder."""
    if not os.path.isdir(path):
        return [read_file(path)]
    names = sorted(name for name in os.listdir(path) if name.endswith(".note"))
    if not names:
        raise CannotRun(f"there is no checkpoint (.note) in {path}")
    return [read_file(os.path.join(path, name)) for name in names]


def verify(options, trust):
    """The exit code, with the findings printed."""
    if options.check_proof is not None:
        return check_file(options.check_proof, trust)
    if options.folder is None:
        raise CannotRun("name a copy of the archive")
    since = 0 if options.expect_stamps else None
    if options.stamps_since is not None:
        first = options.stamps_since == "first"
        since = "first" if first else seconds(options.stamps_since)
    if since is not None and not trust.authorities:
        raise CannotRun("time stamps are expected, but of no authority: --tsa-ca")
    archive = Archive(options.folder, options.prefix)
    verification = Verification(archive, trust, since, options.deep)
    verification.run([note for path in options.kept for note in notes_in(path)])
    findings = list(verification.findings.values())
    classes = {one["class"] for one in findings}
    code = 1 if "tampered" in classes else 2 if classes else 0
    if options.json:
        told = {"exitCode": code, "sizes": verification.sizes, "findings": findings}
        print(json.dumps(told, indent=2))
        return code
    for one in findings:
        print(("%(class)s: %(code)s: %(key)s %(versionId)s" % one).rstrip())
        print("  expected  %(expected)s\n  found     %(found)s" % one)
    print(["VERIFIED", "TAMPERED", "INCOMPLETE"][code])
    if not archive.listed:
        print("Not checked, without versions.jsonl: versions, markers, retention, encryption")
    return code


def parser():
    made = Parser(description="Verifies a copy of a lakeseal archive, or a proof.")
    made.add_argument("folder", nargs="?", help="a copy of the bucket")
    made.add_argument("--prefix", default="", help="key prefix of the archive in the bucket")
    made.add_argument("--from", dest="kept", action="append", default=[], metavar="NOTE",
                      help="a checkpoint kept elsewhere, or a folder of them (repeatable)")
    made.add_argument("--expect-stamps", action="store_true",
                      help="a root that no stamp covers within a day is a finding")
    made.add_argument("--stamps-since", metavar="TIME",
                      help="the same of roots from then on, or from the first that is stamped")
    made.add_argument("--deep", action="store_true", help="read every record")
    made.add_argument("--check-proof", metavar="FILE", help="check the proof of a record")
    made.add_argument("--json", action="store_true", help="findings as JSON")
    return made


if __name__ == "__main__":
    command(parser(), verify)
