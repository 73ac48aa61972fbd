package testenv

import "testing"

// Part has a test of many cases play only some of them under the race detector, where they take eight times as long and show it the same
// again: the n-th case is skipped unless n is a multiple of of. `make test` plays all cases of such tests once more without it, see
// tools/whole, which finds them by this call.
func Part(t *testing.T, n, of int) {
	t.Helper()
	if Race && n%of != 0 {
		t.Skip("played without the race detector (tools/whole)")
	}
}
