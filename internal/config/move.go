package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// moved returns the file with the unit of that name at the place of u: its port or address and its slave address. All else it has stays, and so
// does every other byte where the file has room for it.
func moved(name string, old []byte, u Unit) ([]byte, error) {
	before, err := Parse(name, old)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(before.Units, func(have Unit) bool { return have.Name == u.Name })
	if at < 0 {
		return nil, fmt.Errorf("there is no unit %s", u.Name)
	}
	if have := before.Units[at]; have.LineKey() == u.LineKey() && have.UnitID == u.UnitID {
		return old, nil
	}
	entry, err := placeEntry(u)
	if err != nil {
		return nil, err
	}
	failed := fmt.Errorf("unit %s is written in a way that cannot be changed", u.Name)
	for _, propose := range []func([]byte, int, Unit, string) ([]byte, error){movedInPlace, movedAnew} {
		next, err := propose(old, at, u, entry)
		if err != nil {
			continue
		}
		after, err := Parse(name, next)
		if err == nil && isMoved(before, after, at, u) {
			return next, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// placeEntry is the line of the file that says where a unit is.
func placeEntry(u Unit) (string, error) {
	w := written([]Unit{u})[0]
	text, err := encode(struct {
		Serial *writtenSerial `yaml:"serial,omitempty,flow"`
		TCP    *writtenTCP    `yaml:"tcp,omitempty,flow"`
	}{w.Serial, w.TCP})
	return strings.TrimSuffix(string(text), "\n"), err
}

// isMoved reports whether after is before with one unit at another place. Its rates may follow the kind of the place.
func isMoved(before, after *Config, at int, u Unit) bool {
	if len(after.Units) != len(before.Units) {
		return false
	}
	is := after.Units[at]
	if is.LineKey() != u.LineKey() || is.UnitID != u.UnitID || is.OverCard() != u.OverCard() {
		return false
	}
	is.Serial, is.TCP, is.UnitID, is.Poll = before.Units[at].Serial, before.Units[at].TCP, before.Units[at].UnitID, before.Units[at].Poll
	same := *after
	same.Units = slices.Clone(after.Units)
	same.Units[at] = is
	return reflect.DeepEqual(*before, same)
}

// unitNode returns the n-th unit of a file, and where it says its place.
func unitNode(root *yaml.Node, n int) (unit, key, value *yaml.Node, err error) {
	_, list, _ := unitsOf(root)
	if list == nil || n >= len(list.Content) {
		return nil, nil, nil, errors.New("no such unit")
	}
	unit = list.Content[n]
	if key, value = child(unit, "serial"); key == nil {
		key, value = child(unit, "tcp")
	}
	if key == nil {
		return nil, nil, nil, errors.New("it has no place")
	}
	return unit, key, value, nil
}

func movedInPlace(old []byte, n int, u Unit, entry string) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(old, &root); err != nil {
		return nil, err
	}
	unit, key, value, err := unitNode(&root, n)
	if err != nil {
		return nil, err
	}
	t, id := newText(old), strconv.Itoa(int(u.UnitID))
	if _, v := child(unit, "unit_id"); v != nil && v.Value != id {
		e, ok := t.scalar(v, id)
		if !ok {
			return nil, errors.New("unit_id")
		}
		t = newText(t.apply([]edit{e}))
	} else if v == nil && u.UnitID != 1 {
		return nil, errors.New("unit_id is missing")
	}
	return t.entry(key, value, entry), nil
}

// movedAnew writes the file anew, with its comments and without its blank lines.
func movedAnew(old []byte, n int, u Unit, entry string) ([]byte, error) {
	var root, place yaml.Node
	if err := yaml.Unmarshal(old, &root); err != nil {
		return nil, err
	}
	unit, key, value, err := unitNode(&root, n)
	if err == nil {
		err = yaml.Unmarshal([]byte(entry), &place)
	}
	if err != nil {
		return nil, err
	}
	key.Value, *value = place.Content[0].Content[0].Value, *place.Content[0].Content[1]
	*ensure(unit, "unit_id", yaml.ScalarNode) = yaml.Node{Kind: yaml.ScalarNode, Value: strconv.Itoa(int(u.UnitID))}
	return encode(&root)
}
