package store

import (
	"io/fs"
	"strings"
	"testing/fstest"
)

// Before makes this program the one whose last migration had this number, until what it returns is called.
func Before(last string) (now func()) {
	all := migrations
	some := fstest.MapFS{}
	entries, err := fs.ReadDir(all, ".")
	for _, e := range entries {
		if number, _, _ := strings.Cut(e.Name(), "_"); err == nil && number <= last {
			some[e.Name()] = &fstest.MapFile{Mode: 0o444}
			some[e.Name()].Data, err = fs.ReadFile(all, e.Name())
		}
	}
	if err != nil {
		panic(err)
	}
	migrations = some
	return func() { migrations = all }
}
