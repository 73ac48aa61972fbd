package manual

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Source is the Go source of packages of the tree, read for what stands beside the fields of their structs.
type Source struct {
	root    string
	structs map[string]*ast.StructType // internal/local.Status
}

// ReadSource reads packages by their paths in the tree.
func ReadSource(t testing.TB, root string, packages ...string) *Source {
	t.Helper()
	s := &Source{root, map[string]*ast.StructType{}}
	for _, pkg := range packages {
		files, err := filepath.Glob(filepath.Join(root, pkg, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pkg, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if spec, ok := n.(*ast.TypeSpec); ok {
					if shape, ok := spec.Type.(*ast.StructType); ok {
						s.structs[pkg+"."+spec.Name.Name] = shape
					}
				}
				return true
			})
		}
	}
	return s
}

// Shape is the JSON of a struct as a table: a row for each key, those of what is inside it below it, with the comment of the field. A name is like
// internal/local.Status.
func (s *Source) Shape(name string) (string, error) {
	var b strings.Builder
	b.WriteString("| key | type | |\n| --- | --- | --- |\n")
	err := s.rows(&b, name, "")
	return b.String(), err
}

func (s *Source) rows(b *strings.Builder, name, above string) error {
	shape, ok := s.structs[name]
	if !ok {
		return fmt.Errorf("there is no struct %s", name)
	}
	pkg := name[:strings.LastIndex(name, ".")]
	for _, f := range shape.Fields.List {
		key, optional := jsonKey(f)
		if key == "-" || len(f.Names) > 0 && !f.Names[0].IsExported() {
			continue
		}
		if len(f.Names) == 0 && key == "" { // what is embedded has its keys here
			if err := s.rows(b, s.full(pkg, f.Type), above); err != nil {
				return err
			}
			continue
		}
		if key == "" {
			return fmt.Errorf("%s: %v has no key", name, f.Names)
		}
		words, inside := s.kind(pkg, f.Type)
		if optional {
			words += ", or absent"
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", above, key, words, cell(comment(f)))
		if inside != "" {
			list := map[bool]string{true: "[]", false: ""}[strings.HasPrefix(words, "list")]
			if err := s.rows(b, inside, above+key+list+"."); err != nil {
				return err
			}
		}
	}
	return nil
}

func jsonKey(f *ast.Field) (key string, optional bool) {
	if f.Tag == nil {
		return "", false
	}
	tag, _ := strconv.Unquote(f.Tag.Value)
	key, rest, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
	return key, strings.Contains(rest, "omitempty")
}

func comment(f *ast.Field) string {
	text := strings.TrimSuffix(strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " "), ".")
	text = regexp.MustCompile(`\bnil\b`).ReplaceAllString(text, "absent")
	for _, name := range f.Names { // the comment speaks of the field by its name in Go
		if rest, ok := strings.CutPrefix(text, name.Name+" is "); ok {
			return rest
		}
		if rest, ok := strings.CutPrefix(text, name.Name+": "); ok {
			return rest
		}
	}
	return text
}

// kind is a type in words, and the struct whose keys are inside it.
func (s *Source) kind(pkg string, e ast.Expr) (words, inside string) {
	switch e := e.(type) {
	case *ast.StarExpr:
		return s.kind(pkg, e.X)
	case *ast.ArrayType:
		words, inside = s.kind(pkg, e.Elt)
		return "list of " + strings.TrimPrefix(words+"s", "an "), inside
	case *ast.MapType:
		words, inside = s.kind(pkg, e.Value)
		return "object of " + words + "s", inside
	}
	name := s.full(pkg, e)
	if _, ok := s.structs[name]; ok {
		return "object", name
	}
	switch name[strings.LastIndex(name, ".")+1:] {
	case "bool":
		return "true or false", ""
	case "float64":
		return "number", ""
	case "int", "int64", "uint8", "uint16", "uint32", "uint64", "Point":
		return "whole number", ""
	case "Time":
		return "time", ""
	}
	return "text", ""
}

// full is the name of a type as Source has it.
func (s *Source) full(pkg string, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return s.full(pkg, e.X)
	case *ast.SelectorExpr:
		of := e.X.(*ast.Ident).Name
		for name := range s.structs {
			if strings.HasSuffix(name, "/"+of+"."+e.Sel.Name) {
				return name
			}
		}
		return of + "." + e.Sel.Name
	case *ast.Ident:
		return pkg + "." + e.Name
	}
	return pkg + "."
}
