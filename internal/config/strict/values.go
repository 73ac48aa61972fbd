package strict

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Duration is written with its unit: 100ms, 10s, 2m, 1h. Only 0 needs none.
type Duration time.Duration

// UnmarshalYAML reads it.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		if _, e := strconv.ParseFloat(n.Value, 64); e == nil {
			return fmt.Errorf("%s has no unit: write %sms, %ss or %sm", n.Value, n.Value, n.Value, n.Value)
		}
		return fmt.Errorf("%q is not a duration such as 100ms, 10s or 2m", n.Value)
	}
	if v < 0 {
		return fmt.Errorf("%s is negative", n.Value)
	}
	*d = Duration(v)
	return nil
}

// A ByteSize is a number of bytes, with or without a unit: 1GiB, 500MB, 4096.
type ByteSize int64

var byteUnits = []struct {
	suffix string
	bytes  float64
}{ // longest suffix first
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
	{"", 1},
}

// UnmarshalYAML reads it.
func (b *ByteSize) UnmarshalYAML(n *yaml.Node) error {
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(n.Value, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil {
			break
		}
		if bytes := v * u.bytes; !(bytes >= 0 && bytes <= math.MaxInt64/2) || bytes > 0 && bytes < 1 { // not NaN either
			return fmt.Errorf("%s is out of range", n.Value)
		}
		*b = ByteSize(v * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 512MiB or 1GiB", n.Value)
}
