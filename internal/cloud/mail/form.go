package mail

import (
	"strings"
	"text/template"
	"time"
)

// Form parses the text of a letter, a constant, with places for facts.
func Form(text string) *template.Template { return template.Must(template.New("").Parse(text)) }

// Fill returns the text of a letter with its facts. What people typed is to be harmless by then (Quote).
func Fill(form *template.Template, facts any) string {
	var b strings.Builder
	if err := form.Execute(&b, facts); err != nil {
		panic(err) // forms are constants, and filled by tests
	}
	return b.String()
}

// When is how letters give a time: to the minute.
func When(t time.Time) string { return t.UTC().Format("2 January 2006 15:04 UTC") }
