package agent

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/testenv"
	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/ups"
	"upsedge/internal/ups/upstest"
	"upsedge/internal/wire"
)

// A kind is one thing that can be ordered of a unit.
type kind struct {
	action string
	params map[string]string
}

// kinds are all of them but order.cancel, with each value that makes a difference.
var kinds = []kind{
	{"reboot.ups", nil},
	{"reboot.group", map[string]string{"group": "sog0"}},
	{"control.outlet", map[string]string{"group": "sog0", "to": "on"}},
	{"control.outlet", map[string]string{"group": "sog0", "to": "off"}},
	{"control.outlet", map[string]string{"group": "sog0", "to": "shutdown"}},
	{"control.outlet", map[string]string{"group": "sog0", "to": "cancel"}},
	{"diagnostics.run", map[string]string{"test": "self"}},
	{"diagnostics.run", map[string]string{"test": "self", "do": "abort"}},
	{"diagnostics.run", map[string]string{"test": "calibration"}},
	{"diagnostics.run", map[string]string{"test": "calibration", "do": "abort"}},
	{"diagnostics.run", map[string]string{"test": "panel"}},
	{"alarm.mute", nil},
	{"alarm.mute", map[string]string{"mute": "off"}},
	{"alarm.ack", map[string]string{"alarm": "battery"}},
	{"alarm.ack", map[string]string{"alarm": "wiring"}},
	{"configure.device", upstest.Params("configure.device")},
	{"support.bundle", nil},
}

func (k kind) String() string {
	out := k.action
	for _, name := range slices.Sorted(maps.Keys(k.params)) {
		out += " " + k.params[name]
	}
	return out
}

// order is a valid one of a kind.
func (c *boss) order(k kind) trust.Command {
	cmd := c.command()
	cmd.ID = wire.ID{byte(c.counter), byte(c.counter >> 8), 9}
	cmd.Action, cmd.Params = k.action, map[string]string{}
	maps.Copy(cmd.Params, k.params)
	return cmd
}

// newEverything is a boss of a unit of some model, on whose site every group of orders is allowed, as often as anybody likes.
func newEverything(t *testing.T, sku string) *boss {
	t.Helper()
	c := newBossOf(t, sku, time.Time{})
	c.text = strings.Replace(c.text, "allow: [reboot, diagnostics], min_interval: 1m", "allow: [reboot, diagnostics, alarms, settings, outlets], min_interval: 0s, daily_max: 100000", 1)
	c.reread(c.text)
	c.rest(time.Second)
	return c
}

// fields are the values of the payload of a command, each with its name.
var fields = regexp.MustCompile(`"([a-z_]+)":("[^"]*"|-?[0-9]+|true|false|\{[^}]*\})`)

// altered returns the payload of an order with each of its fields changed, by the name of the field.
func altered(t *testing.T, payload string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, at := range fields.FindAllStringSubmatchIndex(payload, -1) {
		name, value := payload[at[2]:at[3]], payload[at[4]:at[5]]
		switch {
		case value == "true" || value == "false":
			value = map[string]string{"true": "false", "false": "true"}[value]
		case value[0] == '{':
			value = `{"x":"y"}`
		case value[0] == '"':
			b := []byte(value)
			b[len(b)/2] ^= 1
			value = string(b)
		default:
			value = fmt.Sprint(value, 1)
		}
		out[name] = payload[:at[4]] + value + payload[at[5]:]
	}
	if len(out) != 17 {
		t.Fatalf("%d fields in %s, want 15 besides version and purpose", len(out), payload)
	}
	return out
}

// forgeries are messages that nobody signed so, and the codes of their refusal; "": one of two.
func (c *boss) forgeries(k kind, stranger ed25519.PrivateKey) map[string][2]string {
	t := c.bubble.t
	raw := func(key ed25519.PrivateKey, kid, purpose, payload string) string {
		msg, err := sign.Payload(key, kid, purpose, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	good := c.sign(c.order(k))
	parts := strings.Split(good, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	p := string(decoded)
	changed := func(from, to string) string {
		if !strings.Contains(p, from) {
			t.Fatalf("no %s in %s", from, p)
		}
		return raw(c.online, "online-1", trust.ForCommand, strings.Replace(p, from, to, 1))
	}
	foreign := c.order(k)
	foreign.Agent = "rack8"
	params := fields.FindAllString(p, -1)[slices.IndexFunc(fields.FindAllString(p, -1), func(f string) bool { return strings.HasPrefix(f, `"params"`) })]
	out := map[string][2]string{
		"a stranger's key":          {raw(stranger, "online-1", trust.ForCommand, p), "BAD_SIGNATURE"},
		"an unknown key":            {raw(stranger, "online-9", trust.ForCommand, p), "BAD_SIGNATURE"},
		"the root":                  {raw(c.root, "root", trust.ForCommand, p), "BAD_SIGNATURE"},
		"as a statement":            {raw(c.online, "online-1", trust.ForStatement, p), "MALFORMED"},
		"another agent":             {c.sign(foreign), "NOT_BOUND"},
		"an unknown field":          {changed(`{"v"`, `{"x":1,"v"`), "MALFORMED"},
		"a field twice":             {changed(`"mfa"`, `"mfa":true,"mfa"`), "MALFORMED"},
		"a field less":              {changed(`,"mfa":false`, ``), "MALFORMED"},
		"deep parameters":           {changed(params, `"params":`+strings.Repeat(`[`, 3000)+strings.Repeat(`]`, 3000)), "MALFORMED"},
		"a parameter of no text":    {changed(params, `"params":{"x":1}`), "MALFORMED"},
		"oversize":                  {good + strings.Repeat("A", 9<<10), "MALFORMED"},
		"half of it":                {good[:len(good)/2], "MALFORMED"},
		"an action in capitals":     {changed(`"action":"`, `"Action":"`), "MALFORMED"},
		"a purpose that is no such": {changed(`"purpose":"command"`, `"purpose":"commands"`), "MALFORMED"},
	}
	for name, payload := range altered(t, p) {
		out["altered: "+name] = [2]string{parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "." + parts[2], ""}
	}
	return out
}

// TestT02NoForgedOrderOfAnyActionWrites: T-02, T-05, T-10 and T-11 for every action; each message is refused with its code and nothing is written.
func TestT02NoForgedOrderOfAnyActionWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newEverything(t, "")
		defer c.stop()
		_, stranger := key(t)
		tried := 0
		for _, k := range kinds {
			all := c.forgeries(k, stranger)
			for _, name := range slices.Sorted(maps.Keys(all)) {
				msg, want := all[name][0], all[name][1]
				before := c.status(false).Orders.Rejected
				c.publish(msg, false)
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				now := c.status(false).Orders.Rejected
				if now.Count != before.Count+1 || want != "" && now.Reason != want || want == "" && now.Reason != "MALFORMED" && now.Reason != "BAD_SIGNATURE" {
					t.Errorf("%v, %s: %d messages refused, the last for %s; want one for %s", k, name, now.Count-before.Count, now.Reason, want)
				}
				tried++
			}
			c.rest(time.Second)
		}
		if n := len(c.results); n != 0 {
			t.Errorf("%d results of messages that nobody signed", n)
		}
		if wrote := c.actor.unit.Writes(); len(wrote) != 0 {
			t.Errorf("the unit was written to: %v", wrote)
		}
		c.cloud.takeFaults() // of what no cloud would send
		t.Logf("%d messages", tried)
	})
}

// badly are the ways in which a signed order of any kind must not go.
var badly = []struct {
	name  string
	alter func(c *boss, d *trust.Command)
	want  string
}{
	{"another device", func(_ *boss, d *trust.Command) { d.Device = "AS0000000000" }, "refused NOT_BOUND"},
	{"the epoch before", func(_ *boss, d *trust.Command) { d.Epoch = 3 }, "refused NOT_BOUND"},
	{"the epoch to come", func(_ *boss, d *trust.Command) { d.Epoch = 5 }, "refused NOT_BOUND"},
	{"the nonce of another session", func(_ *boss, d *trust.Command) { d.Nonce = wire.ID{1, 2, 3} }, "refused EXPIRED"},
	{"too old", func(_ *boss, d *trust.Command) { d.MaxAge = time.Second }, "refused EXPIRED"},
	{"an unknown action", func(_ *boss, d *trust.Command) { d.Action += ".now" }, "refused UNKNOWN_ACTION"},
	{"an action that is no command", func(_ *boss, d *trust.Command) { d.Action = "device.delete" }, "refused UNKNOWN_ACTION"},
	{"a parameter too many", func(_ *boss, d *trust.Command) { d.Params["output"] = "off" }, "refused MALFORMED"},
	{"a role that reads", func(_ *boss, d *trust.Command) { d.Role = "partner_ro" }, "refused ROLE_READ_ONLY"},
	{"a role that is none", func(_ *boss, d *trust.Command) { d.Role = "root" }, "refused NOT_FOUND"},
	{"a partner without a second factor", func(_ *boss, d *trust.Command) { d.Role = "partner_admin" }, "refused MFA_REQUIRED"},
	{"a plan too low", func(_ *boss, d *trust.Command) { d.Plan = "basic" }, "refused PLAN_BASIC"},
	{"a grant to come", func(_ *boss, d *trust.Command) { d.GrantVersion = 10 }, "refused GRANT_STALE"},
	{"out of order", func(_ *boss, d *trust.Command) { d.Counter = 1 }, "refused OUT_OF_ORDER"},
}

// want is how an order that is bad in one way ends; a few actions are for few people.
func (k kind) want(name, usual string) string {
	d := policy.Decide(policy.Action(k.action), policy.Owner, policy.Basic, true)
	switch {
	case name == "a plan too low" && d.Allowed:
		return "" // Basic is enough for it
	case name == "a partner without a second factor" && !policy.Decide(policy.Action(k.action), policy.Role("partner_admin"), policy.Advanced, true).Allowed:
		return "refused OWNER_ONLY"
	}
	return usual
}

// TestT05NoBadOrderOfAnyActionWrites: signed by the cloud, and not to be carried out; every value that a parameter cannot have; replayed in
// the session, after a restart, with an emptied store, and with the journal deleted; of a group, or at an hour, that the site does not allow.
func TestT05NoBadOrderOfAnyActionWrites(t *testing.T) {
	const parts = 4
	for part := range parts {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			testenv.Part(t, part, parts)
			t.Parallel()
			var some []kind
			for i := part; i < len(kinds); i += parts {
				some = append(some, kinds[i])
			}
			noBadOrder(t, some)
		})
	}
}

func noBadOrder(t *testing.T, kinds []kind) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newEverything(t, "")
		defer c.stop()
		c.runsOne("at first") // a counter before
		writes, tried := c.actor.unit.Written(), 0
		refuse := func(what string, cmd trust.Command, want string) {
			t.Helper()
			if want == "" {
				return
			}
			tried++
			before := c.status(false).Orders.Rejected.Count
			c.publish(c.sign(cmd), false)
			c.rest(200 * time.Millisecond)
			if r := c.status(false).Orders.Rejected; r.Count == before+1 && "refused "+r.Reason == want {
				return // before it was looked at as an order
			}
			if got := c.end(cmd.ID); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
			if n := c.actor.unit.Written(); n != writes {
				t.Errorf("%s: %d writes", what, n-writes)
				writes = n
			}
		}
		for _, k := range kinds {
			c.rest(2 * time.Second)
			for _, row := range badly {
				cmd := c.order(k)
				row.alter(c, &cmd)
				refuse(fmt.Sprint(k, ", ", row.name), cmd, k.want(row.name, row.want))
			}
			all, _ := ups.ParamsOf(k.action)
			for _, p := range all {
				for _, value := range []string{"", " ", "0", "-1", "1e9", "all", "ON", "main,main", "sog0,main", "sog3", "593", strings.Repeat("x", 17), "a\tb", "../x", "none,configured"} {
					cmd := c.order(k)
					if cmd.Params[p.Name] = value; p.Check(value) == nil {
						if _, err := ups.CheckParams(k.action, cmd.Params); err == nil {
							continue // it can be that
						}
					}
					if _, err := sign.Command(c.online, "online-1", cmd); err != nil {
						continue // no message can say it
					}
					refuse(fmt.Sprintf("%v with %s %q", k, p.Name, value), cmd, "refused MALFORMED")
				}
				cmd := c.order(k)
				if delete(cmd.Params, p.Name); p.Default == "" {
					refuse(fmt.Sprintf("%v without %s", k, p.Name), cmd, "refused MALFORMED")
				}
			}
		}
		c.reread(strings.Replace(c.text, "allow: [reboot, diagnostics, alarms, settings, outlets]", "allow: []", 1))
		for _, k := range kinds {
			refuse(fmt.Sprint(k, ", not allowed here"), c.order(k), "refused LOCAL_POLICY")
		}
		c.reread(strings.Replace(c.text, "min_interval: 0s", `hours: "03:00-03:01", min_interval: 0s`, 1))
		for _, k := range kinds {
			refuse(fmt.Sprint(k, ", at another hour"), c.order(k), "refused LOCAL_POLICY")
		}
		t.Logf("%d orders", tried)
	})
}

// TestT03NoOrderOfAnyActionWritesTwice: each was carried out, or refused by the unit; it comes again in the session, after a restart, with an
// emptied store, with the journal deleted, retained.
func TestT03NoOrderOfAnyActionWritesTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newEverything(t, "")
		defer c.stop()
		var sent []trust.Command
		ends := map[string]int{}
		for _, k := range kinds {
			cmd := c.order(k)
			cmd.MaxAge = 24 * time.Hour
			sent = append(sent, cmd)
			c.publish(c.sign(cmd), false)
			for range 600 {
				if c.rest(5 * time.Second); c.end(cmd.ID) != "" {
					break
				}
			}
			ends[c.end(cmd.ID)]++
		}
		writes, first := c.actor.unit.Written(), map[wire.ID]string{}
		for _, cmd := range sent {
			first[cmd.ID] = c.end(cmd.ID)
		}
		again := func(when string, forgotten bool) {
			t.Helper()
			for _, cmd := range sent {
				c.publish(c.sign(cmd), when == "retained")
				c.rest(6 * time.Second)
				got := c.end(cmd.ID)
				if want := first[cmd.ID]; got != want && !(forgotten && got == want+", refused EXPIRED") {
					t.Errorf("%s: %s ended as %q, before as %q", when, cmd.Action, got, want)
				}
			}
			if n := c.actor.unit.Written(); n != writes {
				t.Errorf("%s: %d writes", when, n-writes)
			}
		}
		lose := func(name string) {
			c.rest(time.Second)
			c.stop()
			for _, end := range []string{"", "-wal", "-shm"} {
				if err := os.Remove(c.stateDir() + "/" + name + end); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Error(err)
				}
			}
			c.start()
			c.rest(3 * time.Second)
			c.rest(3 * time.Second)
		}
		again("in the session", false)
		again("retained", false)
		lose("nothing")
		again("after a restart", false)
		lose("store.db")
		again("with an emptied store", false)
		lose("orders.db")
		again("with the journal deleted", true)
		t.Logf("%d orders, %d writes; they ended %v", len(sent), writes, ends)
	})
}
