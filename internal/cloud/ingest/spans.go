package ingest

import "slices"

// A Span is the numbers First to Last of a lane, both included.
type Span struct{ First, Last uint64 }

// spans are sets of numbers from 1: ascending, and at least one number lies between two of them.
type spans []Span

// at returns the index of the first span that ends at n or behind it.
func (s spans) at(n uint64) int {
	i, _ := slices.BinarySearchFunc(s, n, func(a Span, n uint64) int {
		if a.Last < n {
			return -1
		}
		return 1
	})
	return i
}

func (s spans) has(n uint64) bool {
	i := s.at(n)
	return i < len(s) && s[i].First <= n
}

// touches reports whether adding first to last makes no further piece.
func (s spans) touches(first, last uint64) bool {
	i := s.at(first - 1)
	return i < len(s) && s[i].First-1 <= last
}

// add puts the numbers first to last into the set. It reports whether one of them is new.
func (s *spans) add(first, last uint64) bool {
	from := s.at(first - 1) // the span that touches first, too
	to := from
	for to < len(*s) && (*s)[to].First-1 <= last {
		to++
	}
	n := Span{first, last}
	if to > from {
		if (*s)[from].First <= first && (*s)[from].Last >= last {
			return false
		}
		n.First, n.Last = min(first, (*s)[from].First), max(last, (*s)[to-1].Last)
	}
	*s = slices.Replace(*s, from, to, n)
	return true
}

// mark is the highest number up to which the set has every one.
func (s spans) mark() uint64 {
	if len(s) > 0 && s[0].First == 1 {
		return s[0].Last
	}
	return 0
}

// holes are the numbers that are missing between 1 and the highest one of the set.
func (s spans) holes() (out []Span) {
	next := uint64(1)
	for _, a := range s {
		if a.First > next {
			out = append(out, Span{next, a.First - 1})
		}
		next = a.Last + 1
	}
	return out
}
