package authority

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"time"

	"upsedge/internal/cloud/store"
)

// Options are what an Authority works with. DB and Brokers are needed for agents, nothing for signing alone.
type Options struct {
	DB *store.DB
	// Names are those of our own server's certificate; none: those it was made with. They are not used beside CertFile.
	Names             []string
	CertFile, KeyFile string   // of a certificate from elsewhere for our server; read again when they were replaced
	Brokers           []string // what agents are told, tls://host:port
	// Ended is told, behind the commit, of an agent that is one no more: its connections are to end (T-01).
	Ended func(agent string)
	// Removed is told in the transaction that removes an agent: what rests on it ends with it. nil: nothing does.
	Removed func(ctx context.Context, tx *store.Tx, agent string) error
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: nothing is logged
}

// An Authority says who is who. Use Open.
type Authority struct {
	o       Options
	dir     string
	issuer  *issuer
	root    ed25519.PublicKey
	guesses *guesses

	mu         sync.Mutex
	online     *online
	onlineFile os.FileInfo

	serverMu sync.Mutex
	server   *tls.Certificate
	looked   time.Time
}

// Open reads what Init has made. root.key is not needed.
func Open(dir string, o Options) (*Authority, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, b := range o.Brokers {
		if u, err := url.Parse(b); err != nil || u.Scheme != "tls" || u.Hostname() == "" || u.Port() == "" || u.Path != "" {
			return nil, fmt.Errorf("broker %q is not like tls://cloud.example:8883", b)
		}
	}
	a := &Authority{o: o, dir: dir, guesses: newGuesses()}
	err := a.open()
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; `upscloud init` makes the keys", err)
	}
	if err != nil {
		return nil, fmt.Errorf("keys of the cloud: %w", err)
	}
	return a, nil
}

func (a *Authority) open() (err error) {
	if a.issuer, err = openIssuer(a.dir); err != nil {
		return err
	}
	if a.root, err = loadRoot(a.dir); err != nil {
		return err
	}
	if _, err = a.signer(); err != nil {
		return err
	}
	if _, err = a.serverCertificate(); err != nil {
		return err
	}
	if _, err := os.Stat(a.path(rootKeyFile)); err == nil {
		a.o.Log.Warn("the root key is still on this machine; keep it elsewhere: nothing but key rotate needs it", "file", a.path(rootKeyFile))
	}
	return nil
}
