// Command dashboard-check decodes Grafana dashboards strictly with the types of Grafana's Foundation
// SDK: every field of the dashboard, of each panel's options and of each query has to be one that
// Grafana knows, and all required ones have to be there. It prints the errors.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	failed := len(os.Args) < 2
	for _, file := range os.Args[1:] {
		raw, err := os.ReadFile(file)
		problems := []string{}
		if err != nil {
			problems = append(problems, err.Error())
		} else {
			problems = check(raw)
		}
		for _, problem := range problems {
			fmt.Fprintf(os.Stderr, "%s: %s\n", file, problem)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// check returns the errors of a dashboard.
func check(raw []byte) (problems []string) {
	plugins.RegisterDefaultPlugins()
	var decoded dashboard.Dashboard
	for _, err := range []error{decoded.UnmarshalJSONStrict(raw), decoded.Validate()} {
		// A decoder of this SDK returns an empty list of errors, which is not nil, if there are none.
		if err != nil && err.Error() != "" {
			problems = append(problems, err.Error())
		}
	}
	// For the same reason the decoded dashboard lacks its panels: these are counted here.
	var parts struct {
		Panels []struct {
			Title   string
			Targets []struct {
				Datasource struct{ Type string }
			}
		}
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return append(problems, err.Error())
	}
	if len(parts.Panels) == 0 {
		problems = append(problems, "no panels")
	}
	for _, panel := range parts.Panels {
		if len(panel.Targets) == 0 {
			problems = append(problems, panel.Title+": no queries")
		}
		for _, target := range panel.Targets {
			// The SDK decodes a query by the type of its data source.
			if target.Datasource.Type != "prometheus" {
				problems = append(problems, panel.Title+": a query that is not for Prometheus")
			}
		}
	}
	return problems
}
