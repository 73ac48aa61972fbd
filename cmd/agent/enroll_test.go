package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/serve"
	"upsedge/internal/cloud/store"
	"upsedge/internal/ups/upssim"
)

// free returns an address that nobody listens at.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A cloudHere is a whole cloud, with an owner of whom tokens are had.
type cloudHere struct {
	t     testing.TB
	url   string
	db    *store.DB
	owner *authority.Authority
	ada   cloud.Actor
	end   func() // ends it before the test's end
}

func newCloud(t testing.TB) *cloudHere {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	cfg, err := serve.Parse("cloud.yaml", []byte("data_dir: "+t.TempDir()+"\nname: 127.0.0.1\nhttps: {listen: \""+free(t)+"\"}\nmqtt: {listen: \""+free(t)+"\"}\nmetrics: {listen: \"\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Init(cfg.DataDir, []string{"127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	s, err := serve.Open(ctx, cfg, "test", slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	end := sync.OnceFunc(func() {
		stop()
		<-done
	})
	t.Cleanup(end)
	c := &cloudHere{t: t, url: cfg.URL, end: end, ada: cloud.Actor{Ref: "u_ada", Account: "a_ada", Org: "o_ada", Request: "r_1"}}
	if c.db, err = store.Open(ctx, cfg.Database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.db.Close() })
	if c.owner, err = authority.Open(cfg.DataDir, authority.Options{DB: c.db}); err != nil {
		t.Fatal(err)
	}
	return c
}

// write works in the cloud's database.
func (c *cloudHere) write(do func(ctx context.Context, tx *store.Tx) error) {
	c.t.Helper()
	if err := c.db.Write(context.Background(), do); err != nil {
		c.t.Fatal(err)
	}
}

// token is a new one for a box.
func (c *cloudHere) token() (text string) {
	c.t.Helper()
	c.write(func(ctx context.Context, tx *store.Tx) error {
		token, err := c.owner.IssueToken(ctx, tx, c.ada, "cellar")
		if err == nil {
			text = token.Text
		}
		return err
	})
	return text
}

// count is what a query counts.
func (c *cloudHere) count(query string, args ...any) (n int) {
	c.t.Helper()
	if err := c.db.Read(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		return tx.QueryRow(ctx, query, args...).Scan(&n)
	}); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// TestEDGE14ARunningAgentIsEnrolledAndRemoved: the whole cloud, the built agent, and the command of an installer between them: the agent is
// connected without a restart, and the cloud knows its unit. Then the agent is removed: told in one line, and polling goes on.
func TestEDGE14ARunningAgentIsEnrolledAndRemoved(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	token := c.token()
	addr := listen(t, one(upssim.New(upssim.Options{Seed: 1})))
	p := newPlace(t, "spool: {flush: 200ms}\nunits: # of the cellar\n  - {name: rack-a, tcp: {address: \""+addr+"\"}}\n")
	agent := p.start()
	agent.showing(`ups_up{ups="rack-a"}`, "1")
	out, words, code := p.upsagent("enroll", "--cloud", c.url, "--token", token)
	if code != 0 || !strings.Contains(out, "the running agent connects now") {
		t.Fatalf("enroll: %d %s %s", code, out, words)
	}
	agent.showing("upsagent_mqtt_connected", "1")
	agent.await("the uplink leads elsewhere now")
	until(t, "its unit in the cloud", func() bool { return c.count(`SELECT COUNT(*) FROM sightings`) == 1 }, nil)
	if _, words, code := p.upsagent("enroll", "--cloud", c.url, "--token", token); code != 2 || !strings.Contains(words, "already") {
		t.Errorf("enrolled twice: %d %s", code, words)
	}

	id := strings.Fields(out)[4]
	c.write(func(ctx context.Context, tx *store.Tx) error { return c.owner.Revoke(ctx, tx, c.ada, id) })
	agent.await("alarm=824")
	agent.showing(`ups_up{ups="rack-a"}`, "1")
	if code := agent.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	log := agent.log.String()
	if strings.Contains(log, token) || strings.Contains(log, "PRIVATE") {
		t.Error("a secret is in the log (T-61)")
	}
	if text, _ := os.ReadFile(p.file); !strings.Contains(string(text), "# of the cellar") {
		t.Errorf("the comment is gone: %s", text)
	}
}
