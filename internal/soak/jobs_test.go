package soak

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"upsedge/internal/cloud/store"
)

// job orders something of every unit, so many at once, and returns the job's id.
func (c *chain) job(key, what string) string {
	c.t.Helper()
	var ids []string
	for _, id := range c.devices {
		ids = append(ids, `"`+id+`"`)
	}
	slices.Sort(ids)
	made := c.ask("POST", "/jobs", `{"devices":[`+strings.Join(ids, ",")+`],`+what+`}`, "Idempotency-Key", key)
	return made["job"].(map[string]any)["id"].(string)
}

// counts returns how many devices of a job are in a state, as it ended and as it is known.
func (c *chain) counts(job, state string) (ended, known int) {
	got := c.ask("GET", "/jobs/"+job, "")
	number := func(of string) int {
		n, _ := got[of].(map[string]any)[state].(float64)
		return int(n)
	}
	return number("counts"), number("known")
}

// TestEDGE9AJobOutlivesKillsAndShowsWhatIsToldLate, through the whole chain. The control plane is killed while a job runs: every unit is tested
// once all the same. Then the agent is held while orders of a job run, for longer than the cloud waits (its rows are made a day older): they
// end as unknown, and so does the job; what the agent tells when it is back stands beside that, in the order and in the job.
func TestEDGE9AJobOutlivesKillsAndShowsWhatIsToldLate(t *testing.T) {
	t.Parallel()
	c := newChain(t, 3)
	c.ready()
	first := c.job("one", `"action":"diagnostics.run","params":{"test":"self"},"at_once":1`)
	c.until("the first order", func() bool { return c.orders(first) > 0 })
	c.cloud.kill()
	c.cloud.start()
	c.until("the end of the job", func() bool { return c.ask("GET", "/jobs/"+first, "")["final"] == true })
	if done, _ := c.counts(first, "done"); done != 3 {
		t.Errorf("%v", c.ask("GET", "/jobs/"+first, ""))
	}
	for serial, u := range c.units {
		if n := u.Written(); n != 1 {
			t.Errorf("unit %s was written to %d times", serial, n)
		}
	}

	var second string
	var done, lost int
	for n := 0; lost == 0; n++ { // until the agent is held while something runs
		second = c.job(fmt.Sprint("two-", n), `"action":"reboot.ups","params":{"delay":"none"},"at_once":3`)
		c.until("every order is out", func() bool {
			items := c.ask("GET", "/jobs/"+second, "")["items"].([]any)
			return !slices.ContainsFunc(items, func(i any) bool { return slices.Contains([]any{"waiting", "pending"}, i.(map[string]any)["state"]) })
		})
		c.agent.signal(syscall.SIGSTOP)
		c.older()
		c.until("the cloud waits no longer", func() bool { return c.ask("GET", "/jobs/"+second, "")["final"] == true })
		done, _ = c.counts(second, "done")
		lost, _ = c.counts(second, "unknown")
		c.agent.signal(syscall.SIGCONT)
		if done+lost != 3 || n == 5 {
			t.Fatalf("%d done before, %d unknown: %v", done, lost, c.ask("GET", "/jobs/"+second, ""))
		}
		c.ready()
	}
	c.until("what is told late", func() bool {
		ended, known := c.counts(second, "unknown")
		return ended == lost && known == 0
	})
	if ended, known := c.counts(second, "done"); ended != done || known <= done {
		t.Errorf("%d done as it ended and %d as is known, %d before", ended, known, done)
	}
	for _, i := range c.ask("GET", "/jobs/"+second, "")["items"].([]any) {
		item := i.(map[string]any)
		late, _ := item["late"].(map[string]any)
		o := c.ask("GET", "/orders/"+item["order"].(string), "")
		if beside, _ := o["late"].(map[string]any); item["state"] == "unknown" && (late["state"] == nil || beside["state"] != late["state"] || o["state"] != "unknown") {
			t.Errorf("the job says %v, its order %v", item, o)
		}
	}
	t.Logf("%d were told late", lost)
}

// orders is how many orders a job has made.
func (c *chain) orders(job string) (n int) {
	for _, i := range c.ask("GET", "/jobs/"+job, "")["items"].([]any) {
		if i.(map[string]any)["order"] != nil {
			n++
		}
	}
	return n
}

// older makes the orders without an end a day older: the cloud waits no longer for their agent.
func (c *chain) older() {
	db, err := store.Open(c.t.Context(), c.db)
	if err == nil {
		err = errors.Join(db.Write(c.t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE orders SET expires_at = expires_at - 90000000, updated_at = updated_at - 90000000, due_at = 1 WHERE final_at = 0`)
			return err
		}), db.Close())
	}
	if err != nil {
		c.t.Fatal(err)
	}
}
