package local

import (
	"html"
	"strconv"
	"strings"
)

// A writer writes HTML. Whatever a unit, a file or the agent says goes through text, attr or what they make up, which escape it; the
// rest is constant. That is the whole rule, and html/template with its parsers would be 300 KB of the program to keep it for us
// (docs/adr/0020-a-small-binary.md). Texts stand between elements and in quoted attributes alone, in no script, no style, and in no
// address but behind a path of ours, escaped for it.
type writer struct{ strings.Builder }

// A markup is HTML that stands in this package: an untyped constant converts to it, a text that came from elsewhere does not by itself.
type markup string

// raw and text are called four hundred times; put in their callers' place they would be 60 KB of the program.
//
//go:noinline
func (w *writer) raw(m markup) { w.WriteString(string(m)) }

//go:noinline
func (w *writer) text(s string) { w.WriteString(html.EscapeString(s)) }

// attr writes an attribute into a tag that is open.
//
//go:noinline
func (w *writer) attr(name markup, value string) {
	w.raw(" " + name + "=\"")
	w.text(value)
	w.raw("\"")
}

// num writes an attribute that is a number, to a tenth.
//
//go:noinline
func (w *writer) num(name markup, value float64) {
	w.raw(" " + name + "=\"")
	w.WriteString(tenth(value))
	w.raw("\"")
}

//go:noinline
func tenth(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// open begins an element with an id and a class; either may be "".
func (w *writer) open(element markup, id string, class markup) {
	w.raw("<" + element)
	if id != "" {
		w.attr("id", id)
	}
	if class != "" {
		w.raw(" class=\"" + class + "\"")
	}
	w.raw(">")
}

// in writes an element with a text in it.
//
//go:noinline
func (w *writer) in(element markup, text string) {
	w.raw("<" + element + ">")
	w.text(text)
	w.raw("</" + element + ">")
}

// link writes a link to a place of ours.
func (w *writer) link(to, text string) {
	w.raw("<a")
	w.attr("href", to)
	w.raw(">")
	w.text(text)
	w.raw("</a>")
}

// marked writes an element of a class with a text in it.
//
//go:noinline
func (w *writer) marked(element, class markup, text string) {
	w.raw("<" + element + " class=\"" + class + "\">")
	w.text(text)
	w.raw("</" + element + ">")
}

// fact writes a term and what is said of it, with something smaller behind that; small may be "".
func (w *writer) fact(term, says, small string) {
	w.raw("<div>")
	w.said(term, says, small)
}

// bad is a fact that is not as it should be.
func (w *writer) bad(term, says, small string) {
	w.raw("<div class=\"bad\">")
	w.said(term, says, small)
}

func (w *writer) said(term, says, small string) {
	w.raw("<dt>")
	w.text(term)
	w.raw("</dt><dd>")
	w.text(says)
	if small != "" {
		w.raw(" <small>")
		w.text(small)
		w.raw("</small>")
	}
	w.raw("</dd></div>\n")
}
