package store

import (
	"context"
	"fmt"

	"upsedge/internal/wire"
)

// ackStep is how many numbers one commit deletes at most, so that an event never waits for a whole backlog.
const ackStep = 2048

// Ack deletes the records of the lane up to and including the number through: they are stored elsewhere. Numbers that are gone
// do nothing, numbers that were never given neither. The commit is not waited for on the disk: an acknowledgement lost to a
// power cut makes the record be sent, and told as a duplicate, once more.
func (s *Store) Ack(ctx context.Context, lane wire.Lane, through uint64) error {
	if err := checkLane(lane); err != nil {
		return err
	}
	what := fmt.Sprintf("acknowledge lane %v through %d", lane, through)
	for more := true; more; {
		s.mu.Lock()
		row := s.lanes[lane]
		s.mu.Unlock()
		if through > row.last {
			s.log.Warn("acknowledgement of a number never given", "lane", lane, "through", through, "last", row.last)
			return nil
		}
		if row.records == 0 && row.done >= through {
			return s.state()
		}
		more = false
		err := s.write(ctx, what, eventually, func(t *tx) { more = t.forget(lane, through) })
		if err != nil {
			return err
		}
	}
	return s.shrink(ctx)
}

// forget deletes the oldest records up to the number through and reports whether there are more of them.
func (t *tx) forget(lane wire.Lane, through uint64) (more bool) {
	var first int64
	if !t.get([]any{&first}, "SELECT seq FROM "+laneTables[lane]+" ORDER BY seq LIMIT 1") || uint64(first) > through {
		t.finish(lane, through)
		return false
	}
	last := min(through, uint64(first)+ackStep-1)
	t.remove(lane, uint64(first), last)
	t.finish(lane, last)
	return last < through
}

const (
	sparePages  = 4096 // 16 MiB stay free inside the file for the next backlog
	shrinkPages = 512  // given back at a time
)

// shrink gives free pages back to the file system once a backlog is gone and more than half of the file is free.
func (s *Store) shrink(ctx context.Context) error {
	s.mu.Lock()
	big := s.fileBytes > sparePages*pageSize
	s.mu.Unlock()
	if !big {
		return nil
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-s.turn }()
	if err := s.state(); err != nil {
		return err
	}
	if s.hurt {
		return nil // first the next commit finds out what is left
	}
	ctx = context.WithoutCancel(ctx)
	var all, free int64
	c := s.w.conn
	if err := c.QueryRowContext(ctx, "PRAGMA page_count").Scan(&all); err != nil {
		return s.noteBroken(err)
	}
	if err := c.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
		return s.noteBroken(err)
	}
	if free < sparePages || free < all/2 {
		return nil
	}
	return s.vacuum(ctx)
}

// vacuum moves pages from the end of the file into free ones. SQLite does one page per row of the answer.
func (s *Store) vacuum(ctx context.Context) error {
	rows, err := s.w.conn.QueryContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", shrinkPages))
	if err != nil {
		return s.noteBroken(fmt.Errorf("shrink the file: %w", err))
	}
	for rows.Next() {
	}
	if err := rows.Close(); err != nil {
		s.hurt = s.hurt || hurts(err)
		return s.noteBroken(fmt.Errorf("shrink the file: %w", err))
	}
	size := s.sizeOnDisk()
	s.mu.Lock()
	s.fileBytes = size
	s.mu.Unlock()
	return nil
}
