package manual

import (
	"regexp"
	"slices"
	"strings"
)

// Missing returns the first line that a block of what is typed and printed shows, and that was not printed behind those before it; "" where all
// were. names puts the names of here for those of the document. Blanks count as one, … stands for anything.
func (b Block) Missing(names func(string) string, printed string) string {
	lines := strings.Split(printed, "\n")
	for _, shown := range strings.Split(strings.TrimSpace(names(b.Text)), "\n") {
		shown = strings.Join(strings.Fields(shown), " ")
		if shown == "" || shown == "…" || strings.HasPrefix(shown, "# ") || strings.HasPrefix(shown, "$ ") {
			continue
		}
		form := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(shown), "…", ".*") + "$")
		i := slices.IndexFunc(lines, func(line string) bool { return form.MatchString(strings.Join(strings.Fields(line), " ")) })
		if i < 0 {
			return shown
		}
		lines = lines[i+1:]
	}
	return ""
}
