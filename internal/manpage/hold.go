package manpage

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// Hold compares page and completions of p with the files below packaging of the tree at root, and writes them where update is set.
func Hold(t testing.TB, root string, p Program, update bool) {
	t.Helper()
	for name, want := range map[string]string{
		"man/" + p.Name + "." + strconv.Itoa(p.Section): p.Page(),
		"completion/" + p.Name + ".bash":                p.Bash(),
		"completion/" + p.Name + ".zsh":                 p.Zsh(),
		"completion/" + p.Name + ".fish":                p.Fish(),
	} {
		path := filepath.Join(root, "packaging", filepath.FromSlash(name))
		if update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("packaging/%s is not what the commands of %s say (%v); go test ./cmd/... -run TestPages -update", name, p.Name, err)
		}
	}
}
