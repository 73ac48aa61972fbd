package authority

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of wrong tokens (T-89). 128 random bits are not guessed; this keeps somebody from trying, and from filling the log.
const (
	perSource     = 10 // wrong tokens of one source, then one in sourcePause
	sourcePause   = time.Minute
	ofAll         = 600 // wrong tokens of everybody, then one in allPause
	allPause      = time.Second
	mostSources   = 10_000 // remembered; beyond them the one that has been quiet for longest is forgotten
	sourcesAtOnce = 100    // forgotten together
)

// A bucket counts down. It fills up again with time.
type bucket struct {
	left float64
	at   time.Time
}

func (b *bucket) fill(now time.Time, most float64, pause time.Duration) {
	if now.After(b.at) {
		b.left = min(most, b.left+float64(now.Sub(b.at))/float64(pause))
	}
	b.at = now
}

// guesses counts wrong tokens, of each source and of all. Every process counts its own.
type guesses struct {
	mu      sync.Mutex
	all     bucket
	sources map[string]*bucket
}

func newGuesses() *guesses { return &guesses{all: bucket{left: ofAll}, sources: map[string]*bucket{}} }

// wait returns how long a source has to wait before it may try again, 0 when it need not.
func (g *guesses) wait(source string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all.fill(now, ofAll, allPause)
	if g.all.left < 1 {
		return time.Duration((1 - g.all.left) * float64(allPause))
	}
	if b := g.sources[network(source)]; b != nil {
		if b.fill(now, perSource, sourcePause); b.left < 1 {
			return time.Duration((1 - b.left) * float64(sourcePause))
		}
	}
	return 0
}

// missed counts a wrong token.
func (g *guesses) missed(source string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all.fill(now, ofAll, allPause)
	g.all.left--
	key := network(source)
	b := g.sources[key]
	if b == nil {
		if len(g.sources) >= mostSources {
			g.forget()
		}
		b = &bucket{perSource, now}
		g.sources[key] = b
	}
	b.fill(now, perSource, sourcePause)
	b.left--
}

// forget makes room: it leaves out what is full again anyway, and if need be some of the rest.
func (g *guesses) forget() {
	var last time.Time
	for _, b := range g.sources {
		if b.at.After(last) {
			last = b.at
		}
	}
	n := 0
	for key, b := range g.sources {
		if b.fill(last, perSource, sourcePause); b.left >= perSource {
			delete(g.sources, key)
			n++
		}
	}
	for key := range g.sources {
		if n >= sourcesAtOnce {
			return
		}
		delete(g.sources, key)
		n++
	}
}

// network is what one subscriber has: an address of IPv4, 64 bits of one of IPv6.
func network(source string) string {
	ip, err := netip.ParseAddr(source)
	if err != nil {
		return source
	}
	ip = ip.Unmap()
	if ip.Is4() {
		return ip.String()
	}
	p, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return source
	}
	return p.String()
}
