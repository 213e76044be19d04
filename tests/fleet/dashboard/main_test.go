package main

import (
	"os"
	"strings"
	"testing"
)

func TestMistakesAreFoundAtEveryLevel(t *testing.T) {
	raw, err := os.ReadFile("../../../istio/grafana/divvy.json")
	if err != nil {
		t.Fatal(err)
	}
	good := string(raw)
	if problems := check([]byte(good)); len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, field := range []string{"graphTooltip", "gridPos", "showPercentChange", "legendFormat", "titleFormat", "fieldConfig", "drawStyle", "skipUrlSync", "rowHeight", "cellHeight"} {
		wrong := strings.Replace(good, `"`+field+`"`, `"`+field+`s"`, 1)
		if wrong == good {
			t.Errorf("the dashboard has no field %s", field)
		} else if len(check([]byte(wrong))) == 0 {
			t.Errorf("%ss was accepted", field)
		}
	}
	if len(check([]byte(strings.ReplaceAll(good, `"prometheus"`, `"loki"`)))) == 0 {
		t.Error("a query for Loki was accepted")
	}
}
