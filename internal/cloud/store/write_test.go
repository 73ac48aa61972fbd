package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/testenv"
)

// Many goroutines that read and then write what rests on it lose nothing, whatever the database has to repeat.
func TestWritesAreSerialisable(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		dbs := []*store.DB{storetest.Open(t, c), storetest.Open(t, c)} // as two processes
		table(t, dbs[0])
		must(t, dbs[0].Write(t.Context(), put("n", 0)))
		const writers, each = 4, 10
		var all sync.WaitGroup
		var runs, after atomic.Int64
		var meet sync.WaitGroup // the first two have both read before either writes: one of them has to be repeated
		meet.Add(2)
		for i := range writers {
			all.Go(func() {
				once := sync.OnceFunc(func() {
					if c.Driver == store.Postgres && i < 2 {
						meet.Done()
						meet.Wait()
					}
				})
				for range each {
					err := dbs[i%2].Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
						runs.Add(1)
						tx.After(func() { after.Add(1) })
						var n int64
						if err := tx.QueryRow(ctx, `SELECT count FROM things WHERE name = $1`, "n").Scan(&n); err != nil {
							return err
						}
						once()
						return put("n", n+1)(ctx, tx)
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if got := count(t, dbs[0], "n"); got != writers*each || after.Load() != got {
			t.Errorf("counted to %d with %d callbacks, want %d", got, after.Load(), writers*each)
		}
		if c.Driver == store.Postgres && runs.Load() == writers*each {
			t.Error("nothing was ever repeated: this has tested nothing")
		}
	})
}

// What both transactions read the other one writes: snapshots alone would let both through.
func TestTwoWritesThatRestOnEachOtherAreNotBothMade(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(put("a", 1)(ctx, tx), put("b", 1)(ctx, tx))
		}))
		var all sync.WaitGroup
		for _, mine := range []string{"a", "b"} {
			all.Go(func() {
				must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
					var sum int64
					if err := tx.QueryRow(ctx, `SELECT SUM(count) FROM things WHERE name IN ('a', 'b')`).Scan(&sum); err != nil || sum < 2 {
						return err
					}
					time.Sleep(20 * time.Millisecond) // the other one is there by now, where it can be
					return put(mine, 0)(ctx, tx)
				}))
			})
		}
		all.Wait()
		if sum := count(t, db, "a") + count(t, db, "b"); sum != 1 {
			t.Errorf("%d are left, want one", sum)
		}
	})
}

func TestATransactionInsideAnotherIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.Write(t.Context(), func(ctx context.Context, _ *store.Tx) error {
			return db.Read(ctx, func(context.Context, *store.Tx) error { return nil })
		})
		if !errors.Is(err, store.ErrNested) {
			t.Errorf("%v", err)
		}
	})
}

func TestAReadSeesOneSnapshotAndChangesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		must(t, db.Write(t.Context(), put("a", 1)))
		must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			var before, then int64
			const query = `SELECT SUM(count) FROM things`
			must(t, tx.QueryRow(ctx, query).Scan(&before))
			must(t, db.Write(t.Context(), put("b", 1))) // beside it
			must(t, tx.QueryRow(ctx, query).Scan(&then))
			if then != before {
				t.Errorf("%d, then %d", before, then)
			}
			return nil
		}))
		if err := db.Read(t.Context(), put("c", 1)); err == nil || count(t, db, "c") != -1 {
			t.Errorf("a read wrote: %v", err)
		}
	})
}

// A statement that failed ends its transaction, though its error is overlooked; the next one is not touched by it.
func TestAnOverlookedErrorCommitsNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		must(t, db.Write(t.Context(), put("a", 1)))
		err := db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			must(t, put("b", 1)(ctx, tx))
			_, _ = tx.Exec(ctx, `INSERT INTO things (name, count) VALUES ('a', 1)`)
			return nil
		})
		if err == nil || count(t, db, "b") != -1 {
			t.Errorf("committed: %v", err)
		}
		must(t, db.Write(t.Context(), put("b", 2)))
	})
}

func TestAPanicLeavesNothingBehind(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		func() {
			defer func() { _ = recover() }()
			_ = db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				must(t, put("a", 1)(ctx, tx))
				panic("a bug")
			})
		}()
		must(t, db.Write(t.Context(), put("b", 1)))
		if count(t, db, "a") != -1 {
			t.Error("half a transaction was committed")
		}
	})
}

func TestAContextThatEndsUndoes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
			must(t, put("a", 1)(ctx, tx))
			cancel()
			return put("b", 1)(ctx, tx)
		})
		if !errors.Is(err, context.Canceled) || count(t, db, "a") != -1 {
			t.Errorf("%v", err)
		}
		must(t, db.Write(t.Context(), put("a", 2)))
	})
}

// Every call failing once: all of a transaction or nothing, and the next one goes well.
func TestEveryCallFailingOnce(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		f := &storetest.Faults{}
		c.Wrap = f.Wrap
		db := storetest.Open(t, c)
		table(t, db)
		failed := 0
		for n := int64(1); ; n++ {
			a, b := fmt.Sprint("a", n), fmt.Sprint("b", n)
			write := func(ctx context.Context, tx *store.Tx) error {
				if err := put(a, n)(ctx, tx); err != nil {
					return err
				}
				var have int64
				if err := tx.QueryRow(ctx, `SELECT count FROM things WHERE name = $1`, a).Scan(&have); err != nil {
					return err
				}
				return put(b, have)(ctx, tx)
			}
			f.Arm(n, 1)
			err := db.Write(t.Context(), write)
			f.Arm(1, 0)
			if err == nil {
				break
			}
			failed++
			if !errors.Is(err, storetest.ErrInjected) || count(t, db, a) != -1 || count(t, db, b) != -1 {
				t.Fatalf("call %d: %v, and %d and %d are there", n, err, count(t, db, a), count(t, db, b))
			}
			must(t, db.Write(t.Context(), write))
			if count(t, db, b) != n {
				t.Fatalf("call %d: not there afterwards", n)
			}
		}
		if failed < 4 {
			t.Errorf("only %d calls failed", failed)
		}
	})
}

// The server is killed in the middle of a transaction and comes back: the transaction is repeated, and made once.
func TestALostServerIsWaitedFor(t *testing.T) {
	server := testenv.OwnPostgres(t, "")
	db := storetest.Open(t, storetest.PostgresOn(t, server))
	table(t, db)
	runs := 0
	must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		if err := put("a", 1)(ctx, tx); err != nil {
			return err
		}
		if runs++; runs == 1 {
			server.Kill()
			server.Start(t)
		}
		return put("b", 1)(ctx, tx)
	}))
	if runs < 2 || count(t, db, "a") != 1 || count(t, db, "b") != 1 {
		t.Errorf("%d runs, %d and %d are there", runs, count(t, db, "a"), count(t, db, "b"))
	}
}

// A connection that is lost during the commit leaves a doubt, which is told and not repeated.
func TestALostCommitIsInDoubt(t *testing.T) {
	f, c := &storetest.Faults{}, storetest.Postgres(t)
	c.Wrap = f.Wrap
	db := storetest.Open(t, c)
	table(t, db)
	f.Commits.Store(true)
	f.Late.Store(true)
	f.Arm(1, 1)
	runs := 0
	err := db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		runs++
		return put("a", 1)(ctx, tx)
	})
	if !errors.Is(err, store.ErrInDoubt) || runs != 1 || count(t, db, "a") != 1 {
		t.Errorf("%v after %d runs", err, runs)
	}
}

// On SQLite writers have their turn in the order of asking.
func TestWritersHaveTheirTurn(t *testing.T) {
	c := storetest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, c)
		var order []int
		var all sync.WaitGroup
		must(t, db.Write(t.Context(), func(context.Context, *store.Tx) error {
			for i := range 5 {
				all.Go(func() {
					must(t, db.Write(t.Context(), func(context.Context, *store.Tx) error {
						order = append(order, i)
						return nil
					}))
				})
				synctest.Wait() // it waits for its turn
			}
			return nil
		}))
		all.Wait()
		if fmt.Sprint(order) != "[0 1 2 3 4]" {
			t.Errorf("turns %v", order)
		}
	})
}
