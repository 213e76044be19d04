package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
)

// Name of the plugin in a Rollout's `plugins` and in Argo's ConfigMap.
const Name = "divvy/router"

// Options of the plugin in a Rollout.
type Options struct {
	// Kind of the object with divvy's configuration: WasmPlugin (default), TrafficExtension,
	// EnvoyExtensionPolicy or ConfigMap.
	Kind string `json:"kind"`
	// Name of this object. Required.
	Name string `json:"name"`
	// Namespace of this object; by default that of the Rollout.
	Namespace string `json:"namespace"`
	// Rollout is the name of divvy's rollout; by default that of the Rollout.
	Rollout string `json:"rollout"`
	// SaltPerRelease assigns all users again in each release.
	SaltPerRelease bool `json:"saltPerRelease"`
	// Prometheus is the address of its API, such as http://prometheus.monitoring:9090. Without it no weight is
	// verified.
	Prometheus string `json:"prometheus"`
	// Proxies is a PromQL matcher of the proxies, such as job="gateway".
	Proxies string `json:"proxies"`
	// Pods is a label selector of the proxies' pods, such as istio=ingressgateway. By default the object's own
	// selector.
	Pods string `json:"pods"`
}

func optionsOf(ro *v1alpha1.Rollout) (Options, error) {
	var options Options
	canary := ro.Spec.Strategy.Canary
	if canary == nil || canary.TrafficRouting == nil {
		return options, fmt.Errorf("rollout %s: has no trafficRouting", ro.Name)
	}
	decoder := json.NewDecoder(bytes.NewReader(canary.TrafficRouting.Plugins[Name]))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&options); err != nil {
		return options, fmt.Errorf("plugins[%q]: %w", Name, err)
	}
	if options.Name == "" {
		return options, fmt.Errorf("plugins[%q].name: is missing: write the name of the object with divvy's configuration", Name)
	}
	if options.Kind == "" {
		options.Kind = "WasmPlugin"
	}
	if _, known := carriers[options.Kind]; !known {
		return options, fmt.Errorf("plugins[%q].kind: %q is not one of WasmPlugin, TrafficExtension, EnvoyExtensionPolicy, ConfigMap", Name, options.Kind)
	}
	if options.Namespace == "" {
		options.Namespace = ro.Namespace
	}
	if options.Rollout == "" {
		options.Rollout = ro.Name
	}
	return options, nil
}

func (o Options) String() string {
	return fmt.Sprintf("%s %s/%s", o.Kind, o.Namespace, o.Name)
}
