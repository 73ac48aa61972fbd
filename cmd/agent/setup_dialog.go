package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A dialog asks questions at a terminal, a line each: plain text from top to bottom, so that it works on any terminal and can be read aloud.
type dialog struct {
	lines chan string // closed at the end of the input
	w     io.Writer
	asked int
}

// newDialog reads the terminal from now on. The reader ends with the process: nothing interrupts it.
func newDialog(in io.Reader, w io.Writer) *dialog {
	d := &dialog{lines: make(chan string), w: w}
	go func() {
		defer close(d.lines)
		r := bufio.NewReader(in)
		for {
			line, err := r.ReadString('\n')
			if err != nil && line == "" {
				return
			}
			d.lines <- strings.TrimSpace(line)
		}
	}()
	return d
}

// question asks and returns the answer, without spaces around it. The error is errStopped, at the end of ctx and of the input.
func (d *dialog) question(ctx context.Context, words string) (string, error) {
	d.asked++
	fmt.Fprintf(d.w, "%s ", folded(words, 0))
	select {
	case line, ok := <-d.lines:
		if ok {
			return line, nil
		}
	case <-ctx.Done():
	}
	fmt.Fprintln(d.w)
	return "", errStopped
}

// until asks until take has nothing against the answer, and says what it has.
func (d *dialog) until(ctx context.Context, words string, take func(answer string) error) error {
	for {
		answer, err := d.question(ctx, words)
		if err != nil {
			return err
		}
		wrong := take(answer)
		if wrong == nil || errors.Is(wrong, errDeclined) {
			return wrong
		}
		fmt.Fprintf(d.w, "  %s\n", folded(wrong.Error(), 2))
	}
}
