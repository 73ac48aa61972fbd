package ups

// A Family is a set of families of Smart-UPS, as part 990-9840B has them in columns. 0 is a family that has no column, or one
// that is not known.
type Family uint8

// The families.
const (
	SMT   Family = 1 << iota // SMT and SMX
	SRT                      // SRT
	SURTD                    // SURTD
)

// FamilyOf returns the family of a unit by its order number. A letter after the prefix makes it another family (SMTL, SRTL),
// which has no column.
func FamilyOf(sku string) Family {
	for _, f := range [...]struct {
		prefix string
		family Family
	}{{"SMT", SMT}, {"SMX", SMT}, {"SRT", SRT}, {"SURTD", SURTD}} {
		n := len(f.prefix)
		if len(sku) > n && sku[:n] == f.prefix && sku[n] >= '0' && sku[n] <= '9' {
			return f.family
		}
	}
	return 0
}
