package enroll_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"upsedge/internal/enroll"
)

// TestT89SomebodyInBetweenLearnsNothing: another authority with the same name at the address that was typed. The token is not told to it.
func TestT89SomebodyInBetweenLearnsNothing(t *testing.T) {
	r, other, b := newRealm(t, open(t)), newRealm(t, open(t)), newBox(t)
	token := r.token("o_ada")
	_, err := b.enrol(other.url, token)
	if err == nil || !strings.Contains(err.Error(), "not by the authority that the token names") {
		t.Errorf("enrolled with another cloud: %v", err)
	}
	if n := other.requests(); n != 0 {
		t.Errorf("it got %d requests", n)
	}
	// Even where the installer hands over its authority: both must hold.
	if _, err := b.enrol(other.url, token, func(o *enroll.Options) { o.CAFile = filepath.Join(other.dir, "ca.pem") }); err == nil || other.requests() != 0 {
		t.Errorf("enrolled with another cloud: %v", err)
	}
	// Without a pin and without a file the system's authorities decide, which do not know it.
	if _, err := b.enrol(r.url, token, func(o *enroll.Options) { o.Token.Pin = nil }); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("enrolled without knowing the cloud: %v", err)
	}
	// The name is checked always.
	if _, err := b.enrol(strings.Replace(r.url, "127.0.0.1", "127.0.0.2", 1), token); err == nil || r.requests() != 0 {
		t.Errorf("enrolled by another name: %v", err)
	}
	if b.whole() != "" {
		t.Error("the box is an agent")
	}
	_, err = b.enrol(r.url, token, func(o *enroll.Options) { o.Token.Pin, o.CAFile = nil, filepath.Join(r.dir, "ca.pem") })
	if err != nil {
		t.Errorf("with the authority in a file: %v", err)
	}
}

// TestT17DatesAreJudgedByAClockThatIsSetOrNotAtAll: a box without a battery may say anything.
func TestT17DatesAreJudgedByAClockThatIsSetOrNotAtAll(t *testing.T) {
	now := time.Now()
	for name, row := range map[string]struct {
		box   time.Time // the earliest it can be, or now where sure
		sure  bool
		cloud time.Time // when the cloud made its certificates
		want  string    // "": enrolled
	}{
		"set":                                {now, true, now, ""},
		"1970, not set":                      {time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), false, now, ""},
		"1970, said to be set":               {time.Unix(0, 0), true, now, "expired or is not yet valid"},
		"2038, said to be set":               {time.Date(2038, 1, 19, 0, 0, 0, 0, time.UTC), true, now, "expired or is not yet valid"},
		"not set, ended by what is certain":  {now.Add(3 * 365 * 24 * time.Hour), false, now, "expired or is not yet valid"},
		"set, the certificate is from later": {now.Add(-24 * time.Hour), true, now, "expired or is not yet valid"},
	} {
		t.Run(name, func(t *testing.T) {
			r, b := newRealmAt(t, open(t), row.cloud), newBox(t)
			b.time = func() (time.Time, bool) { return row.box, row.sure }
			_, err := b.enrol(r.url, r.token("o_ada"))
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
}

// TestT61SecretsAreInNoOutput: of nothing that enrolment says, in success or failure; and the token is in no file.
func TestT61SecretsAreInNoOutput(t *testing.T) {
	r, b := newRealm(t, open(t)), newBox(t)
	token := r.token("o_ada")
	var said []string
	note := func(d *enroll.Done, err error) {
		if err != nil {
			said = append(said, err.Error())
		}
	}
	r.loseAnswers(true)
	note(b.enrol(r.url, token))
	r.loseAnswers(false)
	note(newBox(t).enrol(r.url, token))
	note(b.enrol("https://127.0.0.1:1", token))
	note(b.enrol(r.url, token))
	note(b.enrol(r.url, token))
	for _, s := range said {
		if strings.Contains(s, token) || strings.Contains(s, token[len(token)-20:]) || strings.Contains(s, "PRIVATE") {
			t.Errorf("a secret is told: %s", s)
		}
	}
	b.modes()
	must(t, filepath.WalkDir(b.state, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), token) {
			t.Errorf("the token is in %s", path)
		}
		if strings.Contains(string(text), "PRIVATE KEY") && filepath.Base(path) != "agent.pem" {
			t.Errorf("a key is in %s", path)
		}
		return err
	}))
	if text, _ := os.ReadFile(b.conf); strings.Contains(string(text), token) || strings.Contains(string(text), "PRIVATE") {
		t.Errorf("the configuration has a secret: %s", text)
	}
}
