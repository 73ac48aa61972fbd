package serve

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/licence"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// TestLIC4TheOperatorWorksBesideAServer: on the same database, as another process does; what is due soon, the server does at its moment.
func TestLIC4TheOperatorWorksBesideAServer(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		l := live(t, c)
		l.write(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
				VALUES ('d_1', 'AS1', 1, 'g_1', 'a_1', 'o_1', 'rack', 'basic', 0, 1, 1)`)
			return err
		})
		o, err := OpenOperator(t.Context(), l.cfg)
		must(t, err)
		defer o.Close()
		was, is, err := o.SetPlan(t.Context(), "AS1", policy.Advanced, device.Forever)
		must(t, err)
		if was.Plan != policy.Basic || is.Plan != policy.Advanced || is.GrantVersion != 2 {
			t.Errorf("%+v, was %+v", is, was)
		}
		if _, _, err := o.SetPlan(t.Context(), "AS9", policy.Advanced, device.Forever); err == nil {
			t.Error("a plan for a unit without an owner")
		}
		_, _, err = o.SetPlan(t.Context(), "AS1", policy.Standard, time.Now().Add(time.Second))
		must(t, err)
		l.until("the server writes down that the plan has ended", func() bool {
			return l.count(`SELECT COUNT(*) FROM devices WHERE plan = 'basic' AND grant_version = 4`) == 1
		})
		list, err := o.Issue(t.Context(), licence.Issue{Plan: policy.Standard, Days: 30, Uses: 2, Note: "order 7"}, 3)
		must(t, err)
		if len(list) != 3 || list[0].Code == list[1].Code || l.count(`SELECT COUNT(*) FROM licences`) != 3 {
			t.Errorf("%+v", list)
		}
		_, err = o.Revoke(t.Context(), list[1].ID)
		must(t, err)
		all, err := o.Licences(t.Context())
		must(t, err)
		if len(all) != 3 || all[0].Note != "order 7" || l.count(`SELECT COUNT(*) FROM licences WHERE revoked_at IS NOT NULL`) != 1 {
			t.Errorf("%+v", all)
		}
		for _, count := range []int{0, mostCodes + 1} {
			if _, err := o.Issue(t.Context(), licence.Issue{Plan: policy.Standard, Days: 30, Uses: 1}, count); err == nil {
				t.Errorf("%d codes", count)
			}
		}
	})
}

// A mistyped file makes no database, whose codes nobody could use.
func TestTheOperatorsCommandsMakeNoDatabase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cloud")
	cfg, err := Parse("cloud.yaml", []byte("data_dir: "+dir+"\n"))
	must(t, err)
	for name, command := range map[string]func() error{
		"licence issue": func() error {
			return IssueLicences(t.Context(), cfg, LicenceOrder{Plan: "standard", Days: 30, Count: 1, Uses: 1}, io.Discard)
		},
		"log verify": func() error { return VerifyLog(t.Context(), cfg, "", "", io.Discard) },
	} {
		if err := command(); !errors.Is(err, store.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s made something: %v", name, err)
		}
	}
}
