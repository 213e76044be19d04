package divvyflags

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/open-feature/go-sdk/openfeature"
)

// assignments returns what the filter writes for the cases of its own tests.
func assignments(t *testing.T) map[string]bool {
	text, err := os.ReadFile("../../../../tests/cases/decisions.json")
	if err != nil {
		t.Fatal(err)
	}
	var groups []struct{ Cases []struct{ Assignment string } }
	if err := json.Unmarshal(text, &groups); err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, group := range groups {
		for _, one := range group.Cases {
			if one.Assignment != "" {
				all[one.Assignment] = true
			}
		}
	}
	if len(all) < 30 {
		t.Fatalf("%d assignments", len(all))
	}
	return all
}

func evaluation(t *testing.T, header string) (*openfeature.Client, openfeature.EvaluationContext) {
	if err := openfeature.SetProviderAndWait(Provider{}); err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest("GET", "/", nil)
	request.Header.Add("x-divvy-assignment", header)
	return openfeature.NewClient("test"), ContextOf(request)
}

func TestEveryAssignmentOfTheFilterIsRead(t *testing.T) {
	for header := range assignments(t) {
		client, context := evaluation(t, header)
		for _, member := range strings.Split(header, ", ") {
			parts := strings.Split(member, ";")
			rollout, version, _ := strings.Cut(parts[0], "=")
			version = strings.Trim(version, `"`)
			reason := strings.TrimPrefix(parts[1], "reason=")
			details, err := client.StringValueDetails(t.Context(), rollout, "fallback", context)
			if err != nil || details.Value != version || details.Variant != version || details.FlagMetadata["reason"] != reason {
				t.Errorf("%s: %+v, %v", member, details, err)
			}
		}
	}
}

func TestOnlyDrawnVersionsAreExposures(t *testing.T) {
	for parameters, expected := range map[string]struct {
		exposure bool
		reason   openfeature.Reason
	}{
		"reason=split":                     {true, openfeature.SplitReason},
		"reason=sticky":                    {true, openfeature.SplitReason},
		"reason=inherited;upstream=split":  {true, openfeature.SplitReason},
		"reason=inherited;upstream=rule":   {false, openfeature.TargetingMatchReason},
		"reason=rule":                      {false, openfeature.TargetingMatchReason},
		"reason=not_enrolled":              {false, openfeature.DefaultReason},
		"reason=inherited;upstream=sticky": {true, openfeature.SplitReason},
		"reason=active":                    {false, openfeature.StaticReason},
		"reason=disabled":                  {false, openfeature.DisabledReason},
	} {
		client, context := evaluation(t, "checkout=v2;"+parameters)
		details, err := client.StringValueDetails(t.Context(), "checkout", "v1", context)
		if err != nil || details.FlagMetadata["exposure"] != expected.exposure || details.Reason != expected.reason {
			t.Errorf("%s: %+v, %v", parameters, details, err)
		}
	}
}

func TestTheFallbackServesWithoutADecision(t *testing.T) {
	for header, code := range map[string]openfeature.ErrorCode{
		"":                             openfeature.FlagNotFoundCode,
		"other=v2;reason=split":        openfeature.FlagNotFoundCode,
		"checkout":                     openfeature.TypeMismatchCode,
		"checkout=(v1 v2)":             openfeature.TypeMismatchCode,
		"checkout=7;reason=split":      openfeature.TypeMismatchCode,
		"checkout=\xff":                openfeature.ParseErrorCode,
		"checkout=v2;reason=split, , ": openfeature.ParseErrorCode,
	} {
		client, context := evaluation(t, header)
		details, err := client.StringValueDetails(t.Context(), "checkout", "v1", context)
		if err == nil || details.Value != "v1" || details.ErrorCode != code {
			t.Errorf("%q: %+v, %v", header, details, err)
		}
	}
}

func TestVersionsNamedOnAndOffAreBooleans(t *testing.T) {
	client, context := evaluation(t, "a=on;reason=split, b=off;reason=split, c=v2;reason=split")
	for flag, expected := range map[string]bool{"a": true, "b": false} {
		if value, err := client.BooleanValue(t.Context(), flag, !expected, context); err != nil || value != expected {
			t.Errorf("%s: %v, %v", flag, value, err)
		}
	}
	if value, err := client.BooleanValue(t.Context(), "c", true, context); err == nil || !value {
		t.Errorf("c: %v, %v", value, err)
	}
}
