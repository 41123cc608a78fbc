// Checks what an archive shows with the tools of others alone: signed notes of golang.org/x/mod,
// checkpoints, cosignatures and tlog-proofs of transparency-dev/formats, Merkle proofs of
// transparency-dev/merkle and of golang.org/x/mod. Reads one JSON object, answers with one line per
// check: its name and `ok` or what is wrong.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/transparency-dev/formats/log"
	cosigned "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type question struct {
	Vkey, Witness, Origin string
	First, Second         string // checkpoints
	Cosigned              string // a checkpoint with a signature line of the witness
	Proof                 string // tlog-proof of the leaf
	Leaf                  []byte
	Consistency           [][]byte // from First to Second
}

func say(name string, err error) {
	if err != nil {
		fmt.Printf("%s: %v\n", name, err)
		return
	}
	fmt.Printf("%s: ok\n", name)
}

func open(q question, text string) (*log.Checkpoint, error) {
	key, err := note.NewVerifier(q.Vkey)
	if err != nil {
		return nil, err
	}
	checkpoint, _, _, err := log.ParseCheckpoint([]byte(text), q.Origin, key)
	return checkpoint, err
}

func witnessed(q question) error {
	witness, err := cosigned.NewVerifierForCosignatureV1(q.Witness)
	if err != nil {
		return err
	}
	_, err = note.Open([]byte(q.Cosigned), note.VerifierList(witness))
	return err
}

func included(q question) error {
	var given proof.TLogProof
	if err := given.Unmarshal([]byte(q.Proof)); err != nil {
		return err
	}
	checkpoint, err := open(q, string(given.Checkpoint))
	if err != nil {
		return err
	}
	hashes := make([][]byte, len(given.Hashes))
	record := make(tlog.RecordProof, len(given.Hashes))
	for at, hash := range given.Hashes {
		hashes[at], record[at] = hash[:], tlog.Hash(hash)
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(q.Leaf)
	err = merkle.VerifyInclusion(rfc6962.DefaultHasher, given.Index, checkpoint.Size, leaf, hashes, checkpoint.Hash)
	if err != nil {
		return err
	}
	root := tlog.Hash(checkpoint.Hash)
	return tlog.CheckRecord(record, int64(checkpoint.Size), root, int64(given.Index), tlog.RecordHash(q.Leaf))
}

func continued(q question) error {
	first, err := open(q, q.First)
	if err != nil {
		return err
	}
	second, err := open(q, q.Second)
	if err != nil {
		return err
	}
	err = merkle.VerifyConsistency(rfc6962.DefaultHasher, first.Size, second.Size, q.Consistency, first.Hash, second.Hash)
	if err != nil {
		return err
	}
	tree := make(tlog.TreeProof, len(q.Consistency))
	for at, hash := range q.Consistency {
		tree[at] = tlog.Hash(hash)
	}
	return tlog.CheckTree(tree, int64(second.Size), tlog.Hash(second.Hash), int64(first.Size), tlog.Hash(first.Hash))
}

func main() {
	var q question
	if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, err := open(q, q.Second)
	say("checkpoint", err)
	say("inclusion", included(q))
	say("consistency", continued(q))
	say("cosignature", witnessed(q))
}
