package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"upsedge/internal/cloud/front"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
)

// cloudArgument makes this program a cloud of front, ingest and SQLite, without what rests on them.
const cloudArgument = "be-the-cloud"

// A cloudSays is what the cloud under test tells of itself: first its address, then, for each line it reads, what is in memory.
type cloudSays struct {
	Address    string `json:"address,omitempty"`
	Heap       int64  `json:"heap"`   // live bytes behind a collection
	Stacks     int64  `json:"stacks"` // bytes of goroutines
	Goroutines int    `json:"goroutines"`
	Commits    int64  `json:"commits"` // batches
	Messages   uint64 `json:"messages"`
}

// runCloud is the cloud until SIGTERM, with its database in dir. With a profile it writes cpu.pprof and heap.pprof there.
func runCloud(dir, profile string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	db, err := store.Open(ctx, store.Config{DSN: filepath.Join(dir, "cloud.db")})
	if err != nil {
		return err
	}
	defer db.Close()
	var f *front.Front
	var commits atomic.Int64
	r := ingest.New(db, ingest.Options{})
	group := ingest.NewGroup(r, func(list []ingest.Answer) { commits.Add(1); f.Deliver(list) })
	i, err := readIssuer(dir)
	if err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"))
	if err != nil {
		return err
	}
	f, err = front.New(front.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: i.pool}, Ingest: group,
		Authorize: func(c *x509.Certificate) (string, error) { return c.Subject.CommonName, nil },
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if profile != "" {
		cpu, err := os.Create(filepath.Join(profile, "cloud-cpu.pprof"))
		if err != nil {
			return err
		}
		defer cpu.Close()
		if err := pprof.StartCPUProfile(cpu); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	var g errgroup.Group
	keeping, end := context.WithCancel(context.Background())
	g.Go(func() error { return group.Run(keeping) })
	g.Go(func() error { defer end(); return f.Run(ctx, l) })
	say := json.NewEncoder(os.Stdout)
	if err := say.Encode(cloudSays{Address: l.Addr().String()}); err != nil {
		return err
	}
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			if profile != "" {
				_ = snapshots(profile) // the parent looks for them
			}
			debug.FreeOSMemory()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if say.Encode(cloudSays{Heap: int64(m.HeapAlloc), Stacks: int64(m.StackInuse), Goroutines: runtime.NumGoroutine(), Commits: commits.Load(), Messages: f.Stats().Acknowledged}) != nil {
				return
			}
		}
	}()
	if err := g.Wait(); err != nil {
		return fmt.Errorf("the cloud: %w", err)
	}
	return nil
}
