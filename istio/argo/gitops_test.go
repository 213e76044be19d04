package main

import (
	"os"
	"reflect"
	"testing"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/itchyny/gojq"
	"sigs.k8s.io/yaml"
)

// The part of an Application of Argo CD that these tests read.
type application struct {
	Spec struct {
		IgnoreDifferences []struct {
			Group, Kind, Name, Namespace string
			JQPathExpressions            []string
			JSONPointers                 []string
		}
	}
}

// ignoredPaths are those of the WasmPlugin in argo-cd.yaml.
func ignoredPaths(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("argo-cd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var app application
	if err := yaml.Unmarshal(text, &app); err != nil {
		t.Fatal(err)
	}
	for _, ignored := range app.Spec.IgnoreDifferences {
		if ignored.Kind == "WasmPlugin" {
			if ignored.Group != carriers["WasmPlugin"].resource.Group || len(ignored.JSONPointers) > 0 {
				t.Fatalf("%+v", ignored)
			}
			return ignored.JQPathExpressions
		}
	}
	t.Fatal("no WasmPlugin")
	return nil
}

// without deletes paths from an object as Argo CD does, with the same library: del(path).
func without(t *testing.T, object any, paths []string) any {
	t.Helper()
	for _, path := range paths {
		query, err := gojq.Parse("del(" + path + ")")
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		value, _ := query.Run(object).Next()
		if err, failed := value.(error); failed {
			t.Fatalf("%s: %v", path, err)
		}
		object = value
	}
	return object
}

const appliedPlugin = `
spec:
  url: u
  pluginConfig:
    version: "1"
    rollouts:
      - {name: cart, salt: s, revision: "1", strategy: {canary: {version: canary, weight: 3}}, rules: [], mirror: {version: canary, percent: 1}}
      - {name: checkout, versions: [{name: stable}, {name: canary}], stable: stable, strategy: {canary: {version: canary, weight: 0}}}
`

// edited is the object after an edit of the rollout, as a value of JSON.
func edited(t *testing.T, name string, change edit) any {
	t.Helper()
	object := parsed(t, appliedPlugin)
	config, _, _ := unstructuredMap(object, "spec", "pluginConfig")
	if found, err := applyTo(config, name, change); !found || err != nil {
		t.Fatal(found, err)
	}
	return normal(t, object)
}

func set(field string, value any) edit {
	return func(rollout map[string]any) error {
		rollout[field] = value
		return nil
	}
}

// Each edit of the plugin is ignored, by a path without which it is not.
func TestArgoCDIgnoresWhatThePluginChanges(t *testing.T) {
	paths := ignoredPaths(t)
	applied := normal(t, parsed(t, appliedPlugin))
	get := "GET"
	edits := map[string]edit{
		"SetWeight":  setWeight(20),
		"UpdateHash": setRevision("5e8", false),
		"salt":       func(rollout map[string]any) error { rollout["revision"] = ""; return setRevision("5e8", true)(rollout) },
		"SetHeaderRoute": setHeaderRoute(&v1alpha1.SetHeaderRoute{Name: "testers", Match: []v1alpha1.HeaderRoutingMatch{
			{HeaderName: "x-canary"},
		}}),
		"SetMirrorRoute": setMirrorRoute(&v1alpha1.SetMirrorRoute{Name: "copies", Match: []v1alpha1.RouteMatch{
			{Method: &v1alpha1.StringMatch{Exact: get}},
		}}),
	}
	needed := map[string]bool{}
	for name, change := range edits {
		after := edited(t, "checkout", change)
		if reflect.DeepEqual(after, applied) {
			t.Fatalf("%s changes nothing", name)
		}
		if got, want := without(t, after, paths), without(t, applied, paths); !reflect.DeepEqual(got, want) {
			t.Errorf("Argo CD sees %s: %v, not %v", name, got, want)
		}
		for i, path := range paths {
			others := append(append([]string{}, paths[:i]...), paths[i+1:]...)
			if !reflect.DeepEqual(without(t, after, others), without(t, applied, others)) {
				needed[path] = true
			}
		}
	}
	for _, path := range paths {
		if !needed[path] {
			t.Errorf("no edit of the plugin needs %s", path)
		}
	}
}

// Changes that the plugin does not make are differences for Argo CD.
func TestArgoCDSeesOtherChanges(t *testing.T) {
	paths := ignoredPaths(t)
	applied := without(t, normal(t, parsed(t, appliedPlugin)), paths)
	strategy := map[string]any{"canary": map[string]any{"version": "stable", "weight": 0}}
	for name, after := range map[string]any{
		"the version of the canary":    edited(t, "checkout", set("strategy", strategy)),
		"the guardrail":                edited(t, "checkout", set("guardrail", map[string]any{"consecutiveErrors": 5})),
		"stable":                       edited(t, "checkout", set("stable", "canary")),
		"the weight of another one":    edited(t, "cart", setWeight(20)),
		"the revision of another one":  edited(t, "cart", setRevision("5e8", false)),
		"the salt of another one":      edited(t, "cart", set("salt", "x")),
		"the rules of another one":     edited(t, "cart", set("rules", []any{map[string]any{"name": "x"}})),
		"the mirror of another one":    edited(t, "cart", set("mirror", nil)),
		"the name, which is the match": edited(t, "checkout", set("name", "basket")),
	} {
		if reflect.DeepEqual(without(t, after, paths), applied) {
			t.Errorf("Argo CD does not see a change of %s", name)
		}
	}
}
