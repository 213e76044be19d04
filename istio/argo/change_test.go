package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"sigs.k8s.io/yaml"
)

const canaryRollout = `
name: checkout
salt: kept
versions: [{name: stable}, {name: canary}]
stable: stable
rules: [{name: staff, when: {cookie: staff, present: true}, use: canary}]
strategy: {canary: {version: canary, weight: 5}}
`

const blueGreenRollout = `
name: checkout
versions: [{name: blue}, {name: green}]
stable: blue
strategy: {blueGreen: {active: blue}}
`

func parsed(t *testing.T, text string) map[string]any {
	t.Helper()
	var value map[string]any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// normal makes numbers of different Go types equal.
func normal(t *testing.T, value any) any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var result any
	if err := json.Unmarshal(text, &result); err != nil {
		t.Fatal(err)
	}
	return result
}

func release(t *testing.T, text string) *v1alpha1.Rollout {
	t.Helper()
	ro := &v1alpha1.Rollout{}
	if err := yaml.UnmarshalStrict([]byte(text), ro); err != nil {
		t.Fatal(err)
	}
	return ro
}

func TestEdits(t *testing.T) {
	percentage := int32(25)
	header := func(matches ...v1alpha1.HeaderRoutingMatch) *v1alpha1.SetHeaderRoute {
		return &v1alpha1.SetHeaderRoute{Name: "testers", Match: matches}
	}
	exact := v1alpha1.HeaderRoutingMatch{HeaderName: "x-canary", HeaderValue: &v1alpha1.StringMatch{Exact: "true"}}
	regex := v1alpha1.HeaderRoutingMatch{HeaderName: "user-agent", HeaderValue: &v1alpha1.StringMatch{Regex: ".*iOS.*"}}
	managed := release(t, `
metadata: {name: checkout}
spec:
  strategy:
    canary:
      trafficRouting: {managedRoutes: [{name: testers}]}
      steps: [{setMirrorRoute: {name: copies}}]
`)
	for name, test := range map[string]struct {
		from, key, want string
		edit            edit
	}{
		"weight":           {canaryRollout, "strategy", `{canary: {version: canary, weight: 20}}`, setWeight(20)},
		"fraction":         {canaryRollout, "strategy", `{canary: {version: canary, weight: 0.5}}`, setWeight(0.5)},
		"all on green":     {blueGreenRollout, "strategy", `{blueGreen: {active: green}}`, setWeight(100)},
		"none on green":    {blueGreenRollout, "strategy", `{blueGreen: {active: blue}}`, setWeight(0)},
		"revision":         {canaryRollout, "revision", `abc`, setRevision("abc", false)},
		"salt stays":       {canaryRollout, "salt", `kept`, setRevision("abc", false)},
		"salt per release": {canaryRollout, "salt", `checkout.abc`, setRevision("abc", true)},
		"header": {canaryRollout, "rules", `[{name: testers, when: {header: x-canary, exact: "true"}, use: canary},
  {name: staff, when: {cookie: staff, present: true}, use: canary}]`, setHeaderRoute(header(exact))},
		"two headers": {blueGreenRollout, "rules", `[{name: testers, use: green, when: {all: [
  {header: x-canary, exact: "true"}, {header: user-agent, regex: ".*iOS.*"}]}}]`, setHeaderRoute(header(exact, regex))},
		"mirror": {canaryRollout, "mirror", `{version: canary, percent: 25, methods: [GET]}`, setMirrorRoute(&v1alpha1.SetMirrorRoute{
			Percentage: &percentage, Match: []v1alpha1.RouteMatch{{Method: &v1alpha1.StringMatch{Exact: "GET"}}},
		})},
		"removed":       {canaryRollout + "mirror: {version: canary}\n", "mirror", `null`, removeManaged(managed)},
		"others remain": {canaryRollout, "rules", `[{name: staff, when: {cookie: staff, present: true}, use: canary}]`, removeManaged(managed)},
	} {
		t.Run(name, func(t *testing.T) {
			rollout := parsed(t, test.from)
			if err := test.edit(rollout); err != nil {
				t.Fatal(err)
			}
			want := parsed(t, "value: "+test.want)["value"]
			if got := normal(t, rollout[test.key]); !reflect.DeepEqual(got, want) {
				t.Errorf("%v, not %v", got, want)
			}
			again := normal(t, rollout)
			if err := test.edit(rollout); err != nil || !reflect.DeepEqual(normal(t, rollout), again) {
				t.Errorf("a second time: %v, %v", rollout, err)
			}
		})
	}
}

func TestARouteIsRemovedCompletely(t *testing.T) {
	rollout := parsed(t, blueGreenRollout)
	route := &v1alpha1.SetHeaderRoute{Name: "testers", Match: []v1alpha1.HeaderRoutingMatch{{HeaderName: "x-canary"}}}
	for _, route := range []*v1alpha1.SetHeaderRoute{route, {Name: "testers"}} {
		if err := setHeaderRoute(route)(rollout); err != nil {
			t.Fatal(err)
		}
	}
	if want := parsed(t, blueGreenRollout); !reflect.DeepEqual(rollout, want) {
		t.Errorf("%v, not %v", rollout, want)
	}
}

func TestEditsThatDivvyCannotExpress(t *testing.T) {
	path := v1alpha1.RouteMatch{Path: &v1alpha1.StringMatch{Prefix: "/checkout"}}
	for name, test := range map[string]struct {
		from, want string
		edit       edit
	}{
		"ramp":       {"strategy: {canary: {version: a, steps: []}}", "has no weight", setWeight(20)},
		"ab test":    {"strategy: {abTest: {}}", "neither canary nor blueGreen", setWeight(20)},
		"blue/green": {blueGreenRollout, "a weight of 20 % is not possible", setWeight(20)},
		"mirror":     {canaryRollout, "by method (exact) only", setMirrorRoute(&v1alpha1.SetMirrorRoute{Match: []v1alpha1.RouteMatch{path}})},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.edit(parsed(t, test.from))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	const frame = "metadata: {name: checkout, namespace: shop}\nspec: {strategy: {canary: {trafficRouting: {plugins: {divvy/router: %}}}}}\n"
	of := func(plugin string) (Options, error) {
		return optionsOf(release(t, strings.Replace(frame, "%", plugin, 1)))
	}
	options, err := of("{name: divvy}")
	if err != nil || options.Kind != "WasmPlugin" || options.Namespace != "shop" || options.Rollout != "checkout" {
		t.Errorf("%+v, %v", options, err)
	}
	for plugin, want := range map[string]string{
		"{}":                         "name: is missing",
		"{name: a, kind: Gateway}":   "is not one of WasmPlugin",
		"{name: a, promteheus: 'b'}": "unknown field",
	} {
		if _, err := of(plugin); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", plugin, err)
		}
	}
}
