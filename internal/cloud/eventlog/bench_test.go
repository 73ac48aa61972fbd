package eventlog_test

import (
	"context"
	"testing"

	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
)

// BenchmarkAppend is what an entry adds to a transaction: a hundred of one device in each.
func BenchmarkAppend(b *testing.B) {
	for name, config := range map[string]func(testing.TB) store.Config{store.SQLite: storetest.SQLite, store.Postgres: storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			db := storetest.Open(b, config(b))
			register(b, db, "d_1", "o_1", "a_ada")
			for left := b.N; left > 0; left -= 100 {
				must(b, db.Write(b.Context(), func(ctx context.Context, tx *store.Tx) error {
					for range min(left, 100) {
						if err := eventlog.Append(ctx, tx, entry("d_1")); err != nil {
							return err
						}
					}
					return nil
				}))
			}
		})
	}
}

// BenchmarkVerify is for each entry of a chain.
func BenchmarkVerify(b *testing.B) {
	db := storetest.Open(b, storetest.SQLite(b))
	register(b, db, "d_1", "o_1", "a_ada")
	entries := make([]eventlog.Entry, b.N)
	for i := range entries {
		entries[i] = entry("d_1")
	}
	add(b, db, entries...)
	b.ResetTimer()
	if r := verify(b, db, eventlog.Options{}); !r.OK() || r.Entries != int64(b.N) {
		b.Errorf("%+v", r)
	}
}
