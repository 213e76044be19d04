package main

import "testing"

func of(instance string, value float64) sample {
	return sample{map[string]string{"instance": instance, "divvy_plugin": "divvy"}, value}
}

func TestDisagreement(t *testing.T) {
	a, b := of("10.0.0.1:15020", 200_000), of("10.0.0.2:15020", 200_000)
	first, second := pod{"istio-system", "gw-1", "10.0.0.1"}, pod{"istio-system", "gw-2", "10.0.0.2"}
	named := sample{map[string]string{"instance": "gateway", "pod": "gw-2", "namespace": "istio-system"}, 200_000}
	other := sample{map[string]string{"instance": "gateway", "pod": "gw-2", "namespace": "shop"}, 200_000}
	for name, test := range map[string]struct {
		weights, hashes, down []sample
		pods                  []pod
		want                  string
	}{
		"all have it":       {weights: []sample{a, b}, hashes: []sample{of("a", 7), of("b", 7)}, pods: []pod{first, second}},
		"another weight":    {weights: []sample{a, of("b", 50_000), of("c", 0)}, want: "the weight is to be 20 %, but b has 5 %, c has 0 %"},
		"another file":      {weights: []sample{a, b}, hashes: []sample{of("a", 7), of("b", 8)}, want: "the configurations of divvy differ: a | b"},
		"no sample at all":  {want: "Prometheus has no divvy_weight_ppm of the rollout: is any proxy scraped?"},
		"unscraped pod":     {weights: []sample{a}, pods: []pod{first, second}, want: "Prometheus has no weight of gw-2 (10.0.0.2)"},
		"failed scrape":     {weights: []sample{a}, down: []sample{b}, pods: []pod{first, second}, want: "Prometheus has no weight of 10.0.0.2:15020"},
		"pods by label":     {weights: []sample{a, named}, pods: []pod{first, second}},
		"another namespace": {weights: []sample{a, other}, pods: []pod{first, second}, want: "Prometheus has no weight of gw-2 (10.0.0.2)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := disagreement(200_000, test.weights, test.hashes, test.down, test.pods); got != test.want {
				t.Errorf("%q, not %q", got, test.want)
			}
		})
	}
}

func TestSamples(t *testing.T) {
	got, err := samples([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"instance":"a"},"value":[1.5,"200000"]}]}}`))
	if err != nil || len(got) != 1 || got[0].instance() != "a" || got[0].value != 200_000 {
		t.Errorf("%v, %v", got, err)
	}
}
