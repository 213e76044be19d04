// Package divvyflags is an OpenFeature provider that reads the decisions of divvy from the assignment
// header of a request. The name of a rollout is the flag, its version the value.
package divvyflags

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/dunglas/httpsfv"
	"github.com/open-feature/go-sdk/openfeature"
)

// HeaderKey is the attribute of the evaluation context with the value of the header.
const HeaderKey = "divvyAssignment"

// ContextOf returns the evaluation context of a request: its assignment.
func ContextOf(request *http.Request) openfeature.EvaluationContext {
	header := strings.Join(request.Header.Values("X-Divvy-Assignment"), ", ")
	return openfeature.NewTargetlessEvaluationContext(map[string]any{HeaderKey: header})
}

// Provider has no state: each evaluation reads the header in its context.
type Provider struct{}

// Metadata names the provider.
func (Provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: "divvy"} }

// Hooks returns none.
func (Provider) Hooks() []openfeature.Hook { return nil }

// The reasons of OpenFeature for those of divvy. All others are DEFAULT: stable serves.
var reasons = map[string]openfeature.Reason{
	"split": openfeature.SplitReason, "sticky": openfeature.SplitReason,
	"rule": openfeature.TargetingMatchReason, "override": openfeature.TargetingMatchReason,
	"active": openfeature.StaticReason, "follow": openfeature.StaticReason,
	"disabled": openfeature.DisabledReason,
}

// version returns the version of a rollout, and the details of the decision.
func version(flag string, flat openfeature.FlattenedContext) (string, openfeature.ProviderResolutionDetail) {
	fail := func(err openfeature.ResolutionError) (string, openfeature.ProviderResolutionDetail) {
		return "", openfeature.ProviderResolutionDetail{ResolutionError: err, Reason: openfeature.ErrorReason}
	}
	header, _ := flat[HeaderKey].(string)
	members, err := httpsfv.UnmarshalDictionary([]string{header})
	if err != nil {
		return fail(openfeature.NewParseErrorResolutionError("the assignment is not a dictionary"))
	}
	member, found := members.Get(flag)
	if !found {
		return fail(openfeature.NewFlagNotFoundResolutionError("no decision of this rollout"))
	}
	item, _ := member.(httpsfv.Item)
	name, isName := textOf(item.Value)
	if !isName {
		return fail(openfeature.NewTypeMismatchResolutionError("the value is not the name of a version"))
	}
	metadata := openfeature.FlagMetadata{}
	for _, key := range []string{"reason", "upstream"} {
		if value, ok := item.Params.Get(key); ok {
			metadata[key], _ = textOf(value)
		}
	}
	// What the first proxy decided.
	decided, _ := metadata["upstream"].(string)
	if decided == "" {
		decided, _ = metadata["reason"].(string)
	}
	// Only these were drawn: log them as exposures, and leave the others out.
	metadata["exposure"] = slices.Contains([]string{"split", "sticky"}, decided)
	reason, known := reasons[decided]
	if !known {
		reason = openfeature.DefaultReason
	}
	return name, openfeature.ProviderResolutionDetail{Reason: reason, Variant: name, FlagMetadata: metadata}
}

func textOf(value any) (string, bool) {
	switch text := value.(type) {
	case httpsfv.Token:
		return string(text), true
	case string:
		return text, true
	}
	return "", false
}

// StringEvaluation returns the name of the version.
func (Provider) StringEvaluation(_ context.Context, flag, fallback string, flat openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	name, detail := version(flag, flat)
	if detail.Error() != nil {
		name = fallback
	}
	return openfeature.StringResolutionDetail{Value: name, ProviderResolutionDetail: detail}
}

// BooleanEvaluation is for rollouts whose versions are named on and off.
func (Provider) BooleanEvaluation(_ context.Context, flag string, fallback bool, flat openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	name, detail := version(flag, flat)
	value := name == "on"
	if detail.Error() == nil && !value && name != "off" {
		detail = mismatch()
	}
	if detail.Error() != nil {
		value = fallback
	}
	return openfeature.BoolResolutionDetail{Value: value, ProviderResolutionDetail: detail}
}

// FloatEvaluation fails: a version is a name.
func (Provider) FloatEvaluation(_ context.Context, _ string, fallback float64, _ openfeature.FlattenedContext) openfeature.FloatResolutionDetail {
	return openfeature.FloatResolutionDetail{Value: fallback, ProviderResolutionDetail: mismatch()}
}

// IntEvaluation fails: a version is a name.
func (Provider) IntEvaluation(_ context.Context, _ string, fallback int64, _ openfeature.FlattenedContext) openfeature.IntResolutionDetail {
	return openfeature.IntResolutionDetail{Value: fallback, ProviderResolutionDetail: mismatch()}
}

// ObjectEvaluation fails: a version is a name.
func (Provider) ObjectEvaluation(_ context.Context, _ string, fallback any, _ openfeature.FlattenedContext) openfeature.InterfaceResolutionDetail {
	return openfeature.InterfaceResolutionDetail{Value: fallback, ProviderResolutionDetail: mismatch()}
}

func mismatch() openfeature.ProviderResolutionDetail {
	err := openfeature.NewTypeMismatchResolutionError("a version is a name")
	return openfeature.ProviderResolutionDetail{ResolutionError: err, Reason: openfeature.ErrorReason}
}
