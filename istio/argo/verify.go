package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A sample of Prometheus.
type sample struct {
	labels map[string]string
	value  float64
}

// instance is the name of its proxy: the pod, or the scraped address.
func (s sample) instance() string {
	if pod := s.labels["pod"]; pod != "" {
		return pod
	}
	return s.labels["instance"]
}

// A pod of a proxy.
type pod struct {
	namespace, name, address string
}

// isOf tells whether a sample was scraped from this pod, by its labels or by its address.
func (p pod) isOf(s sample) bool {
	if s.labels["pod"] == p.name {
		namespace := s.labels["namespace"]
		return namespace == "" || namespace == p.namespace
	}
	host, _, err := net.SplitHostPort(s.labels["instance"])
	return err == nil && p.address != "" && host == p.address
}

// missing says which proxies do not have this weight, in percent; it is empty if all have it.
func (r *router) missing(ctx context.Context, options Options, percent float64) (string, error) {
	object, err := r.client.Resource(carriers[options.Kind].resource).Namespace(options.Namespace).Get(ctx, options.Name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	var version string
	// The edit changes nothing.
	err = applyIn(object, options, func(rollout map[string]any) error {
		_, _, version, err = strategyOf(rollout)
		return err
	})
	if err != nil {
		return "", err
	}
	matchers := fmt.Sprintf("divvy_rollout=%q,divvy_version=%q", options.Rollout, version)
	if options.Proxies != "" {
		matchers += "," + options.Proxies
	}
	weights, err := query(ctx, options.Prometheus, fmt.Sprintf("divvy_weight_ppm{%s}", matchers))
	if err != nil {
		return "", err
	}
	// Proxies whose last scrape failed have no samples, but had some.
	down, err := query(ctx, options.Prometheus,
		fmt.Sprintf("up == 0 and on (job, instance) last_over_time(divvy_weight_ppm{%s}[1h])", matchers))
	if err != nil {
		return "", err
	}
	hashes, err := query(ctx, options.Prometheus,
		fmt.Sprintf("divvy_config_hash and on (job, instance) divvy_weight_ppm{%s}", matchers))
	if err != nil {
		return "", err
	}
	pods, err := r.pods(ctx, object, options)
	if err != nil {
		return "", err
	}
	return disagreement(math.Round(percent*1e4), weights, hashes, down, pods), nil
}

// disagreement names the proxies that do not have the weight, in parts per million, and those that are not scraped.
func disagreement(want float64, weights, hashes, down []sample, pods []pod) string {
	var reasons, others, unscraped []string
	for _, s := range weights {
		if s.value != want {
			others = append(others, fmt.Sprintf("%s has %v %%", s.instance(), s.value/1e4))
		}
	}
	for _, s := range down {
		unscraped = append(unscraped, s.instance())
	}
	for _, p := range pods {
		if !slices.ContainsFunc(weights, p.isOf) && !slices.ContainsFunc(down, p.isOf) {
			unscraped = append(unscraped, fmt.Sprintf("%s (%s)", p.name, p.address))
		}
	}
	if len(unscraped) > 0 {
		reasons = append(reasons, "Prometheus has no weight of "+list(unscraped))
	}
	if len(others) > 0 {
		reasons = append(reasons, fmt.Sprintf("the weight is to be %v %%, but %s", want/1e4, list(others)))
	}
	if len(weights) == 0 && len(unscraped) == 0 {
		reasons = append(reasons, "Prometheus has no divvy_weight_ppm of the rollout: is any proxy scraped?")
	}
	// The same weight can be that of an older configuration.
	if len(others) == 0 {
		byPlugin := map[string]map[float64][]string{}
		for _, s := range hashes {
			plugin := s.labels["divvy_plugin"]
			if byPlugin[plugin] == nil {
				byPlugin[plugin] = map[float64][]string{}
			}
			byPlugin[plugin][s.value] = append(byPlugin[plugin][s.value], s.instance())
		}
		for plugin, values := range byPlugin {
			if len(values) > 1 {
				var groups []string
				for _, instances := range values {
					groups = append(groups, list(instances))
				}
				slices.Sort(groups)
				reasons = append(reasons, fmt.Sprintf("the configurations of %s differ: %s", plugin, strings.Join(groups, " | ")))
			}
		}
	}
	slices.Sort(reasons)
	return strings.Join(reasons, "; ")
}

// list is a sorted enumeration of at most ten names.
func list(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if more := len(names) - 10; more > 0 {
		names = append(slices.Clone(names[:10]), fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// pods are the running proxies, from the option `pods` or the selector of the object; none without either.
func (r *router) pods(ctx context.Context, object *unstructured.Unstructured, options Options) ([]pod, error) {
	selector := options.Pods
	if selector == "" {
		own, _, _ := unstructured.NestedStringMap(object.Object, "spec", "selector", "matchLabels")
		selector = labels.SelectorFromSet(own).String()
	}
	if selector == "" {
		return nil, nil
	}
	resource := schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	found, err := r.client.Resource(resource).Namespace(options.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("pods of the proxies: %w", err)
	}
	var pods []pod
	for _, item := range found.Items {
		phase, _, _ := unstructured.NestedString(item.Object, "status", "phase")
		if phase != "Running" || item.GetDeletionTimestamp() != nil {
			continue
		}
		address, _, _ := unstructured.NestedString(item.Object, "status", "podIP")
		pods = append(pods, pod{item.GetNamespace(), item.GetName(), address})
	}
	return pods, nil
}

// query is the result of an instant query.
func query(ctx context.Context, server, expression string) ([]sample, error) {
	address := strings.TrimSuffix(server, "/") + "/api/v1/query?query=" + url.QueryEscape(expression)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("prometheus: %s: %.200s", response.Status, body)
	}
	return samples(body)
}

// samples reads a response of Prometheus.
func samples(body []byte) ([]sample, error) {
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	var all []sample
	for _, result := range answer.Data.Result {
		text, _ := result.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("prometheus: %w", err)
		}
		all = append(all, sample{result.Metric, value})
	}
	return all, nil
}
