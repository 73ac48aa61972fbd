package invitation

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/policy"
)

func TestINV11ACodeIsValidSevenDaysAndOnce(t *testing.T) {
	each(t, func(w *world) {
		one, two := w.device(w.ada, "one"), w.device(w.ada, "two")
		i, first := w.invited(w.ada, "bob@example.com", one)
		_, second := w.invited(w.ada, "bob@example.com", two)
		if i.Expires.Sub(w.clock()) != 7*24*time.Hour {
			t.Errorf("expires %s", i.Expires)
		}
		w.move(7*24*time.Hour - time.Millisecond)
		if _, err := w.accept(w.bob, first); err != nil {
			t.Errorf("at the last moment: %v", err)
		}
		if _, err := w.accept(w.bob, first); reason(err) != policy.CodeUsed {
			t.Errorf("twice: %v", err)
		}
		w.move(time.Millisecond)
		if _, err := w.accept(w.bob, second); reason(err) != policy.CodeExpired || w.role(w.bob, two) != policy.Nobody {
			t.Errorf("a moment late: %v", err)
		}
	})
}

func TestINV11OfTenWhoAcceptAtOnceOneDoes(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		_, code := w.invited(w.ada, "bob@example.com", id)
		got := atOnce(10, func(int) error { _, err := w.accept(w.bob, code); return err })
		if got[""] != 1 || got[policy.CodeUsed] != 9 || w.count(`SELECT COUNT(*) FROM grants`) != 1 {
			t.Errorf("%v", got)
		}
	})
}

func TestINV12FiveWrongCodesLockAndBothSidesAreTold(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		_, code := w.invited(w.ada, "bob@example.com", id)
		for n := range codeTries {
			if w.free(id) != device.MaxShares-1 {
				t.Fatalf("locked after %d", n)
			}
			if _, err := w.accept(w.bob, wrong); reason(err) != policy.CodeUnknown {
				t.Errorf("wrong: %v", err)
			}
		}
		if _, err := w.accept(w.bob, code); reason(err) != policy.CodeLocked || w.role(w.bob, id) != policy.Nobody {
			t.Errorf("right, after five wrong ones: %v", err)
		}
		for _, who := range []string{"ada@example.com", "bob@example.com"} {
			if l := w.last(who); !strings.Contains(l.text, "five wrong codes") || !strings.Contains(l.text, "1. rack, Smart-UPS 1500, serial number ending in 1234") || l.code != "" {
				t.Errorf("%s is told: %+v", who, l)
			}
		}
		if w.free(id) != device.MaxShares {
			t.Errorf("%d places", w.free(id))
		}
		_, code = w.invited(w.ada, "bob@example.com", id)
		if _, err := w.accept(w.bob, code); err != nil {
			t.Errorf("invited anew: %v", err)
		}
	})
}

func TestINV12WrongCodesAreLimitedByAccountAndByAddress(t *testing.T) {
	each(t, func(w *world) {
		id, mia := w.device(w.ada, "rack"), w.person("mia")
		_, code := w.invited(w.ada, "mia@example.com", id)
		for n := range 21 {
			w.bob.Address = fmt.Sprint("192.0.2.", n)
			_, err := w.accept(w.bob, wrong)
			if want := map[bool]policy.Reason{true: policy.RateLimit, false: policy.CodeUnknown}[n == 20]; reason(err) != want {
				t.Errorf("wrong code %d of an account: %v", n+1, err)
			}
		}
		mia.Address = "203.0.113.5"
		w.spend(account.CodesSource.Of(mia.Address), 19)
		w.eve.Address = mia.Address
		if _, err := w.accept(w.eve, wrong); reason(err) != policy.CodeUnknown {
			t.Errorf("the 20th from an address: %v", err)
		}
		if err := w.Decline(t.Context(), mia, code); reason(err) != policy.RateLimit {
			t.Errorf("the 21st from an address: %v", err)
		}
		w.move(time.Hour)
		if _, err := w.accept(mia, code); err != nil {
			t.Errorf("an hour later: %v", err)
		}
		if _, err := w.accept(w.bob, wrong); reason(err) != policy.CodeUnknown {
			t.Errorf("an hour later: %v", err)
		}
	})
}

func TestINV12OfWrongCodesAtOnceNoneIsForgotten(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		_, code := w.invited(w.ada, "bob@example.com", id)
		atOnce(codeTries, func(int) error { _, err := w.accept(w.bob, wrong); return err })
		if _, err := w.accept(w.bob, code); reason(err) != policy.CodeLocked {
			t.Errorf("%v", err)
		}
	})
}

func TestINV13WhatACodeIsAnsweredWith(t *testing.T) {
	each(t, func(w *world) {
		used, late, gone, other := w.device(w.ada, "used"), w.device(w.ada, "late"), w.device(w.ada, "gone"), w.device(w.ada, "other")
		_, usedCode := w.invited(w.ada, "bob@example.com", used)
		_, err := w.accept(w.bob, usedCode)
		w.must(err)
		_, lateCode := w.invited(w.ada, "bob@example.com", late)
		w.move(life)
		i, goneCode := w.invited(w.ada, "bob@example.com", gone)
		w.must(w.cancel(w.ada, i.ID))
		_, otherCode := w.invited(w.ada, "eve@example.com", other)
		told := map[string]bool{}
		for _, row := range []struct {
			code string
			want policy.Reason
		}{{usedCode, policy.CodeUsed}, {lateCode, policy.CodeExpired}, {goneCode, policy.CodeUnknown}, {otherCode, policy.CodeUnknown}, {wrong, policy.CodeUnknown}} {
			_, err := w.accept(w.bob, row.code)
			if reason(err) != row.want || w.Decline(t.Context(), w.bob, row.code) == nil {
				t.Errorf("%v, want %s", err, row.want)
			}
			if row.want == policy.CodeUnknown {
				told[err.Error()] = true
			}
		}
		if len(told) != 1 {
			t.Errorf("unknown codes are told apart: %v", told)
		}
		w.must(w.Sweep(t.Context()))
		if _, err := w.accept(w.bob, lateCode); reason(err) != policy.CodeExpired {
			t.Errorf("swept: %v", err)
		}
	})
}
