package policy

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// matrixCSV is the one normative form of the matrix (rules, section 3).
//
//go:embed matrix.csv
var matrixCSV string

var matrix = mustParse(matrixCSV)

// Actions returns the actions of the matrix, sorted.
func Actions() []Action { return slices.Sorted(maps.Keys(matrix)) }

func mustParse(text string) map[Action]map[Role]cell {
	m, err := parse(text)
	if err != nil {
		panic(err) // the table is part of the program
	}
	return m
}

// parse reads a table: a line of names, then a line for each action.
func parse(text string) (map[Action]map[Role]cell, error) {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("permission matrix: %w", err)
	}
	want := []string{"action"}
	for _, r := range Roles {
		want = append(want, string(r))
	}
	if len(rows) == 0 || !slices.Equal(rows[0], want) {
		return nil, fmt.Errorf("permission matrix: the first line is not %v", want)
	}
	m := map[Action]map[Role]cell{}
	for _, row := range rows[1:] {
		action := Action(row[0])
		if m[action] != nil {
			return nil, fmt.Errorf("permission matrix: %s stands there twice", action)
		}
		m[action] = map[Role]cell{}
		for i, text := range row[1:] {
			c, err := parseCell(text)
			if err != nil {
				return nil, fmt.Errorf("permission matrix: %s for %s: %w", action, Roles[i], err)
			}
			m[action][Roles[i]] = c
		}
	}
	return m, nil
}

// parseCell reads "-", or the first letters of plans in the order B S A, with a leading p for the projection.
func parseCell(text string) (c cell, err error) {
	if text == "-" {
		return cell{}, nil
	}
	rest, projected := strings.CutPrefix(text, "p")
	c.projected = projected
	for _, letter := range rest {
		at := strings.IndexRune("BSA", letter)
		if at < 0 || c.plans>>at != 0 {
			return cell{}, fmt.Errorf("%q is no cell", text)
		}
		c.plans |= 1 << at
	}
	if c.plans == 0 {
		return cell{}, fmt.Errorf("%q is no cell", text)
	}
	return c, nil
}
