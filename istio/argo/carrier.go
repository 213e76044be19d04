package main

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// An edit of one rollout of divvy. It changes the map in place.
type edit func(rollout map[string]any) error

// A carrier is a kind of object that contains divvy's configuration.
type carrier struct {
	resource schema.GroupVersionResource
	// apply edits the rollout with this name in the object, and reports whether there is one.
	apply func(object map[string]any, name string, change edit) (bool, error)
}

var carriers = map[string]carrier{
	"WasmPlugin": {
		resource: schema.GroupVersionResource{Group: "extensions.istio.io", Version: "v1alpha1", Resource: "wasmplugins"},
		apply: func(object map[string]any, name string, change edit) (bool, error) {
			config, _, err := unstructuredMap(object, "spec", "pluginConfig")
			if err != nil {
				return false, err
			}
			return applyTo(config, name, change)
		},
	},
	"TrafficExtension": {
		resource: schema.GroupVersionResource{Group: "extensions.istio.io", Version: "v1alpha1", Resource: "trafficextensions"},
		apply: func(object map[string]any, name string, change edit) (bool, error) {
			config, _, err := unstructuredMap(object, "spec", "wasm", "pluginConfig")
			if err != nil {
				return false, err
			}
			return applyTo(config, name, change)
		},
	},
	"EnvoyExtensionPolicy": {
		resource: schema.GroupVersionResource{Group: "gateway.envoyproxy.io", Version: "v1alpha1", Resource: "envoyextensionpolicies"},
		apply: func(object map[string]any, name string, change edit) (bool, error) {
			plugins, _, err := unstructured.NestedFieldNoCopy(object, "spec", "wasm")
			if err != nil {
				return false, err
			}
			list, _ := plugins.([]any)
			for _, item := range list {
				plugin, _ := item.(map[string]any)
				config, _ := plugin["config"].(map[string]any)
				if found, err := applyTo(config, name, change); found || err != nil {
					return found, err
				}
			}
			return false, nil
		},
	},
	"ConfigMap": {
		resource: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"},
		apply: func(object map[string]any, name string, change edit) (bool, error) {
			data, _, err := unstructuredMap(object, "data")
			if err != nil {
				return false, err
			}
			for _, key := range slices.Sorted(maps.Keys(data)) {
				text, _ := data[key].(string)
				edited, found, err := editText(text, name, change)
				if err != nil {
					return false, fmt.Errorf("data[%q]: %w", key, err)
				}
				if found {
					data[key] = edited
					return true, nil
				}
			}
			return false, nil
		},
	},
}

func unstructuredMap(object map[string]any, path ...string) (map[string]any, bool, error) {
	value, found, err := unstructured.NestedFieldNoCopy(object, path...)
	result, _ := value.(map[string]any)
	return result, found, err
}

// applyTo edits the rollout with this name in a configuration.
func applyTo(config map[string]any, name string, change edit) (bool, error) {
	rollouts, _ := config["rollouts"].([]any)
	for _, item := range rollouts {
		if rollout, ok := item.(map[string]any); ok && rollout["name"] == name {
			return true, change(rollout)
		}
	}
	return false, nil
}
