package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"upsedge/internal/ups"
)

func tierName(t int) string { return ups.Tier(t).String() }

// stateFiles are the files of a state directory that are told of: their sizes and ages, and nothing that is in them.
var stateFiles = []string{"store.db", "store.db-wal", "orders.db", "orders.db-wal", "cloud/*/orders.db", "cloud/*/orders.db-wal", "cloud/*/agent.pem", "cloud_root", "store.db.broken-*"}

const maxFiles = 64

// Files are those of the state directory. Of what lies below the name of an agent the name is left out.
func Files(stateDir string) (out []File) {
	for _, pattern := range stateFiles {
		names, _ := filepath.Glob(filepath.Join(stateDir, pattern))
		slices.Sort(names)
		for _, name := range names[:min(len(names), maxFiles)] {
			fi, err := os.Lstat(name)
			if err != nil || !fi.Mode().IsRegular() {
				continue
			}
			shown := pattern
			if !strings.Contains(pattern, "/") {
				shown = filepath.Base(name)
			}
			out = append(out, File{shown, fi.Size(), time.Since(fi.ModTime()).Round(time.Second).Seconds(), fi.Mode().Perm().String()})
		}
	}
	return out
}

// State adds what a state directory has of keys of enrolments. Those of the spool the store knows: see Key.
func (s *Secrets) State(dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, "cloud", "*", "agent.pem"))
	for _, name := range append(names, filepath.Join(dir, "cloud", "new.pem")) {
		s.PEM("the key of the agent", name)
	}
}

// Web adds what is secret of a file of web_config: the hashes of passwords, and the key it names.
func (s *Secrets) Web(of, path string) {
	for line := range strings.Lines(string(read(path))) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch {
		case strings.HasPrefix(value, "$2"):
			s.Text(of, value)
		case key == "key_file":
			if !filepath.IsAbs(value) {
				value = filepath.Join(filepath.Dir(path), value)
			}
			s.PEM(of, value)
		}
	}
}
