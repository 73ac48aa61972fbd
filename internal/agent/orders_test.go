package agent

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/wire"
)

// TestABadOrderWritesNothingOverTheUplink is T-02, T-05, T-10 and T-11 from the broker to the unit: what does not verify is an event of its
// code, and what does, and must not be carried out, a result. The unit's own log of writes stays empty. In the end a valid order runs.
func TestABadOrderWritesNothingOverTheUplink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer c.stop()
		_, stranger := key(t)
		other := stranger.Public().(ed25519.PublicKey)
		c.list.Keys = append(c.list.Keys, trust.Key{Kid: "statements-2", Key: other, Purposes: []string{trust.ForStatement}})
		c.list.Version = 2
		c.publishKeys()
		c.state(c.nonce)
		c.rest(time.Second)

		payload := func(cmd trust.Command) []byte {
			b, err := base64.RawURLEncoding.DecodeString(strings.Split(c.sign(cmd), ".")[1])
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		raw := func(k ed25519.PrivateKey, kid, purpose string, payload []byte) string {
			msg, err := sign.Payload(k, kid, purpose, payload)
			if err != nil {
				t.Fatal(err)
			}
			return msg
		}
		changed := func(from, to string) string {
			p := payload(c.command())
			if !bytes.Contains(p, []byte(from)) {
				t.Fatalf("no %s in %s", from, p)
			}
			return raw(c.online, "online-1", trust.ForCommand, bytes.Replace(p, []byte(from), []byte(to), 1))
		}
		// Altered behind the signature, field by field.
		parts := strings.Split(c.sign(c.command()), ".")
		p, _ := base64.RawURLEncoding.DecodeString(parts[1])
		var forged []string
		for _, field := range []string{
			`"agent":"rack7"`, `"device":"` + c.serial, `"epoch":4`, `"id":"0`, `"counter":1`, `"nonce":"`, `"max_age":3600`, `"action":"diag`,
			`"test":"self"`, `"actor":"u_1"`, `"role":"owner"`, `"plan":"advanced"`, `"grant_version":9`, `"mfa":false`, `"issued_at":"20`,
		} {
			i := bytes.Index(p, []byte(field))
			if i < 0 {
				t.Fatalf("no %s in %s", field, p)
			}
			q := bytes.Clone(p)
			switch last := i + len(field) - 1; field {
			case `"mfa":false`:
				q = bytes.Replace(q, []byte("false"), []byte("true"), 1)
			case `"nonce":"`:
				q[last+1] ^= 1
			default:
				for !('0' <= q[last] && q[last] <= '9' || 'a' <= q[last] && q[last] <= 'z' || 'A' <= q[last] && q[last] <= 'Z') {
					last--
				}
				q[last] ^= 1
			}
			forged = append(forged, parts[0]+"."+base64.RawURLEncoding.EncodeToString(q)+"."+parts[2])
		}
		foreign := c.command()
		foreign.Agent = "rack8"
		deep := strings.Repeat(`[`, 3000) + strings.Repeat(`]`, 3000)
		type bad struct {
			name string
			msg  string
			want string
		}
		table := []bad{
			{"signed by a stranger", raw(stranger, "online-1", trust.ForCommand, payload(c.command())), "BAD_SIGNATURE"},
			{"signed by an unknown key", raw(stranger, "online-9", trust.ForCommand, payload(c.command())), "BAD_SIGNATURE"},
			{"signed by the key of another purpose", raw(stranger, "statements-2", trust.ForCommand, payload(c.command())), "BAD_SIGNATURE"},
			{"signed by the root", raw(c.root, "root", trust.ForCommand, payload(c.command())), "BAD_SIGNATURE"},
			{"a command as a statement", raw(c.online, "online-1", trust.ForStatement, payload(c.command())), "MALFORMED"},
			{"a command as firmware", raw(c.online, "online-1", trust.ForFirmware, payload(c.command())), "MALFORMED"},
			{"another agent", c.sign(foreign), "NOT_BOUND"},
			{"an unknown field", changed(`{"v"`, `{"x":1,"v"`), "MALFORMED"},
			{"a field twice", changed(`"mfa"`, `"mfa":true,"mfa"`), "MALFORMED"},
			{"a field less", changed(`,"mfa":false`, ``), "MALFORMED"},
			{"deep nesting", changed(`{"test":"self"}`, deep), "MALFORMED"},
			{"a parameter of another type", changed(`"self"`, `1`), "MALFORMED"},
			{"oversize", c.sign(c.command()) + strings.Repeat("A", 9<<10), "MALFORMED"},
			{"nothing", "", "MALFORMED"},
			{"no JWS", "reboot", "MALFORMED"},
		}
		for i, msg := range forged {
			table = append(table, bad{fmt.Sprint("altered in field ", i), msg, ""}) // MALFORMED or BAD_SIGNATURE
		}
		for _, row := range table {
			c.rest(time.Minute) // events of one kind are held back when they come fast
			before := len(c.refusedEvents())
			c.publish(row.msg, false)
			c.rest(time.Second)
			said := c.refusedEvents()[before:]
			if len(said) != 1 || row.want != "" && !strings.HasPrefix(said[0], row.want) ||
				row.want == "" && !strings.HasPrefix(said[0], "MALFORMED") && !strings.HasPrefix(said[0], "BAD_SIGNATURE") {
				t.Errorf("%s: %q, want %s", row.name, said, row.want)
			}
		}
		if n := len(c.results); n != 0 {
			t.Errorf("%d results of messages that nobody signed", n)
		}
		// Signed and not to be carried out.
		for i, row := range []struct {
			name  string
			alter func(*trust.Command)
			want  string
		}{
			{"another device", func(d *trust.Command) { d.Device = "AS0000000000" }, "refused NOT_BOUND"},
			{"the epoch before", func(d *trust.Command) { d.Epoch = 3 }, "refused NOT_BOUND"},
			{"the nonce of another session", func(d *trust.Command) { d.Nonce = wire.ID{1, 2, 3} }, "refused EXPIRED"},
			{"too old", func(d *trust.Command) { d.MaxAge = time.Second }, "refused EXPIRED"},
			{"an unknown action", func(d *trust.Command) { d.Action = "output.off" }, "refused UNKNOWN_ACTION"},
			{"a parameter too many", func(d *trust.Command) { d.Params["output"] = "off" }, "refused MALFORMED"},
			{"a role that reads", func(d *trust.Command) { d.Role = "partner_ro" }, "refused ROLE_READ_ONLY"},
			{"a plan too low", func(d *trust.Command) { d.Plan = "basic" }, "refused PLAN_BASIC"},
			{"a group that is not allowed", func(d *trust.Command) { d.Action, d.Params = "alarm.mute", nil }, "refused LOCAL_POLICY"},
			{"out of order", func(d *trust.Command) { d.Counter = 1 }, "refused OUT_OF_ORDER"},
		} {
			cmd := c.command()
			cmd.Params = map[string]string{"test": "self"}
			row.alter(&cmd)
			cmd.ID = wire.ID{200, byte(i)}
			c.rest(2 * time.Second)
			c.publish(c.sign(cmd), false)
			c.rest(time.Second)
			if got := c.end(cmd.ID); got != row.want {
				t.Errorf("%s: %q, want %q", row.name, got, row.want)
			}
		}
		if wrote := c.actor.unit.Writes(); len(wrote) != 0 {
			t.Errorf("the unit was written to: %v", wrote)
		}
		ran := c.runsOne("in the end")
		c.cloud.takeFaults() // of what no cloud would send
		c.stop()
		c.publish(c.sign(ran), true) // the next session gets it as a retained one
		c.start()
		c.rest(3 * time.Second)
		c.rest(10 * time.Second)
		if slices.ContainsFunc(c.results, func(r wire.Result) bool { return r.Repeated }) || len(c.actor.unit.Writes()) != 1 {
			t.Errorf("a retained order was answered, or carried out: %v", c.actor.unit.Writes())
		}
	})
}

// runsOne has a valid order carried out, and holds result, event and the unit's log against it.
func (c *boss) runsOne(when string) trust.Command {
	t := c.bubble.t
	t.Helper()
	before := len(c.actor.unit.Writes())
	cmd := c.command()
	c.publish(c.sign(cmd), false)
	for range 40 {
		if c.rest(time.Second); c.end(cmd.ID) != "" {
			break
		}
	}
	if got := c.end(cmd.ID); got != "done" {
		t.Errorf("%s: a valid order ended as %q", when, got)
	}
	if n := len(c.actor.unit.Writes()) - before; n != 1 {
		t.Errorf("%s: %d writes", when, n)
	}
	c.rest(time.Second)
	var ids []int
	for _, n := range c.cloud.of("rack-a") {
		if n.ID == 620 || n.ID == 621 {
			ids = append(ids, n.ID)
		}
	}
	if len(ids) < 2 || ids[len(ids)-2] != 620 || ids[len(ids)-1] != 621 {
		t.Errorf("%s: events %v, want 620 and 621", when, ids)
	}
	return cmd
}

// TestT06OrdersWhateverTheClockSays is T-03 to T-05 with the clock of the box anywhere, and stepped by a day in mid-session.
func TestT06OrdersWhateverTheClockSays(t *testing.T) {
	for name, start := range wrongClocks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newBoss(t, start)
				defer c.stop()
				if start.IsZero() {
					start = time.Now()
				}
				first := c.runsOne("at first")
				c.setClock(start.Add(-24*time.Hour), false)
				c.rest(5 * time.Second)
				c.publish(c.sign(first), false)
				stale := c.command()
				stale.MaxAge = time.Second
				c.publish(c.sign(stale), false)
				c.rest(5 * time.Second)
				if got := c.end(first.ID); got != "done" {
					t.Errorf("replayed: %q", got)
				}
				if got := c.end(stale.ID); got != "refused EXPIRED" {
					t.Errorf("stale: %q", got)
				}
				c.setClock(start.Add(24*time.Hour), false)
				c.rest(30 * time.Second)
				c.runsOne("after the steps")
				c.stop()
				for _, end := range []string{"", "-wal", "-shm"} { // an emptied store
					_ = os.Remove(filepath.Join(c.stateDir(), "store.db"+end))
				}
				c.start()
				c.rest(3 * time.Second)
				c.rest(3 * time.Second)
				before := len(c.actor.unit.Writes())
				c.publish(c.sign(first), false)
				c.rest(20 * time.Second)
				if n := len(c.actor.unit.Writes()) - before; n != 0 {
					t.Errorf("replayed after a restart with an emptied store: %d writes", n)
				}
				c.runsOne("after a restart")
			})
		})
	}
}

// TestT08ALowerPlanAndAnEndedGrantCountAtOnce: signed before, delivered behind the statement that ends them.
func TestT08ALowerPlanAndAnEndedGrantCountAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer c.stop()
		before := c.sign(c.command())
		later := c.command()
		c.entries = []trust.Entry{{Device: c.serial, Bind: &trust.Bind{
			Epoch: 4, Plan: "advanced", ValidUntil: time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC), GrantVersion: 10,
			Ended: []trust.Ended{{Actor: "u_1", GrantVersion: 10}},
		}}}
		c.state(c.nonce)
		c.publish(before, false)
		c.rest(2 * time.Second)
		id := later.ID
		id[0]--
		if got := c.end(id); got != "refused GRANT_STALE" {
			t.Errorf("an ended grant: %q", got)
		}
		b := *c.entries[0].Bind
		b.GrantVersion, b.Plan = 11, string(policy.Basic)
		c.entries = []trust.Entry{{Device: c.serial, Bind: &b}}
		c.state(c.nonce)
		later.Actor = "u_2"
		c.publish(c.sign(later), false)
		c.rest(2 * time.Second)
		if got := c.end(later.ID); got != "refused PLAN_BASIC" {
			t.Errorf("a lower plan: %q", got)
		}
		if n := len(c.actor.unit.Writes()); n != 0 {
			t.Errorf("%d writes", n)
		}
	})
}

// TestOrdersOfTheConfigurationAreAppliedAtAReload: who is on site takes back what he allowed without a restart.
func TestOrdersOfTheConfigurationAreAppliedAtAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer c.stop()
		text := strings.Replace(c.text, "allow: [reboot, diagnostics]", "allow: []", 1)
		c.reread(text)
		cmd := c.command()
		c.publish(c.sign(cmd), false)
		c.rest(2 * time.Second)
		if got := c.end(cmd.ID); got != "refused LOCAL_POLICY" {
			t.Errorf("%q", got)
		}
		if s := c.lastState(); s.Full == nil || len(s.Full.Allow) != 0 {
			t.Errorf("the full state says %+v", s.Full)
		}
	})
}

// TestAReloadThatReplacesALineEndsNoOrder: the unit does what it was told, and the next line of it says so.
func TestAReloadThatReplacesALineEndsNoOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer c.stop()
		cmd := c.command()
		cmd.Action, cmd.Params = "reboot.ups", map[string]string{}
		c.publish(c.sign(cmd), false)
		text := c.text
		for i := range 4 {
			c.rest(5 * time.Second)
			c.reread(strings.Replace(text, "rack-a,", fmt.Sprintf("rack-a, poll: {watch: %ds},", i+1), 1))
		}
		for range 200 {
			if c.rest(5 * time.Second); c.end(cmd.ID) != "" {
				break
			}
		}
		if got := c.end(cmd.ID); got != "done" {
			t.Errorf("%q: %+v", got, c.results)
		}
		if n := len(c.actor.unit.Writes()); n != 1 {
			t.Errorf("%d writes", n)
		}
	})
}
