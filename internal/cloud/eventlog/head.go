package eventlog

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"upsedge/internal/cloud/store"
)

// A Head says how far a chain had come. Signed and in somebody else's hands it shows whether what stood below it was altered since (T-86).
type Head struct {
	Chain  string
	Epoch  uint32
	Number int64
	Hash   Hash
	At     time.Time // when it was signed
}

type headJSON struct {
	V       int    `json:"v"`
	Purpose string `json:"purpose"`
	Chain   string `json:"chain"`
	Epoch   uint32 `json:"epoch"`
	Number  int64  `json:"number"`
	Hash    string `json:"hash"`
	At      string `json:"at"`
}

// Purpose is that of signatures over heads.
const Purpose = "log"

func (h Head) payload() []byte {
	b, _ := json.Marshal(headJSON{1, Purpose, h.Chain, h.Epoch, h.Number, hex.EncodeToString(h.Hash[:]), stamp(h.At)}) // texts and numbers
	return b
}

// ParseHead reads what was signed. Only the form that this package writes is one.
func ParseHead(payload []byte) (h Head, err error) {
	var j headJSON
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&j); err != nil {
		return h, fmt.Errorf("head of the event log: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return h, errors.New("head of the event log: something stands behind it")
	}
	h = Head{Chain: j.Chain, Epoch: j.Epoch, Number: j.Number}
	hash, err := hex.DecodeString(j.Hash)
	if err != nil || copy(h.Hash[:], hash) != len(h.Hash) {
		return h, errors.New("head of the event log: its hash is none")
	}
	if h.At, err = time.Parse(timeLayout, j.At); err != nil || !bytes.Equal(h.payload(), payload) {
		return h, errors.New("head of the event log: not of this version")
	}
	return h, nil
}

// A Signer signs heads: each hour those of chains that have grown, and one whenever somebody is handed a copy.
type Signer struct {
	sign func(payload []byte) (jws string, err error)
	now  func() time.Time
	log  *slog.Logger
}

// NewSigner returns a Signer. sign makes a compact JWS with the cloud's key; nil for now and log: time.Now, and nothing is logged.
func NewSigner(sign func(payload []byte) (string, error), now func() time.Time, log *slog.Logger) *Signer {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Signer{sign, now, log}
}

// Current returns the signed head of a chain as it is now; "" where it has no entry.
func (s *Signer) Current(ctx context.Context, tx *store.Tx, chain string) (string, error) {
	h := Head{Chain: chain, At: s.now()}
	var epoch int64
	var hash []byte
	err := tx.QueryRow(ctx, `SELECT epoch, n, hash FROM event_heads WHERE chain = $1`, chain).Scan(&epoch, &h.Number, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("event log: head of %s: %w", chain, err)
	}
	h.Epoch = uint32(epoch)
	copy(h.Hash[:], hash)
	return s.sign(h.payload())
}

// Bounds of the hourly round.
const (
	signEvery = time.Hour
	signBatch = 20 // heads in one transaction: who appends to one of them meanwhile waits or goes again
)

// Round signs the heads of all chains that have grown since they were signed last, and keeps the signatures.
func (s *Signer) Round(ctx context.Context, db *store.DB) error {
	for last := ""; ; {
		var chains []string
		err := db.Read(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
			chains, err = tx.Texts(ctx, `SELECT chain FROM event_heads WHERE n > signed AND chain > $1 ORDER BY chain LIMIT $2`, last, signBatch)
			return err
		})
		if err != nil || len(chains) == 0 {
			return err
		}
		if err := db.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return s.keep(ctx, tx, chains) }); err != nil {
			return err
		}
		last = chains[len(chains)-1]
	}
}

func (s *Signer) keep(ctx context.Context, tx *store.Tx, chains []string) error {
	for _, chain := range chains {
		jws, err := s.Current(ctx, tx, chain)
		if err != nil || jws == "" {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO event_signatures (chain, n, at, signature) SELECT chain, n, $1, $2 FROM event_heads WHERE chain = $3
			ON CONFLICT (chain, n) DO NOTHING`, s.now().UnixMilli(), jws, chain)
		if err == nil {
			_, err = tx.Exec(ctx, `UPDATE event_heads SET signed = n WHERE chain = $1`, chain)
		}
		if err != nil {
			return fmt.Errorf("event log: signature of %s: %w", chain, err)
		}
	}
	return nil
}

// Run signs each hour until ctx ends, which is no error, and once when it begins.
func (s *Signer) Run(ctx context.Context, db *store.DB) error {
	tick := time.NewTicker(signEvery)
	defer tick.Stop()
	for {
		if err := s.Round(ctx, db); err != nil && ctx.Err() == nil {
			s.log.Error("heads of the event log were not signed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// unchecked returns the payload of a compact JWS without a look at its signature.
func unchecked(jws string) ([]byte, error) {
	parts := strings.Split(jws, ".")
	if len(parts) != 3 {
		return nil, errors.New("it is no compact JWS")
	}
	return base64.RawURLEncoding.DecodeString(parts[1])
}
