package enroll_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/enroll"
)

func open(t testing.TB) *store.DB { return storetest.Open(t, storetest.SQLite(t)) }

func TestEDGE14ATokenMakesAnAgentOfABox(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r, b := newRealm(t, db), newBox(t)
		done, err := b.enrol(r.url, r.token("o_ada"))
		must(t, err)
		if got := b.whole(); got != done.Agent || !slices.Equal(r.agents("o_ada"), []string{got}) {
			t.Errorf("the box is %q, was enrolled as %q, and the cloud has %q", got, done.Agent, r.agents("o_ada"))
		}
		b.modes()
		var present *enroll.PresentError
		if _, err := b.enrol(r.url, r.token("o_ada")); !errors.As(err, &present) || !strings.Contains(err.Error(), done.Agent) {
			t.Errorf("enrolled twice: %v", err)
		}
		again, err := b.enrol(r.url, r.token("o_ada"), force)
		must(t, err)
		if got := b.whole(); got == done.Agent || got != again.Agent {
			t.Errorf("enrolled anew the box is %q, was %q", got, done.Agent)
		}
		if left, _ := filepath.Glob(filepath.Join(b.state, "cloud", "*")); len(left) != 2 { // its own, the lock
			t.Errorf("left: %q", left)
		}
	})
}

// steps of an enrolment.
var steps = []string{"key", "ask", "directory", "url", "authorities", "certificate", "root", "configuration", "tidy"}

// TestKilledAtEveryStepTheSameCommandCompletesIt: behind each kill the box is what it was or an agent, and there is one agent in the end.
func TestKilledAtEveryStepTheSameCommandCompletesIt(t *testing.T) {
	r := newRealm(t, open(t))
	for i, step := range steps {
		for _, force := range []string{"", "anew"} {
			t.Run(step+force, func(t *testing.T) {
				t.Parallel()
				b, org, before := newBox(t), "o_"+string(rune('a'+i))+force, 0
				if force != "" {
					_, err := b.enrol(r.url, r.token(org))
					must(t, err)
					before = 1
				}
				was := b.whole()
				token := r.token(org)
				run := func(die string) (string, error) {
					cmd := exec.Command(os.Args[0])
					cmd.Env = append(os.Environ(), "UPSEDGE_TEST_ENROLL="+b.conf, "UPSEDGE_TEST_CLOUD="+r.url, "UPSEDGE_TEST_TOKEN="+token,
						"UPSEDGE_TEST_DIE="+die, "UPSEDGE_TEST_FORCE="+force)
					out, err := cmd.CombinedOutput()
					return string(out), err
				}
				if out, err := run(step); err == nil || !strings.HasSuffix(strings.TrimSpace(out), step) {
					t.Fatalf("not killed at %s: %s", step, out)
				}
				if is := b.whole(); is != was && step != "tidy" {
					t.Errorf("killed before %s the box is %q, was %q", step, is, was)
				}
				b.modes()
				if out, err := run(""); err != nil {
					t.Fatalf("the same command: %v %s", err, out)
				}
				if is := b.whole(); is == "" || is == was {
					t.Errorf("in the end the box is %q, was %q", is, was)
				}
				if n := len(r.agents(org)); n != before+1 {
					t.Errorf("%d agents, want %d", n, before+1)
				}
				if _, err := os.Stat(filepath.Join(b.state, "cloud", "new.pem")); err == nil {
					t.Error("the key of the enrolment is still there")
				}
			})
		}
	}
}

// TestALostAnswerCostsNothing: the token was used, and the box never learnt it.
func TestALostAnswerCostsNothing(t *testing.T) {
	r, b := newRealm(t, open(t)), newBox(t)
	at := time.Now()
	r.set(at)
	token := r.token("o_ada")
	r.loseAnswers(true)
	if _, err := b.enrol(r.url, token); err == nil {
		t.Fatal("an answer came")
	}
	r.loseAnswers(false)
	if n := len(r.agents("o_ada")); n != 1 {
		t.Fatalf("the cloud has %d agents", n)
	}
	other := newBox(t)
	if _, err := other.enrol(r.url, token); err == nil || !strings.Contains(err.Error(), "was used at") {
		t.Errorf("another box with the token: %v", err)
	}
	r.set(at.Add(2 * time.Hour))
	_, err := b.enrol(r.url, token)
	if err == nil || !strings.Contains(err.Error(), "ended at") || !strings.Contains(err.Error(), "a new token makes the same agent of it") {
		t.Errorf("two hours later: %v", err)
	}
	done, err := b.enrol(r.url, r.token("o_ada"))
	must(t, err)
	if ids := r.agents("o_ada"); !slices.Equal(ids, []string{done.Agent}) {
		t.Errorf("the cloud has %q, the box is %q", ids, done.Agent)
	}
}

// TestNothingIsAskedThatCouldNotBeKept: a token is used for an enrolment that can be written down.
func TestNothingIsAskedThatCouldNotBeKept(t *testing.T) {
	r, b := newRealm(t, open(t)), newBox(t)
	token := r.token("o_ada")
	broken := errors.New("the disk is read-only")
	if _, err := b.enrol(r.url, token, func(o *enroll.Options) { o.Check = func(enroll.Uplink) error { return broken } }); !errors.Is(err, broken) {
		t.Errorf("enrolled: %v", err)
	}
	if r.requests() != 0 {
		t.Error("the cloud was asked")
	}
	_, err := b.enrol(r.url, token)
	must(t, err)
}

// TestABrokerIsNotReplacedByAccident: what waits for it would go to somebody else.
func TestABrokerIsNotReplacedByAccident(t *testing.T) {
	r, b := newRealm(t, open(t)), newBox(t)
	f, err := os.OpenFile(b.conf, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString("uplink: {broker: \"tls://other.example\"}\n")
	must(t, err)
	must(t, f.Close())
	token := r.token("o_ada")
	var present *enroll.PresentError
	if _, err := b.enrol(r.url, token); !errors.As(err, &present) || !strings.Contains(err.Error(), "other.example") {
		t.Errorf("enrolled: %v", err)
	}
	_, err = b.enrol(r.url, token, force)
	must(t, err)
	b.whole()
}
