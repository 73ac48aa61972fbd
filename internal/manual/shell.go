package manual

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A Command is one command line of a document.
type Command struct {
	Where    string   // docs/install.md:12
	Args     []string // without the name of the program
	Sentence bool     // between backquotes: it may leave out what the sentence is not about
}

func (c Command) String() string { return strings.Join(c.Args, " ") }

// Commands returns every command line of a program in the documents, in blocks of commands and between backquotes, where it may be a synopsis:
// of [optional] parts the brackets are taken off, of this\|that the first is taken. Between backquotes it also looks where people read of the
// programs otherwise: changes, architecture, decisions, examples of configurations, what packages print.
func Commands(t testing.TB, root, program string) (out []Command) {
	t.Helper()
	docs := Documents(t, root)
	for _, pattern := range []string{"*.md", "docs/adr/*.md", "configs/*.yaml", "packaging/deb/*post*", "packaging/rpm/*", "packaging/*.service"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rel, _ := filepath.Rel(root, file)
			docs[rel] = string(text)
		}
	}
	var names []string
	for name := range docs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		blocks, _ := Blocks(name, docs[name])
		for _, b := range blocks {
			for _, words := range Words(b.Commands()) {
				if args, ok := of(program, words); ok {
					out = append(out, Command{b.String(), args, false})
				}
			}
		}
		for _, m := range spanForm.FindAllStringSubmatch(withoutFences(docs[name]), -1) {
			if args, ok := of(program, synopsis(m[1])); ok && len(args) > 0 {
				out = append(out, Command{name, args, true})
			}
		}
	}
	return out
}

// Commands returns a block as a script: what is written behind a prompt, or all of it.
func (b Block) Commands() string {
	switch b.Language {
	case "sh":
		return b.Text
	case "console":
		var typed strings.Builder
		for _, line := range strings.Split(b.Text, "\n") {
			if strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "$ ") {
				typed.WriteString(line[2:] + "\n")
			}
		}
		return typed.String()
	}
	return ""
}

var (
	spanForm  = regexp.MustCompile("`([^`\n]+)`")
	blockForm = regexp.MustCompile("(?s)\n *```.*?\n *```")
)

func withoutFences(text string) string { return blockForm.ReplaceAllString(text, "") }

// synopsis returns the words of a command that may be one.
func synopsis(span string) (words []string) {
	commands := Words(strings.ReplaceAll(span, `\|`, "/"))
	if len(commands) == 0 {
		return nil
	}
	for _, w := range commands[0] {
		if w = strings.Trim(w, "[]…"); w != "" && w != "..." {
			words = append(words, strings.TrimSuffix(w, "..."))
		}
	}
	return words
}

// of returns the arguments of a command of this program, whoever it is run as and from where.
func of(program string, words []string) ([]string, bool) {
	for len(words) > 0 && (words[0] == "sudo" || words[0] == "exec" || assignment.MatchString(words[0])) {
		words = words[1:]
	}
	if len(words) == 0 || path.Base(words[0]) != program {
		return nil, false
	}
	return words[1:], true
}

var assignment = regexp.MustCompile(`^[A-Z_]+=`)

// Words parts a shell script into its commands, and those into words, as far as documents go: quotes, comments, continued lines, lists, pipes,
// redirections, which are left out, and $(…), whose commands come behind the one they are in. Variables stay as they are written.
func Words(script string) [][]string {
	s := &scanner{rest: strings.ReplaceAll(script, "\\\n", "")}
	s.scan()
	return append(s.commands, s.inner...)
}

type scanner struct {
	rest     string
	commands [][]string
	inner    [][]string
	words    []string
	word     strings.Builder
	began    bool // a word, perhaps an empty one in quotes
	drop     bool // the next word is where a redirection goes
	heredoc  string
}

func (s *scanner) scan() {
	for s.rest != "" {
		c := s.rest[0]
		s.rest = s.rest[1:]
		switch {
		case c == '\'':
			s.take(s.until("'"))
		case c == '"':
			s.double()
		case c == '$' && strings.HasPrefix(s.rest, "("):
			s.substitute()
		case c == '#' && !s.began:
			s.rest = s.rest[len(s.line()):]
		case c == ' ' || c == '\t':
			s.endWord()
		case c == '\n':
			s.endCommand()
			if s.heredoc != "" {
				_, s.rest, _ = strings.Cut(s.rest, "\n"+s.heredoc+"\n")
				s.heredoc = ""
			}
		case c == '<' || c == '>':
			s.redirect(c)
		case strings.ContainsRune("|;&()", rune(c)):
			s.endCommand()
		default:
			s.take(string(c))
		}
	}
	s.endCommand()
}

func (s *scanner) take(text string) {
	s.began = true
	s.word.WriteString(text)
}

// until returns what comes before an end, and takes both.
func (s *scanner) until(end string) string {
	before, rest, _ := strings.Cut(s.rest, end)
	s.rest = rest
	return before
}

func (s *scanner) line() string {
	line, _, _ := strings.Cut(s.rest, "\n")
	return line
}

// double is what stands between double quotes; commands in it count.
func (s *scanner) double() {
	s.began = true
	for s.rest != "" {
		c := s.rest[0]
		s.rest = s.rest[1:]
		switch {
		case c == '"':
			return
		case c == '\\' && s.rest != "":
			s.take(s.rest[:1])
			s.rest = s.rest[1:]
		case c == '$' && strings.HasPrefix(s.rest, "("):
			s.substitute()
		default:
			s.take(string(c))
		}
	}
}

// substitute is $(…), brackets in brackets included.
func (s *scanner) substitute() {
	depth, i := 0, 0
	for ; i < len(s.rest); i++ {
		if s.rest[i] == '(' {
			depth++
		} else if s.rest[i] == ')' {
			if depth--; depth == 0 {
				break
			}
		}
	}
	i = min(i, len(s.rest)-1)
	s.inner = append(s.inner, Words(s.rest[1:i])...)
	s.rest = s.rest[i+1:]
	s.take("$()")
}

func (s *scanner) redirect(c byte) {
	if w := s.word.String(); w == "1" || w == "2" || w == "&" {
		s.word.Reset()
		s.began = false
	}
	s.endWord()
	if c == '<' && strings.HasPrefix(s.rest, "<") {
		s.heredoc = strings.Trim(strings.Fields(strings.TrimPrefix(s.line(), "<"))[0], `'"`)
		s.rest = s.rest[len(s.line()):]
		return
	}
	s.rest = strings.TrimLeft(s.rest, ">&")
	s.drop = true
}

func (s *scanner) endWord() {
	if s.began && !s.drop {
		s.words = append(s.words, s.word.String())
	}
	if s.began {
		s.drop = false
	}
	s.word.Reset()
	s.began = false
}

func (s *scanner) endCommand() {
	s.endWord()
	if len(s.words) > 0 {
		s.commands = append(s.commands, s.words)
	}
	s.words, s.drop = nil, false
}
