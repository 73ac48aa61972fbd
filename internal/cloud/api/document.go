package api

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi/*.yaml
var fragments embed.FS

func (a *API) documentRoutes() []route {
	return []route{{
		method: http.MethodGet, pattern: "/api/v1/openapi.json", why: "what the interface is", public: "what the interface is, is no secret",
		read: func(*Request) (Answer, error) { return Answer{Body: json.RawMessage(a.document)}, nil },
	}}
}

// mergeDocument makes one OpenAPI document of the fragments: paths and components of all, the rest from base.yaml. Nothing may stand in two.
func mergeDocument() ([]byte, error) {
	whole := map[string]any{}
	if err := readFragment("openapi/base.yaml", &whole); err != nil {
		return nil, err
	}
	entries, err := fragments.ReadDir("openapi")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Name() == "base.yaml" {
			continue
		}
		part := map[string]any{}
		if err := readFragment(path.Join("openapi", e.Name()), &part); err != nil {
			return nil, err
		}
		for _, key := range slices.Sorted(maps.Keys(part)) {
			if key != "paths" && key != "components" && key != "tags" {
				return nil, fmt.Errorf("openapi/%s: %s stands in base.yaml alone", e.Name(), key)
			}
		}
		if err := merge(whole, part, ""); err != nil {
			return nil, fmt.Errorf("openapi/%s: %w", e.Name(), err)
		}
	}
	return json.Marshal(whole)
}

func readFragment(name string, dst *map[string]any) error {
	b, err := fragments.ReadFile(name)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(b, dst); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// merge adds part to whole. Objects are merged down to two levels below the top (components/schemas, paths); lists are joined.
func merge(whole, part map[string]any, where string) error {
	for key, value := range part {
		had, known := whole[key]
		if !known {
			whole[key] = value
			continue
		}
		into, object := had.(map[string]any)
		from, also := value.(map[string]any)
		list, isList := had.([]any)
		more, alsoList := value.([]any)
		switch {
		case isList && alsoList:
			whole[key] = append(list, more...)
		case object && also && (where == "" || where == "/components"):
			if err := merge(into, from, where+"/"+key); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s/%s stands in another fragment, too", where, key)
		}
	}
	return nil
}
