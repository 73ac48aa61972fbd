package authority

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"upsedge/internal/trust"
)

// maxChecked bounds what Check looks at: a head of the Event Log has a few hundred bytes.
const maxChecked = 4 << 10

// Check verifies what Sign has made for a purpose, by the key of whichever list it was, as the lists of all rotations are kept, and returns
// what was signed.
func (a *Authority) Check(purpose, jws string) ([]byte, error) {
	names, err := filepath.Glob(filepath.Join(a.dir, "keys-*.jws"))
	if err != nil {
		return nil, err
	}
	err = errors.New("there is no list of keys")
	for _, name := range names {
		list, readErr := os.ReadFile(name)
		if readErr != nil {
			return nil, fmt.Errorf("lists of keys: %w", readErr)
		}
		payload, checkErr := trust.Open(a.root, strings.TrimSpace(string(list)), purpose, jws, maxChecked)
		if checkErr == nil {
			return payload, nil
		}
		err = checkErr
	}
	return nil, err
}
