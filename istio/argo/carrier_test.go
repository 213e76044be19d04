package main

import (
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Each kind of object around the same configuration.
var objects = map[string]string{
	"WasmPlugin":           "spec: {url: u, pluginConfig: {other: 1, rollouts: [{name: cart}, %]}}",
	"TrafficExtension":     "spec: {phase: STATS, wasm: {url: u, pluginConfig: {rollouts: [{name: cart}, %]}}}",
	"EnvoyExtensionPolicy": "spec: {wasm: [{name: other}, {name: divvy, config: {rollouts: [{name: cart}, %]}}]}",
	"ConfigMap":            "data: {divvy.yaml: 'rollouts: [{name: cart}, %]', readme: 'a: [b'}",
}

func TestCarriers(t *testing.T) {
	const rollout = `{name: checkout, strategy: {canary: {version: canary, weight: 5}}}`
	for kind, text := range objects {
		t.Run(kind, func(t *testing.T) {
			object := &unstructured.Unstructured{Object: parsed(t, strings.Replace(text, "%", rollout, 1))}
			options := Options{Kind: kind, Namespace: "shop", Name: "divvy", Rollout: "checkout"}
			if err := applyIn(object, options, setWeight(50)); err != nil {
				t.Fatal(err)
			}
			want := parsed(t, strings.Replace(text, "%", strings.Replace(rollout, "5", "50", 1), 1))
			if got := normal(t, contents(t, object.Object)); !reflect.DeepEqual(got, normal(t, contents(t, want))) {
				t.Errorf("%v, not %v", got, want)
			}
			options.Rollout = "search"
			err := applyIn(object, options, setWeight(50))
			if err == nil || !strings.Contains(err.Error(), kind+` shop/divvy: has no rollout "search"`) {
				t.Errorf("%v", err)
			}
		})
	}
}

// contents replaces the configuration in a ConfigMap by its value.
func contents(t *testing.T, object map[string]any) map[string]any {
	t.Helper()
	if data, ok := object["data"].(map[string]any); ok {
		data["divvy.yaml"] = parsed(t, data["divvy.yaml"].(string))
	}
	return object
}

func TestTexts(t *testing.T) {
	for name, test := range map[string][2]string{
		"comments and order of YAML": {
			"# The shop.\nversion: \"1\"\nrollouts:\n  - name: checkout # ours\n    stable: stable\n    strategy:\n      canary:\n        version: canary\n        weight: 5 # Argo's\n",
			"# The shop.\nversion: \"1\"\nrollouts:\n  - name: checkout # ours\n    stable: stable\n    strategy:\n      canary:\n        version: canary\n        weight: 50 # Argo's\n    revision: \"5e8\"\n",
		},
		"JSON remains JSON": {
			`{"version": "1", "rollouts": [{"name": "checkout", "strategy": {"canary": {"weight": 5, "version": "a<b\u0007"}}}], "n": 1e9}`,
			`{
  "version": "1",
  "rollouts": [
    {
      "name": "checkout",
      "strategy": {
        "canary": {
          "weight": 50,
          "version": "a<b\u0007"
        }
      },
      "revision": "5e8"
    }
  ],
  "n": 1e9
}
`,
		},
		"a text in an Envoy file": {
			"resources:\n  - name: divvy\n    configuration:\n      value: |\n        {\"rollouts\": [{\"name\": \"checkout\", \"strategy\": {\"canary\": {\"weight\": 5}}}]}\n",
			"resources:\n  - name: divvy\n    configuration:\n      value: |\n        {\n          \"rollouts\": [\n            {\n              \"name\": \"checkout\",\n              \"strategy\": {\n                \"canary\": {\n                  \"weight\": 50\n                }\n              },\n              \"revision\": \"5e8\"\n            }\n          ]\n        }\n",
		},
		"the second document": {
			"a: 1\n---\nrollouts: [{name: checkout, strategy: {canary: {weight: 5}}}]\n",
			"a: 1\n---\nrollouts: [{name: checkout, strategy: {canary: {weight: 50}}, revision: \"5e8\"}]\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(rollout map[string]any) error {
				if err := setRevision("5e8", false)(rollout); err != nil {
					return err
				}
				return setWeight(50)(rollout)
			}
			got, found, err := editText(test[0], "checkout", change)
			if err != nil || !found {
				t.Fatal(found, err)
			}
			if got != test[1] {
				t.Errorf("%s", got)
			}
		})
	}
}
