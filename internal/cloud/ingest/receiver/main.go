// Command receiver is the receiving end of the uplink as a process of its own: it stores what agents publish on a broker, and
// acknowledges it. Tests start, kill and ask it; it is not shipped, its parts will be in the cloud.
//
//	receiver --broker tcp://127.0.0.1:1883 --dir DIR --key FILE
//
// It prints "ready" each time the broker has confirmed its subscriptions. Exit codes: 0 after SIGINT or SIGTERM, 1 failed, 2 usage.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

type options struct {
	broker, dir, id, key     string
	ca, cert, certKey, level string
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	broker, err := url.Parse(o.broker)
	if err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.level)); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	cfg := ingest.ConsumerConfig{
		Broker: broker, ClientID: o.id, Log: log,
		Ready: func() { fmt.Println("ready") },
	}
	if broker.Scheme == "tls" {
		if cfg.TLS, err = tlsConfig(o); err != nil {
			return err
		}
	}
	if broker.Scheme != "tcp" && broker.Scheme != "tls" || broker.Host == "" {
		return fmt.Errorf("--broker %s: want tls://host:port or tcp://host:port", o.broker)
	}
	in := ingest.Options{Log: log}
	if o.key != "" {
		if in.Statement, err = statements(o.key); err != nil {
			return err
		}
	}
	db, err := store.Open(ctx, store.Config{DSN: filepath.Join(o.dir, "cloud.db"), Log: log})
	if err != nil {
		return err
	}
	return errors.Join(ingest.NewConsumer(ingest.New(db, in), cfg).Run(ctx), db.Close())
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("receiver", flag.ContinueOnError)
	f.StringVar(&o.broker, "broker", "tcp://127.0.0.1:1883", "tls://host:port, or tcp:// to this machine")
	f.StringVar(&o.dir, "dir", "", "directory of the database, made if need be")
	f.StringVar(&o.key, "key", "", "file of the keys that answer a session, made if need be; FILE.cloud_root is what agents pin. None: no answer")
	f.StringVar(&o.id, "client-id", "upsedge-receiver", "name under which the broker keeps the session")
	f.StringVar(&o.ca, "ca", "", "file of the authority that signed the broker's certificate (PEM)")
	f.StringVar(&o.cert, "cert", "", "file of the client certificate (PEM)")
	f.StringVar(&o.certKey, "cert-key", "", "file of its key (PEM)")
	f.StringVar(&o.level, "log", "info", "debug, info, warn or error")
	if f.Parse(args) != nil {
		return o, errUsage
	}
	if o.dir == "" || f.NArg() > 0 {
		f.Usage()
		return o, errUsage
	}
	return o, nil
}

func tlsConfig(o options) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", o.ca)
		}
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.certKey)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
