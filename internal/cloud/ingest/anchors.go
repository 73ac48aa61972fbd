package ingest

import (
	"time"

	"upsedge/internal/wire"
)

// Anchors tie the monotonic clock of a boot to the wall clock. Between two of them a crystal is off by 0.2 s (50 ppm of an hour).
const (
	anchorEvery = time.Hour
	anchorStep  = 500 * time.Millisecond // a clock that was set by more gets an anchor at once
	maxAnchors  = 10_000                 // of a boot: a year of them
)

// anchor keeps a stamp that has both times, if none near it is known.
func (b *batch) anchor(agent string, s wire.Stamp) {
	if s.Wall.IsZero() || b.err != nil {
		return
	}
	if near, ok := b.cache.anchors[agent]; ok && near.BootID == s.BootID && agree(near, s) {
		return
	}
	mono, wall := s.Mono.Microseconds(), s.Wall.UnixMilli()
	var nearMono, nearWall int64
	if b.one(nearestAnchor, []any{agent, s.BootID[:], mono}, &nearMono, &nearWall) {
		if near := stampOf(s.BootID[:], nearMono, &nearWall); agree(near, s) {
			b.cache.anchors[agent] = near
			return
		}
	}
	var have int
	if b.one(`SELECT COUNT(*) FROM anchors WHERE agent = $1 AND boot_id = $2`, []any{agent, s.BootID[:]}, &have); have >= maxAnchors {
		return
	}
	b.exec(`INSERT INTO anchors (agent, boot_id, mono, wall) VALUES ($1, $2, $3, $4) ON CONFLICT (agent, boot_id, mono) DO NOTHING`,
		agent, s.BootID[:], mono, wall)
}

// agree reports whether two stamps of one boot are near each other and say the same of the wall clock.
func agree(a, b wire.Stamp) bool {
	apart := a.Mono - b.Mono
	return apart.Abs() < anchorEvery && (a.Wall.Sub(b.Wall)-apart).Abs() < anchorStep
}

// nearestAnchor is asked with agent, boot id and monotonic time in microseconds.
const nearestAnchor = `SELECT mono, wall FROM (
	SELECT * FROM (SELECT mono, wall FROM anchors WHERE agent = $1 AND boot_id = $2 AND mono >= $3 ORDER BY mono LIMIT 1) AS behind
	UNION ALL
	SELECT * FROM (SELECT mono, wall FROM anchors WHERE agent = $1 AND boot_id = $2 AND mono < $3 ORDER BY mono DESC LIMIT 1) AS before
) AS near ORDER BY ABS(mono - $3) LIMIT 1`
