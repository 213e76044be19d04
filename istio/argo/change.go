package main

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
)

// The largest length of a name in divvy's configuration.
const longestName = 64

// strategyOf is the strategy and the version that Argo releases: that of a canary, or the one of two versions
// that is not stable.
func strategyOf(rollout map[string]any) (kind string, fields map[string]any, version string, err error) {
	strategy, _ := rollout["strategy"].(map[string]any)
	if canary, ok := strategy["canary"].(map[string]any); ok {
		if _, ok := canary["weight"]; !ok {
			return "", nil, "", errors.New("strategy.canary: has no weight: Argo sets the weight, so a ramp or steps cannot")
		}
		version, _ := canary["version"].(string)
		return "canary", canary, version, nil
	}
	if blueGreen, ok := strategy["blueGreen"].(map[string]any); ok {
		versions, _ := rollout["versions"].([]any)
		for _, item := range versions {
			entry, _ := item.(map[string]any)
			if name, _ := entry["name"].(string); name != rollout["stable"] && len(versions) == 2 {
				return "blueGreen", blueGreen, name, nil
			}
		}
		return "", nil, "", errors.New("versions: Argo needs two of them, stable and the one that it releases")
	}
	return "", nil, "", errors.New("strategy: is neither canary nor blueGreen: Argo can set no weight")
}

// percentOf is a weight of Argo in percent: Argo's own unit is 1/maxTrafficWeight.
func percentOf(ro *v1alpha1.Rollout, weight int32) float64 {
	most := int32(100)
	if own := ro.Spec.Strategy.Canary.TrafficRouting.MaxTrafficWeight; own != nil {
		most = *own
	}
	// A ppm is the smallest step of divvy.
	return math.Round(float64(weight)*1e6/float64(most)) / 1e4
}

func setWeight(percent float64) edit {
	return func(rollout map[string]any) error {
		kind, fields, version, err := strategyOf(rollout)
		switch {
		case err != nil:
			return err
		case kind == "canary":
			fields["weight"] = number(percent)
		case percent == 0:
			fields["active"] = rollout["stable"]
		case percent == 100:
			fields["active"] = version
		default:
			return fmt.Errorf("strategy.blueGreen: a weight of %v %% is not possible: all users have the same version", percent)
		}
		return nil
	}
}

// number is a whole number if possible, so that the object contains 20 and not 20.0.
func number(f float64) any {
	if f == math.Trunc(f) {
		return int64(f)
	}
	return f
}

// setRevision starts a release: guardrails and sticky cookies of the last build no longer count.
func setRevision(hash string, salt bool) edit {
	return func(rollout map[string]any) error {
		if rollout["revision"] == hash {
			return nil
		}
		rollout["revision"] = hash
		if salt {
			name := fmt.Sprintf("%v.%s", rollout["name"], hash)
			if len(name) > longestName {
				name = hash
			}
			rollout["salt"] = name
		}
		return nil
	}
}

// setHeaderRoute makes a header route the first rule; without a match it removes the rule.
func setHeaderRoute(route *v1alpha1.SetHeaderRoute) edit {
	return func(rollout map[string]any) error {
		_, _, version, err := strategyOf(rollout)
		if err != nil {
			return err
		}
		removeRule(rollout, route.Name)
		if len(route.Match) > 0 {
			var conditions []any
			for _, match := range route.Match {
				conditions = append(conditions, condition(match))
			}
			when := conditions[0]
			if len(conditions) > 1 {
				when = map[string]any{"all": conditions}
			}
			rules, _ := rollout["rules"].([]any)
			rule := map[string]any{"name": route.Name, "when": when, "use": version}
			rollout["rules"] = append([]any{rule}, rules...)
		}
		return nil
	}
}

func condition(match v1alpha1.HeaderRoutingMatch) map[string]any {
	leaf := map[string]any{"header": match.HeaderName}
	switch value := match.HeaderValue; {
	case value == nil:
		leaf["present"] = true
	case value.Exact != "":
		leaf["exact"] = value.Exact
	case value.Prefix != "":
		leaf["prefix"] = value.Prefix
	case value.Regex != "":
		leaf["regex"] = value.Regex
	default:
		leaf["present"] = true
	}
	return leaf
}

// setMirrorRoute copies requests; without a match it ends the copies.
func setMirrorRoute(route *v1alpha1.SetMirrorRoute) edit {
	return func(rollout map[string]any) error {
		_, _, version, err := strategyOf(rollout)
		if err != nil {
			return err
		}
		if len(route.Match) == 0 {
			delete(rollout, "mirror")
			return nil
		}
		mirror := map[string]any{"version": version, "percent": int64(100)}
		if route.Percentage != nil {
			mirror["percent"] = int64(*route.Percentage)
		}
		var methods []any
		for _, match := range route.Match {
			if match.Path != nil || len(match.Headers) > 0 || match.Method == nil || match.Method.Exact == "" {
				return fmt.Errorf("setMirrorRoute %s: divvy selects copies by method (exact) only; the rollout's own match has paths", route.Name)
			}
			methods = append(methods, match.Method.Exact)
		}
		mirror["methods"] = methods
		rollout["mirror"] = mirror
		return nil
	}
}

// removeManaged removes what setHeaderRoute and setMirrorRoute added.
func removeManaged(ro *v1alpha1.Rollout) edit {
	canary := ro.Spec.Strategy.Canary
	return func(rollout map[string]any) error {
		for _, route := range canary.TrafficRouting.ManagedRoutes {
			removeRule(rollout, route.Name)
		}
		for _, step := range canary.Steps {
			if step.SetMirrorRoute != nil {
				delete(rollout, "mirror")
			}
		}
		return nil
	}
}

// removeRule leaves a list without this rule as it is.
func removeRule(rollout map[string]any, name string) {
	rules, _ := rollout["rules"].([]any)
	isIt := func(item any) bool {
		rule, _ := item.(map[string]any)
		return rule["name"] == name
	}
	if !slices.ContainsFunc(rules, isIt) {
		return
	}
	if rules = slices.DeleteFunc(slices.Clone(rules), isIt); len(rules) > 0 {
		rollout["rules"] = rules
	} else {
		delete(rollout, "rules")
	}
}
