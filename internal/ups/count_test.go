package ups

import "testing"

func TestCountsAreSaidAsPeopleSayThem(t *testing.T) {
	for n, want := range map[int64]string{0: "0 records", 1: "1 record", 2: "2 records", -1: "-1 records"} {
		if got := Count(n, "record"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	if got := Count(^uint64(0), "request"); got != "18446744073709551615 requests" {
		t.Error(got)
	}
}
