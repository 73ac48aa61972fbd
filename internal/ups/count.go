package ups

import "strconv"

// Count says how many there are of a thing, for people: "1 record", "2 records". thing is one of it, and takes an s.
func Count[T ~int | ~int64 | ~uint32 | ~uint64](n T, thing string) string {
	if n != 1 {
		thing += "s"
	}
	if n < 0 {
		return strconv.FormatInt(int64(n), 10) + " " + thing
	}
	return strconv.FormatUint(uint64(n), 10) + " " + thing
}
