package enroll_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/api"
	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/store"
	"upsedge/internal/config"
	"upsedge/internal/enroll"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A realm is a cloud that enrols: its real authority and HTTP interface, over real TLS.
type realm struct {
	*authority.Authority
	t   testing.TB
	dir string
	db  *store.DB
	url string

	mu   sync.Mutex
	t0   time.Time // the cloud's time; zero: the machine's
	lose bool      // answers get lost
	seen int       // requests
}

func (r *realm) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.t0.IsZero() {
		return time.Now()
	}
	return r.t0
}

func (r *realm) set(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.t0 = at
}

func (r *realm) loseAnswers(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lose = on
}

func (r *realm) requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

func newRealm(t testing.TB, db *store.DB) *realm {
	t.Helper()
	return newRealmAt(t, db, time.Time{})
}

func newRealmAt(t testing.TB, db *store.DB, at time.Time) *realm {
	t.Helper()
	r := &realm{t: t, dir: t.TempDir(), db: db, t0: at}
	_, err := authority.Init(r.dir, []string{"127.0.0.1", "localhost"})
	must(t, err)
	r.Authority, err = authority.Open(r.dir, authority.Options{DB: db, Brokers: []string{"tls://127.0.0.1:8883"}, Now: r.now})
	must(t, err)
	a, err := api.New(api.Config{DB: db, Now: r.now, Agents: r.Authority, Authenticate: func(*http.Request) (cloud.Actor, error) {
		return cloud.Actor{}, cloud.Refuse(policy.Unauthenticated, "sign in first")
	}})
	must(t, err)
	h := a.Handler()
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), TLSConfig: r.ServerTLS(), Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		lose := r.lose
		r.seen++
		r.mu.Unlock()
		if lose {
			h.ServeHTTP(httptest.NewRecorder(), q)
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, q)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r.url = "https://" + l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(l, "", "") }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return r
}

var ada = cloud.Actor{Ref: "u_ada", Account: "a_ada", Org: "o_ada", Request: "r_1"}

func (r *realm) token(org string) string {
	r.t.Helper()
	var token *authority.Token
	actor := ada
	actor.Org = org
	must(r.t, r.db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) (err error) {
		token, err = r.IssueToken(ctx, tx, actor, "cellar")
		return err
	}))
	return token.Text
}

func (r *realm) agents(org string) (ids []string) {
	r.t.Helper()
	must(r.t, r.db.Read(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		list, err := r.List(ctx, tx, org, nil, 100)
		ids = nil
		for _, g := range list {
			ids = append(ids, g.ID)
		}
		return err
	}))
	return ids
}

// A box is a state directory and a configuration.
type box struct {
	t           testing.TB
	state, conf string
	time        enroll.Time
}

func newBox(t testing.TB) *box {
	t.Helper()
	b := &box{t: t, state: filepath.Join(t.TempDir(), "state"), conf: filepath.Join(t.TempDir(), "agent.yaml")}
	must(t, os.Mkdir(b.state, 0o700))
	must(t, os.WriteFile(b.conf, []byte("# of the cellar\nstate_dir: "+b.state+"\n"), 0o640))
	return b
}

func optionsOf(conf, cloud, token string) (o enroll.Options, err error) {
	cfg, err := config.Load(conf)
	if err != nil {
		return o, err
	}
	written := func(u enroll.Uplink) config.Uplink {
		return config.Uplink{Broker: u.Broker, CAFile: u.CAFile, CertFile: u.CertFile, KeyFile: u.KeyFile}
	}
	o = enroll.Options{
		StateDir:  cfg.StateDir,
		Check:     func(u enroll.Uplink) error { return config.CheckSetUplink(conf, written(u)) },
		Configure: func(u enroll.Uplink) error { return config.SetUplink(conf, written(u)) },
		Time:      func() (time.Time, bool) { return time.Now(), true },
	}
	if o.Cloud, err = enroll.ParseCloud(cloud); err != nil {
		return o, err
	}
	if o.Token, err = trust.ParseToken(token); err != nil {
		return o, err
	}
	if u := cfg.Uplink; u != nil {
		o.Present = enroll.Uplink{Broker: u.Broker, CAFile: u.CAFile, CertFile: u.CertFile, KeyFile: u.KeyFile}
	}
	return o, nil
}

func (b *box) enrol(cloud, token string, with ...func(*enroll.Options)) (*enroll.Done, error) {
	b.t.Helper()
	o, err := optionsOf(b.conf, cloud, token)
	must(b.t, err)
	if b.time != nil {
		o.Time = b.time
	}
	for _, f := range with {
		f(&o)
	}
	return enroll.Enroll(b.t.Context(), o)
}

func force(o *enroll.Options) { o.Force = true }

// whole fails unless the box is what the configuration says: nothing, or an agent with all that it needs.
func (b *box) whole() (agent string) {
	b.t.Helper()
	cfg, err := config.Load(b.conf)
	must(b.t, err)
	if text, _ := os.ReadFile(b.conf); !strings.Contains(string(text), "# of the cellar") {
		b.t.Errorf("the installer's comment is gone: %s", text)
	}
	if cfg.Uplink == nil {
		return ""
	}
	agent, err = enroll.Present(cfg.StateDir, cfg.Uplink.CertFile)
	if err != nil || !trust.Enrolled(b.state) {
		b.t.Errorf("the configuration has an uplink, and: %v, root pinned %v", err, trust.Enrolled(b.state))
	}
	if _, err := trust.LoadRoot(b.state); err != nil {
		b.t.Error(err)
	}
	for _, f := range []string{cfg.Uplink.CAFile, cfg.Uplink.CertFile, cfg.Uplink.KeyFile} {
		if _, err := os.Stat(f); err != nil {
			b.t.Error(err)
		}
	}
	return agent
}

// modes fails where others can read what is below the state directory.
func (b *box) modes() {
	b.t.Helper()
	must(b.t, filepath.WalkDir(b.state, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err == nil && fi.Mode().Perm()&0o077 != 0 {
			b.t.Errorf("%s has mode %v", path, fi.Mode())
		}
		return err
	}))
}

// TestMain is also the child that enrols and kills itself.
func TestMain(m *testing.M) {
	if conf := os.Getenv("UPSEDGE_TEST_ENROLL"); conf != "" {
		os.Exit(child(conf))
	}
	os.Exit(m.Run())
}

func child(conf string) int {
	o, err := optionsOf(conf, os.Getenv("UPSEDGE_TEST_CLOUD"), os.Getenv("UPSEDGE_TEST_TOKEN"))
	if err != nil {
		panic(err)
	}
	o.Force = os.Getenv("UPSEDGE_TEST_FORCE") != ""
	o.Step = func(name string) {
		fmt.Println(name)
		if name == os.Getenv("UPSEDGE_TEST_DIE") {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	if _, err := enroll.Enroll(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
